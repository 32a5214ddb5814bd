"""Celery's view of a job that it carries: what Celery alone would decide, the job's record decides here."""

import time
from typing import Any

from celery import signals
from celery.exceptions import Ignore, TaskRevokedError
from celery.worker import state
from celery.worker.request import ExceptionWithTraceback, Request

HELD_HEADER = "unlinker_held"  # how a job travels through Celery to its task's body, in this process only


class Cancelled(Ignore):
    """A body raises it for a job that was cancelled: the tracer stores nothing, its result is written already."""

    def __init__(self) -> None:
        super().__init__("cancelled")
        self.as_result = TaskRevokedError("cancelled")  # what callbacks are told


class JobRequest(Request):
    """The request of every task of ours."""

    def revoked(self) -> bool:
        """Never: a revoke goes to the record at once, and only that knows whether something was sent."""
        return False

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002  # Celery's name
        """`runtime` counts from when the job's work began; Celery's tracer runs only once it is over."""
        if "runtime" in fields:
            held = self.request_dict.get(HELD_HEADER)
            began = getattr(held, "began", None) or self.time_start
            fields["runtime"] = fields["runtime"] if began is None else time.time() - began
        super().send_event(type, **fields)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """A cancelled job is told as Celery tells a revoked task."""
        error = exc_info.exception
        if not isinstance(error.exc if isinstance(error, ExceptionWithTraceback) else error, Cancelled):
            super().on_failure(exc_info, send_failed_event, return_ok)
            return
        state.task_ready(self)
        self.send_event("task-revoked", terminated=False, signum=None, expired=False)
        self.acknowledge()
        signals.task_revoked.send(self.task, request=self._context, terminated=False, signum=None, expired=False)
