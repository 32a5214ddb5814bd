"""A stop ends, whatever Redis does; and nothing is lost by it."""

import signal
import time

from celery import Celery

from config.embedded_valkey import ensure_running
from tests.faults.test_redis import kill_valkey
from tests.faults.test_workers import many
from tests.harness import House, Process, eventually

GRACE = 40.0  # seconds, gateway.composition
STOP = 30.0  # seconds for everything else, on a slow machine


def through_celery(house: House, links: list[tuple[str, int, int]]) -> list[str]:
    """Jobs with a callback go Celery's way, body, tracer and all."""
    app = Celery(broker=house.redis_url, backend=house.redis_url)
    after = app.signature("unlinker.redrive", queue="control", ignore_result=True)
    return [
        app.send_task(
            "unlinker.unlink",
            kwargs={"relationtype": kind, "parentid": parent, "childid": child},
            queue="unlink",
            link=after,
        ).id
        for kind, parent, child in links
    ]


def worker_that_waits_for_the_limit(house: House) -> tuple[Process, list[str]]:
    house.client.config_set("appendfsync", "always")
    house.settings |= {"UNLINKER_REQUESTS_PER_SECOND": "0.5", "UNLINKER_ACTIONS_PER_REQUEST": "1"}
    worker = house.start_worker()
    ids = through_celery(house, many(house, 8))
    eventually(lambda: len(house.sandbox.actions()) >= 1 and house.client.hlen("unlinker:claimed") >= 4)
    return worker, ids


def test_a_stop_ends_while_redis_is_dead_and_its_jobs_end_later(house: House) -> None:
    worker, ids = worker_that_waits_for_the_limit(house)
    kill_valkey(house)
    assert worker.terminate() < GRACE + STOP
    ensure_running(house.home)
    house.settings["UNLINKER_REQUESTS_PER_SECOND"] = "50"
    house.start_worker()
    documents = house.all_ended(ids)
    assert {document["outcome"] for document in documents.values()} == {"unlinked"}


def test_a_second_sigterm_waits_for_nothing_on_the_wire(house: House) -> None:
    """And what was on the wire is looked at by whoever gets it."""
    house.sandbox.fault("hang_after", params={"seconds": 300}, times=None)
    worker = house.start_worker()
    (link,) = many(house, 1)
    job_id = house.unlink(*link)
    eventually(lambda: link not in house.sandbox.links())
    worker.popen.send_signal(signal.SIGTERM)
    worker.wait_for("Warm shutdown")
    start = time.monotonic()
    time.sleep(1)  # the first stop is on its way
    assert worker.terminate() + 1 < GRACE - 5, "it waited for the request"
    assert time.monotonic() - start < GRACE - 5
    house.sandbox.call("DELETE", "faults")
    house.start_worker()
    document = house.ended(job_id)
    assert (document["outcome"], document["evidence"]) == ("unlinked", "read_back")
