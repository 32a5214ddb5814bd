"""What Celery's own tools show and call is what happens, though jobs take ways of their own."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery

from tests.acceptance.hooked_worker import HOOKS
from tests.faults.test_workers import LINK, many
from tests.harness import ROOT, House, Process, eventually
from worker.stores import keys

NAME = "unlinker.unlink"


def send(app: Celery, link: Sequence[object]) -> str:
    kwargs = {"relationtype": link[0], "parentid": link[1], "childid": link[2]}
    return str(app.send_task(NAME, kwargs=kwargs, queue="unlink").id)


@contextmanager
def watching(app: Celery) -> Iterator[list[dict[str, Any]]]:
    """All task events from here on, as a monitor gets them."""
    seen: list[dict[str, Any]] = []
    hears, stop = threading.Event(), threading.Event()

    def note(event: dict[str, Any]) -> None:
        hears.set()  # a heartbeat at the latest
        if event["type"].startswith("task-"):
            seen.append(event)

    def listen() -> None:
        with app.connection() as connection:
            for _ in app.events.Receiver(connection, handlers={"*": note}).itercapture(timeout=60, wakeup=False):
                if stop.is_set():
                    return

    app.control.enable_events(reply=True)
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert hears.wait(30)
    try:
        yield seen
    finally:
        stop.set()
        listener.join(30)


def of(events: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {event["uuid"]: event for event in list(events) if event["type"] == kind}


def test_hooks_of_a_tasks_class_run_though_nobody_watches(house: House, app: Celery) -> None:
    """Of a job that succeeds, of one for the same relation, and of one that never ran."""
    log = house.home / "hooked.log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "tests.acceptance.hooked_worker"]
        worker = subprocess.Popen(command, env=house.environment(), cwd=ROOT, stdout=file, stderr=file)
    house.processes.append(Process(worker, log))
    done, again, bad = send(app, LINK), send(app, LINK), send(app, ("calendar:address", "x", 1))
    house.all_ended([done, again, bad])
    wanted = {f"{hook} {job_id}" for job_id in (done, again) for hook in ("before_start", "on_success")}
    wanted |= {f"after_return:SUCCESS {job_id}" for job_id in (done, again)}
    wanted |= {f"{hook} {bad}" for hook in ("before_start", "on_failure", "after_return:FAILURE")}

    def noted() -> set[str]:
        stored: Any = house.client.lrange(HOOKS, 0, -1)
        return {each.decode() for each in stored}

    eventually(lambda: wanted == noted())


@pytest.mark.parametrize("watched", [False, True])
def test_inspect_shows_what_is_on_the_wire_and_what_waits(house: House, app: Celery, watched: bool) -> None:
    first, second = many(house, 2)
    house.settings |= {"UNLINKER_MAX_IN_FLIGHT": "1"}
    house.sandbox.fault("slow", params={"seconds": 4}, match={"parentid": first[1]})
    house.start_worker()
    if watched:
        app.control.enable_events(reply=True)
    sent = send(app, first)
    eventually(lambda: house.status(sent) == "sent")
    waiting = send(app, second)
    eventually(lambda: house.status(waiting) == "queued")

    def inspected(what: str) -> dict[str, dict[str, Any]]:
        inspect = app.control.inspect(timeout=10, limit=1)
        (found,) = getattr(inspect, what)().values()
        return {each["id"]: each for each in found}

    active, reserved = inspected("active"), inspected("reserved")
    assert (set(active), set(reserved)) == ({sent}, {waiting})
    assert (active[sent]["name"], active[sent]["kwargs"]["parentid"]) == (NAME, first[1])
    assert active[sent]["time_start"] > 0
    assert reserved[waiting]["time_start"] is None
    house.all_ended([sent, waiting])
    eventually(lambda: (inspected("active"), inspected("reserved")) == ({}, {}))


def test_events_tell_how_long_a_job_took_and_what_was_revoked(house: House, app: Celery) -> None:
    house.here("accounts", "halt", "--all", "--reason", "test")
    house.sandbox.fault("slow", params={"seconds": 2})
    house.start_worker()
    with watching(app) as events:
        slow, revoked, bad = send(app, LINK), send(app, many(house, 1)[0]), send(app, ("calendar:address", "x", 1))
        app.control.revoke(revoked, reply=True, timeout=10, limit=1)
        house.here("accounts", "resume", "--all")
        eventually(lambda: of(events, "task-succeeded") and of(events, "task-revoked") and of(events, "task-failed"))
        assert of(events, "task-succeeded")[slow]["runtime"] >= 2
        assert set(of(events, "task-revoked")) == {revoked}
        assert set(of(events, "task-failed")) == {bad}
        assert set(of(events, "task-received")) == {slow, revoked, bad}


@pytest.mark.xfail(strict=True, reason="the next engine: every joined job is told to who watches, with its own times")
def test_events_tell_of_joined_jobs(house: House, app: Celery) -> None:
    house.here("accounts", "halt", "--all", "--reason", "test")
    house.start_worker()
    with watching(app) as events:
        sent = [send(app, LINK) for _ in range(3)]
        house.here("accounts", "resume", "--all")
        house.all_ended(sent)
        eventually(lambda: of(events, "task-succeeded") and not house.client.hlen(keys.CLAIMED))
        assert set(of(events, "task-succeeded")) == set(sent)


@pytest.mark.xfail(strict=True, reason="the next engine: a running job is STARTED for who asks Celery's events")
def test_a_job_is_started_when_its_request_leaves(house: House, app: Celery) -> None:
    """Today Celery tells it as started when a worker takes it, however long it waits for the limit."""
    first, second = many(house, 2)
    house.settings |= {"UNLINKER_MAX_IN_FLIGHT": "1"}
    house.sandbox.fault("slow", params={"seconds": 3}, match={"parentid": first[1]})
    house.start_worker()
    with watching(app) as events:
        sent = send(app, first)
        eventually(lambda: house.status(sent) == "sent")
        waiting = send(app, second)
        eventually(lambda: waiting in of(events, "task-received"))
        house.all_ended([sent, waiting])
        eventually(lambda: set(of(events, "task-succeeded")) == {sent, waiting})
        assert of(events, "task-started")[waiting]["timestamp"] - of(events, "task-started")[sent]["timestamp"] >= 2
