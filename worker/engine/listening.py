"""Who listens to Celery's side of a job? If nobody does, the job goes straight to its lane.

Celery's consumer, request and tracer cost a job more than everything else that is done for it. They are gone through
when somebody would notice: a receiver of a task signal, events switched on, a rate limit set by remote control, or a
message that asks Celery for something (link, chain, chord, group, stamps, a time limit), or hooks of the task's class.
Results, states, revokes and the worker's counters are the same on both ways.
"""

from typing import Any

from celery import bootsteps, signals
from celery.app.trace import task_has_custom
from celery.worker import state

SIGNALS = (
    signals.task_received,
    signals.task_prerun,
    signals.task_postrun,
    signals.task_success,
    signals.task_failure,
    signals.task_retry,
    signals.task_revoked,
    signals.task_internal_error,
)


class Listening:
    """Lives on the loop; `consumer` is set by Celery's main thread once its consumer has started."""

    def __init__(self, hooked: frozenset[str] = frozenset()) -> None:
        """`hooked`: tasks whose class has hooks of its own."""
        self._hooked = hooked
        self.consumer: Any = None

    def anybody(self, task: str) -> bool:
        """Whether every job of this task has to go through Celery just now."""
        return self.in_process(task) or (self.consumer is not None and self._consumer_listens(task))

    def in_process(self, task: str) -> bool:
        """Whether code of this process counts on every job of this task: then none of them joins another."""
        return task in self._hooked or any(signal.receivers for signal in SIGNALS)

    def _consumer_listens(self, task: str) -> bool:
        events = self.consumer.event_dispatcher
        task_events = events is not None and events.enabled and (not events.groups or "task" in events.groups)
        return bool(task_events or self.consumer.task_buckets.get(task))


class NoteConsumer(bootsteps.StartStopStep):
    """Tells the runtime of the process which consumer it has."""

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, parent: Any) -> None:
        """Called by Celery for every new connection; `parent` is its consumer."""
        parent.app.runtime.listening.consumer = parent


HOOKS = ("before_start", "on_success", "on_failure", "on_retry", "after_return", "__call__")


def has_hooks(task: Any) -> bool:
    """Whether Celery's tracer would run anything of this task's class besides its body."""
    return any(task_has_custom(task, hook) for hook in HOOKS)


def count(task: str) -> None:
    """What `celery inspect stats` shows as this worker's total."""
    state.total_count[task] += 1
    state.all_total_count[0] += 1
