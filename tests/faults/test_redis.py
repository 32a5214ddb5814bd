"""Redis that dies, comes back, goes silent or cuts connections; messages that are none."""

import base64
import json
import os
import signal
import time
from typing import Any

import pytest

from config.embedded_valkey import ensure_running
from tests.faults.proxy import Proxy
from tests.faults.test_workers import LINK, fast, many
from tests.harness import House, eventually
from worker.stores import keys


def kill_valkey(house: House) -> None:
    pid = int(house.client.info("server")["process_id"])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("down", [0, 1, 8])
def test_a_worker_survives_a_redis_that_dies_with_jobs_in_flight(house: House, down: int) -> None:
    """Stock Celery 5.7 dies here when a late-acked task is in flight."""
    house.client.config_set("appendfsync", "always")
    fast(house)
    house.sandbox.call("PATCH", "options", {"latency_ms": 300})
    worker = house.start_worker()
    links = many(house, 40)
    ids = [house.unlink(*link) for link in links]
    eventually(lambda: len(house.sandbox.actions()) >= 1)
    kill_valkey(house)
    time.sleep(down)
    ensure_running(house.home)
    documents = house.all_ended(ids)
    assert worker.popen.poll() is None, worker.text()
    assert {document["outcome"] for document in documents.values()} == {"unlinked"}
    assert not set(links) & house.sandbox.links()
    later = house.unlink(*LINK)
    assert house.ended(later)["outcome"] == "unlinked"


def test_nothing_is_sent_while_redis_is_away(house: House) -> None:
    """Destructive work fails closed: no grant, no request."""
    house.client.config_set("appendfsync", "always")
    house.settings |= {"UNLINKER_REQUESTS_PER_SECOND": "5", "UNLINKER_ACTIONS_PER_REQUEST": "1"}
    house.start_worker()
    ids = [house.unlink(*link) for link in many(house, 20)]
    eventually(lambda: len(house.sandbox.actions()) >= 3)
    kill_valkey(house)
    time.sleep(1)
    before = len(house.sandbox.actions())
    time.sleep(2)
    assert len(house.sandbox.actions()) == before
    ensure_running(house.home)
    house.all_ended(ids)


def test_half_open_connections_are_noticed(house: House) -> None:
    """Everything between worker and Redis is swallowed; stock Celery's defaults never recover from it."""
    port = int(house.redis_url.rsplit(":", 1)[1].split("/")[0])
    with Proxy("127.0.0.1", port) as proxy:
        through = house.redis_url.replace(f":{port}/", f":{proxy.listen_port}/")
        worker = house.start_worker(UNLINKER_REDIS_URL=through)
        assert house.ended(house.unlink(*LINK))["outcome"] == "unlinked"
        proxy.faults.silent = True
        time.sleep(8)
        proxy.faults.silent = False
        assert house.ended(house.unlink(*many(house, 1)[0]))["outcome"] == "unlinked"
        assert worker.popen.poll() is None


def test_connections_that_are_killed_again_and_again_cause_no_second_call(house: House) -> None:
    fast(house)
    house.sandbox.call("PATCH", "options", {"latency_ms": 50})
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "5"
    worker = house.start_worker()
    links = many(house, 400)
    ids = [house.unlink(*link) for link in links]
    for _ in range(8):
        time.sleep(0.25)
        house.client.client_kill_filter(_type="normal", skipme=True)
        house.client.client_kill_filter(_type="pubsub", skipme=True)
    documents = house.all_ended(ids)
    assert worker.popen.poll() is None
    assert {document["outcome"] for document in documents.values()} == {"unlinked"}
    assert house.sandbox.call("GET", "stats")["deleted_twice"] == []


def test_junk_is_kept_aside_and_the_rest_goes_on(house: House) -> None:
    """Stock Celery's worker ends itself at the first of these."""
    good = house.push({"relationtype": LINK[0], "parentid": LINK[1], "childid": LINK[2]})
    message = json.loads(house.client.lindex("unlink", 0) or b"")
    spoilt = {
        "not JSON": b"\xff\x00 no json",
        "deep": b"[" * 5000,
        "a number": b"5",
        "no headers": json.dumps({"body": "", "properties": {}}).encode(),
        "no tag": json.dumps({**message, "properties": {}}).encode(),
        "unknown task": json.dumps({**message, "headers": {**message["headers"], "task": "tasks.other"}}).encode(),
        "pickle": json.dumps({**message, "content-type": "application/x-python-serialize"}).encode(),
        "body": json.dumps({**message, "body": "%%%"}).encode(),
        "version": json.dumps({**message, "headers": {**message["headers"], "unlinker_version": "x"}}).encode(),
        "eta": json.dumps({**message, "headers": {**message["headers"], "eta": "soon"}}).encode(),
        "expires": json.dumps({**message, "headers": {**message["headers"], "expires": float("inf")}}).encode(),
        "half a surrogate pair": json.dumps({**message, "headers": {**message["headers"], "id": "\ud800"}}).encode(),
        "half a pair inside": json.dumps(
            {**message, "body": base64.b64encode(b'[[], {"account": "\\ud800"}, {}]').decode()}
        ).encode(),
        "huge": b"x" * (2 * 1024 * 1024),
    }
    for junk in spoilt.values():
        house.client.rpush("unlink", junk)  # to be claimed before the good one
    worker = house.start_worker()
    assert house.ended(good)["outcome"] == "unlinked"
    kept: Any = eventually(
        lambda: found if len(found := house.ask("rejected", "list")["messages"]) == len(spoilt) else None
    )
    assert all(entry["why"] and entry["queue"] == "unlink" for entry in kept)
    assert any("payload version" in entry["why"] for entry in kept)
    assert any("unknown task 'tasks.other'" in entry["why"] for entry in kept)
    assert worker.popen.poll() is None
    assert house.client.hlen("unlinker:claimed") == 0


def test_a_queue_key_of_another_type_stops_nobody(house: House) -> None:
    house.client.set("bulk", "no list")
    house.start_worker()
    assert house.ended(house.unlink(*LINK))["outcome"] == "unlinked"


def test_every_priority_of_a_stranger_is_served(house: House) -> None:
    house.start_worker()
    ids = []
    for number, priority in enumerate((0, 3, 6, 9)):
        (link,) = many(house, 1, first=number + 1)
        job_id = house.push({"relationtype": link[0], "parentid": link[1], "childid": link[2]})
        message = house.client.lpop("unlink")
        if not isinstance(message, bytes):
            continue  # the worker was faster
        name = "unlink" if priority == 0 else f"unlink\x06\x16{priority}"
        house.client.lpush(name, message)
        ids.append(job_id)
    assert {document["outcome"] for document in house.all_ended(ids).values()} == {"unlinked"}


def test_a_key_of_the_wrong_type_in_the_middle_of_a_batch_leaves_no_job_behind(house: House) -> None:
    """What Redis refuses between the request and the outcome: the question waits, and is answered later."""
    fast(house)
    house.sandbox.fault("cut_body", params={"bytes": 40})
    house.client.set(keys.sightings("default"), "no set")
    house.start_worker()
    job_id = house.unlink(*LINK)
    eventually(lambda: house.job(job_id)["status"] == "unverified")
    house.client.delete(keys.sightings("default"))
    document = house.ended(job_id)
    assert (document["outcome"], document["evidence"]) == ("unlinked", "read_back")
