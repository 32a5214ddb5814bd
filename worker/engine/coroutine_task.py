"""A Celery task whose body is a coroutine.

Celery 5.7 has no coroutine tasks: the pool awaits `body` on its loop first and hands what came of it to Celery's own
tracer, which calls `run` and sends signals and acks as for any task.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery import Task, states

from worker.engine.job_request import Cancelled

if TYPE_CHECKING:
    from worker.engine.runtime import Runtime

COMPLETION = "unlinker_completion"  # the request's attribute under which the pool leaves what the body came to


@dataclass(frozen=True, slots=True)
class Completion:
    """What a body came to: a value or an exception."""

    value: object = None
    error: BaseException | None = None

    def unwrap(self) -> object:
        """The value; raises the error."""
        if self.error is not None:
            raise self.error
        return self.value


class CoroutineTask(Task):
    """Base of all tasks that run on the pool's loop. Subclasses give `name` and `body`."""

    abstract = True
    acks_late = True
    Request = "worker.engine.job_request:JobRequest"
    stores_own_result = False  # True: the body has the result written together with its outcome

    async def body(self, runtime: "Runtime", request: Mapping[str, Any]) -> object:
        """The work; `request` holds the message's headers. Raises what the producer shall see as the failure."""
        raise NotImplementedError

    def run(self, *_args: object, **_kwargs: object) -> object:
        """Called by Celery's tracer once `body` is through."""
        completion = getattr(self.request, COMPLETION, None)
        if completion is None:
            raise RuntimeError(f"{self.name} runs only on unlinker's own pool; start the worker with `unlinker worker`")
        try:
            return Completion.unwrap(completion)
        except Cancelled as cancelled:
            # Celery runs no callbacks of what is ignored; whoever waits for this job's chord would wait for ever
            failure = cancelled.as_result
            self.backend.mark_as_failure(self.request.id, failure, request=self.request, state=states.REVOKED)
            raise
