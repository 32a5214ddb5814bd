"""Celery's own code, away from the loop: one thread that traces and acks what bodies came to, in their order."""

import queue
import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)


class Finisher:
    """Its thread is a daemon: Celery's tracer may hang in a Redis that is gone, and must not hold up a stop."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="finisher", daemon=True).start()

    def put(self, work: Callable[[], None]) -> None:
        """To be done after everything that was put before; any thread."""
        self._work.put(work)

    def _run(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            except Exception as error:  # whatever Celery raises concerns one task, and must not end all
                log.error("a task could not be finished", error=repr(error), exc_info=error)  # noqa: TRY400  # it has it
