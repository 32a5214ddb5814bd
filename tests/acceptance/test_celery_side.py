"""What Celery's own tools may expect: events, links, revokes, counters, though jobs take a shorter way without them."""

import subprocess
import sys
import threading
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

from tests.faults.test_workers import LINK, many
from tests.harness import ROOT, House, Process, eventually

NAME = "unlinker.unlink"


def arguments(link: tuple[str, int, int]) -> dict[str, object]:
    return {"relationtype": link[0], "parentid": link[1], "childid": link[2]}


def celery(house: House) -> Celery:
    return Celery(broker=house.redis_url, backend=house.redis_url)


def test_events_reach_who_listens(house: House) -> None:
    house.start_worker()
    app = celery(house)
    seen: list[str] = []
    listening, done = threading.Event(), threading.Event()

    def note(event: dict[str, Any]) -> None:
        listening.set()  # a heartbeat at the latest
        seen.append(event["type"])
        if event["type"] == "task-succeeded":
            done.set()

    def listen() -> None:
        with app.connection() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": note})
            for _ in receiver.itercapture(limit=None, timeout=30, wakeup=False):
                if done.is_set():
                    return

    app.control.enable_events(reply=True)
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert listening.wait(30)
    assert app.send_task(NAME, kwargs=arguments(LINK), queue="unlink").get(timeout=30)["outcome"] == "unlinked"
    listener.join(30)
    assert done.is_set()
    assert "task-received" in seen
    app.control.disable_events(reply=True)
    other = many(house, 1)[0]
    assert app.send_task(NAME, kwargs=arguments(other), queue="unlink").get(timeout=30)["outcome"] == "unlinked"
    stats = app.control.inspect(timeout=10, limit=1).stats() or {}
    assert [worker["total"] for worker in stats.values()] == [{NAME: 2}]
    app.close()


def test_a_linked_task_follows(house: House) -> None:
    house.start_worker()
    app = celery(house)
    first, second = many(house, 2)
    following = app.signature(NAME, kwargs=arguments(second), queue="unlink", immutable=True)
    app.send_task(NAME, kwargs=arguments(first), queue="unlink", link=following).get(timeout=30)
    eventually(lambda: not {first, second} & house.sandbox.links())
    app.close()


def test_a_revoked_job_ends_cancelled(house: House) -> None:
    """Celery itself acks a revoked task and leaves it at that; here it has an outcome like any other."""
    house.run("accounts", "halt", "default", "--reason", "test")
    house.start_worker()
    app = celery(house)
    sent = app.send_task(NAME, kwargs=arguments(LINK), queue="unlink")
    app.control.revoke(sent.id, reply=True)
    house.run("accounts", "resume", "default")
    assert house.ended(sent.id)["outcome"] == "cancelled"
    assert sent.state == "REVOKED"
    assert LINK in house.sandbox.links()
    app.close()


def test_time_limits_end_a_task_and_spare_a_deletion(house: House) -> None:
    log = house.home / "sleepy.log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "tests.acceptance.sleepy_worker"]
        worker = subprocess.Popen(command, env=house.environment(), cwd=ROOT, stdout=file, stderr=file)
    house.processes.append(Process(worker, log))
    house.sandbox.fault("slow", params={"seconds": 2}, match={"childid": 153})
    app = celery(house)
    soft = app.send_task("unlinker.test_sleep", queue="control", soft_time_limit=1)
    hard = app.send_task("unlinker.test_sleep", queue="control", time_limit=1)
    deletion = app.send_task(NAME, kwargs=arguments(LINK), queue="unlink", time_limit=1, soft_time_limit=1)
    with pytest.raises(SoftTimeLimitExceeded):
        soft.get(timeout=30)
    with pytest.raises(TimeLimitExceeded):
        hard.get(timeout=30)
    assert deletion.get(timeout=30)["outcome"] == "unlinked"
    app.close()
