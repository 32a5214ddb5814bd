"""The scheduler's part of redbeat: what it sends, where, and that it never goes on without its lock."""

import json
from typing import Any

import pytest
import redis
from celery.beat import Service
from redis.exceptions import LockNotOwnedError

from config.celery_options import celery_options
from tasks.beat import Scheduler, make_beat_app, schedule_for
from worker.stores import keys


@pytest.fixture
def service(redis_url: str) -> Any:
    """A beat that has not begun."""
    app = make_beat_app(redis_url, redis_url, celery_options(), schedule_for(["sold", "truth:default"], 0.1))
    return Service(app, scheduler_cls=Scheduler)


def test_without_its_lock_it_sends_nothing(service: Any, redis_url: str) -> None:
    """Celery swallows what goes wrong while the lock is acquired, and redbeat would then send all the same."""
    with pytest.raises(LockNotOwnedError):
        service.scheduler.tick()
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen(keys.QUEUES[1]) == 0


def test_it_sends_looks_to_the_control_queue_and_keeps_its_keys_together(service: Any, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        scheduler = service.scheduler
        scheduler.lock = client.lock(f"{keys.SCHEDULER_PREFIX}lock", timeout=30)
        scheduler.lock.acquire()
        for entry in list(scheduler.schedule.values()):
            scheduler.apply_async(entry)
        sent = [json.loads(each) for each in client.lrange(keys.QUEUES[1], 0, -1)]
        tasks = {each["headers"]["task"] for each in sent}
        assert tasks <= {"unlinker.reconcile", "unlinker.redrive"}
        names = {name.decode() for name in client.scan_iter()}
        ours = {name for name in names if name.startswith(keys.SCHEDULER_PREFIX)}
        assert {name for name in names - ours if not name.startswith("_kombu.binding")} <= {keys.QUEUES[1]}
        stored = {name.removeprefix(keys.SCHEDULER_PREFIX) for name in ours}
        assert stored == {"reconcile sold", "reconcile truth:default", "redrive", "lock", ":schedule", ":statics"}
