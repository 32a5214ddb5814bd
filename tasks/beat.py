"""The scheduler's Celery app: redbeat, whose lock lets one of several schedulers work and another take over.

It sends messages every so often and knows no slots: whoever gets one looks what is due. So a message too many does no
harm, and one that was not sent is made up for by the next.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from celery import Celery
from celery.beat import Service
from kombu import Queue
from redbeat import RedBeatScheduler
from redis.exceptions import LockNotOwnedError

from tasks.reconcile import NAME as RECONCILE
from worker.stores import keys

log = structlog.get_logger(__name__)
REDRIVE = "unlinker.redrive"
LOOK_EVERY = 60.0  # seconds between looks at a policy
REDRIVE_EVERY = 300.0  # seconds
LOOP = 5.0  # seconds
LOOPS_OF_LOCK = 5  # redbeat renews its lock in every loop
STALE = 3 * 3600  # seconds; messages older than this say nothing any more, so that a day without workers leaves no pile
CONTROL = keys.QUEUES[1]


class Scheduler(RedBeatScheduler):
    """redbeat's, but for a lock that could not be had: Celery swallows the error, and redbeat would go on without."""

    at_work = False

    def tick(self, *arguments: Any, **options: Any) -> Any:
        """One look at what is due. Raises redis.exceptions.LockError when another scheduler has taken over."""
        if self.lock is None:
            raise LockNotOwnedError("the scheduler's lock was not acquired")
        if not self.at_work:
            self.at_work = True
            log.info("the scheduler is at work")
        return super().tick(*arguments, **options)


def schedule_for(names: Iterable[str], look_every: float = LOOK_EVERY) -> dict[str, dict[str, Any]]:
    """What is sent how often. `names`: of policies, and of accounts with the prefix of truth passes."""
    found = {f"reconcile {name}": _entry(RECONCILE, look_every, {"policy": name}) for name in names}
    return {**found, "redrive": _entry(REDRIVE, REDRIVE_EVERY, {})}


def _entry(task: str, seconds: float, kwargs: Mapping[str, object]) -> dict[str, Any]:
    options = {"queue": CONTROL, "expires": STALE, "ignore_result": True}
    return {"task": task, "schedule": seconds, "kwargs": dict(kwargs), "options": options}


def make_beat_app(
    queue_url: str,
    records_url: str,
    celery_options: Mapping[str, Any],
    schedule: Mapping[str, Any],
    loop: float = LOOP,
) -> Celery:
    """The app of a scheduler process. `loop`: seconds that beat sleeps at the longest."""
    app = Celery("unlinker-scheduler", set_as_current=False)
    app.conf.update(celery_options)
    app.conf.update(
        broker_url=queue_url,
        task_queues=[Queue(name) for name in keys.QUEUES],
        task_default_queue=keys.QUEUES[0],
        beat_schedule=dict(schedule),
        result_expires=None,  # else beat sends celery.backend_cleanup, which no worker of ours knows; results expire
        beat_max_loop_interval=loop,
        redbeat_redis_url=records_url,
        redbeat_key_prefix=keys.SCHEDULER_PREFIX,
        redbeat_lock_key=keys.SCHEDULER_LOCK,
        redbeat_lock_timeout=LOOPS_OF_LOCK * loop,
        redbeat_redis_options={"socket_timeout": 5, "socket_connect_timeout": 5, "socket_keepalive": True},
    )
    return app


def run_beat(app: Celery) -> None:
    """Wait for the lock, then send what is due, for ever. Ends by SystemExit or KeyboardInterrupt, the lock given back.

    Raises redis.exceptions.RedisError when the lock was lost, or Redis is away: then begin anew.
    """
    Service(app, scheduler_cls=Scheduler).start()
