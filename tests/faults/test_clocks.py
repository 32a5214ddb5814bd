"""Clocks that are wrong: a worker's is its own affair, and Redis' may jump back without silencing the queue."""

import time
from typing import Any

from tests.faults.test_workers import many
from tests.harness import House, eventually
from worker.stores import keys

HOUR = 3600
CLOCK = "unlinker:clock"  # the latest time that was seen on this server


def test_a_worker_whose_clock_is_an_hour_off_works_and_halts_nobody(house: House) -> None:
    house.settings |= {"UNLINKER_REQUESTS_PER_SECOND": "20", "UNLINKER_ACTIONS_PER_REQUEST": "5"}
    wrong = house.start_module("tests.faults.skewed_worker", str(HOUR), "worker", "--name", "wrong@test")
    wrong.wait_for("ready")
    links = many(house, 200)
    ids = [house.unlink(*link) for link in links]
    wrong.wait_for("clock is wrong")
    house.start_worker()
    documents = house.all_ended(ids)
    assert {document["outcome"] for document in documents.values()} == {"unlinked"}
    assert house.client.hlen(keys.HALTS) == 0
    assert "halted" not in wrong.text()
    assert house.sandbox.call("GET", "stats")["deleted_twice"] == []
    wrong_sent = [
        request for request in house.sandbox.requests() if any(a["errorcode"] == 136 for a in request["actions"])
    ]
    assert 1 <= len(wrong_sent) <= 4, "what was on the wire when it learnt of it, and no more"


def test_the_queue_goes_on_when_redis_clock_went_back_an_hour(house: House) -> None:
    """Every time that Redis has noted lies an hour ahead then, which is what this does to it."""
    (first, *links) = many(house, 20)
    house.sandbox.fault("throttle_429", params={"retry_after": "2"}, times=1)
    worker = house.start_worker()
    killed = house.start_worker()
    assert house.ended(house.unlink(*first))["outcome"] == "unlinked"
    house.sandbox.fault("hang_before", params={"seconds": 60}, times=None)
    ids = [house.unlink(*link) for link in links]
    eventually(lambda: house.client.zcard(keys.in_flight("default")) > 0)
    killed.kill()
    worker.kill()
    _an_hour_ahead(house)
    house.sandbox.call("DELETE", "faults")
    third = house.start_worker()
    documents = house.all_ended(ids)
    assert {document["outcome"] for document in documents.values()} == {"unlinked"}
    assert "Redis' clock went back" in third.text()


def test_delays_follow_a_clock_that_went_back(house: House) -> None:
    worker = house.start_worker()
    house.sandbox.fault("bad_gateway_502", times=2)
    (link,) = many(house, 1)
    job_id = house.unlink(*link)
    eventually(lambda: house.client.zcard(keys.DELAYED) == 1)
    entry: Any = house.client.zrange(keys.DELAYED, 0, -1)[0]
    house.client.zadd(keys.DELAYED, {entry: (time.time() + HOUR) * 1000})
    house.client.set(CLOCK, int((time.time() + HOUR) * 1000))
    assert house.ended(job_id)["outcome"] == "unlinked"
    assert "Redis' clock went back" in worker.text()


def _an_hour_ahead(house: House) -> None:
    """Everything that Redis has noted on its clock."""
    ahead_ms = HOUR * 1000
    for name in (keys.LEASES, keys.DELAYED, keys.in_flight("default")):
        members: Any = house.client.zrange(name, 0, -1, withscores=True)
        for member, score in members:
            house.client.zadd(name, {member: score + ahead_ms})
    for field in ("free_at", "paused_until", "slowed_at"):
        before = house.client.hget(keys.limit("default"), field)
        house.client.hset(keys.limit("default"), field, int(before or time.time() * 1_000_000) + ahead_ms * 1000)
    house.client.set(CLOCK, int(time.time() * 1000) + ahead_ms)
