"""The queue on one server, records and results on another: every door's jobs reach a worker."""

import json
import time
import uuid
from collections.abc import Iterator

import pytest
import redis
from celery import Celery

from config.embedded_valkey import ensure_running, stop
from tasks.door import Door
from tests.faults.test_workers import fast, many
from tests.harness import House, Process, eventually
from worker.engine import envelope
from worker.stores import keys
from worker.unlinking.job import Job

NUMBERS = iter(range(1000, 100_000))
Link = tuple[str, int, int]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for all tests here, with a broker of its own."""
    home = tmp_path_factory.mktemp("two")
    house = House(home / "house")
    try:
        house.settings |= {"UNLINKER_BROKER_URL": ensure_running(home / "broker"), "UNLINKER_MAX_ATTEMPTS": "1"}
        house.start_sandbox()
        fast(house)
        house.worker = house.start_worker()  # type: ignore[attr-defined]  # of this file only
        yield house
    finally:
        house.close()
        stop(home / "broker")


@pytest.fixture
def broker(house: House) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(house.settings["UNLINKER_BROKER_URL"]) as client:
        yield client


def link(house: House) -> Link:
    (made,) = many(house, 1, first=next(NUMBERS))
    return made


def words(wanted: Link) -> list[str]:
    return [str(part) for part in wanted]


def test_no_job_is_lost_though_the_workers_that_carry_them_are_killed(house: House, broker: "redis.Redis") -> None:
    links = [link(house) for _ in range(40)]
    absent: list[Link] = [("calendar:address", next(NUMBERS), 4) for _ in range(960)]
    wanted = links + absent
    jobs = [
        Job.from_arguments(str(uuid.uuid4()), {"relationtype": kind, "parentid": parent, "childid": child})
        for kind, parent, child in wanted
    ]
    worker: Process = house.worker  # type: ignore[attr-defined]  # of this file only
    worker.kill()
    with redis.Redis.from_url(house.redis_url) as client:
        Door(client).enqueue_jobs(jobs)
    worker = house.start_worker(wait=False)
    eventually(lambda: house.client.llen("unlink") < 900, every=0.002)
    worker.kill()
    house.worker = house.start_worker()  # type: ignore[attr-defined]  # of this file only
    documents = house.all_ended([job.id for job in jobs])
    assert {document["outcome"] for document in documents.values()} <= {"unlinked", "already_absent"}
    assert {documents[job.id]["outcome"] for job in jobs[:40]} == {"unlinked"}
    assert house.sandbox.call("GET", "stats")["deleted_twice"] == []
    eventually(lambda: broker.llen("unlink") == 0 and broker.hlen(keys.CLAIMED) == 0)
    assert house.client.llen("unlink") == 0


def test_every_door_reaches_a_worker(house: House, broker: "redis.Redis") -> None:
    first = link(house)
    done = house.here("unlink", *words(first), "--wait", "--json")
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (0, "unlinked")
    with Celery(broker=house.settings["UNLINKER_BROKER_URL"], backend=house.redis_url) as app:
        kind, parent, child = link(house)
        wanted = {"relationtype": kind, "parentid": parent, "childid": child}
        assert app.send_task("unlinker.unlink", kwargs=wanted, queue="unlink").get(timeout=30)["outcome"] == "unlinked"

    made, ids = [link(house), link(house)], []
    for wanted_link, (code, reason) in zip(made, ((149, "MissingRight"), (1, "Exhausted")), strict=True):
        match = {"parentid": wanted_link[1], "action": "delete"}
        house.sandbox.fault("action_code", times=None, params={"code": code}, match=match)
        ids.append(house.unlink(*wanted_link))
        assert house.ended(ids[-1])["reason"] == reason
    house.sandbox.call("DELETE", "faults")
    assert house.ask("dead", "replay", ids[0], "--because", "right granted", "--yes")["moved"] == 1
    house.client.hset(keys.job(ids[1]), "ended_at", int((time.time() - 2 * 3600) * 1000))
    assert house.ask("dead", "redrive")["moved"] == 1
    eventually(lambda: not set(made) & house.sandbox.links())


def test_a_copy_of_a_job_that_is_on_the_wire_counts_against_nobody(house: House, broker: "redis.Redis") -> None:
    wanted = link(house)
    house.sandbox.fault("slow", params={"seconds": 3}, match={"parentid": wanted[1], "action": "delete"})
    message = envelope.write(
        "unlinker.unlink", "copied", {"relationtype": wanted[0], "parentid": wanted[1], "childid": wanted[2]}
    )
    broker.lpush("unlink", message)
    eventually(lambda: house.status("copied") == "sent")
    for _ in range(4):
        broker.lpush("unlink", message)
        eventually(lambda: broker.llen("unlink") == 0 and broker.hlen(keys.CLAIMED) == 1)
    assert house.ended("copied")["outcome"] == "unlinked"
    assert "deaths" not in {name.decode() for name in house.client.hkeys(keys.job("copied"))}  # type: ignore[union-attr]
    assert len([each for each in house.sandbox.actions() if each["parentid"] == wanted[1]]) == 1


def test_runs_and_undo_reach_a_worker(house: House) -> None:
    links = [link(house) for _ in range(6)]
    table = house.home / "links.csv"
    table.write_text("relationtype,parentid,childid\n" + "".join(f"{','.join(words(each))}\n" for each in links))
    plan, back = str(house.home / "plan.jsonl"), str(house.home / "undo.jsonl")
    planned = house.here("bulk", "plan", str(table), "--because", "test", "--out", plan, "--json")
    assert planned.returncode == 0, planned.stderr
    applied = house.here("bulk", "apply", plan, "--yes", "--json", "--max-share", "1")
    assert applied.returncode == 0, applied.stderr
    assert not set(links) & house.sandbox.links()
    run = json.loads(applied.stdout)["run"]
    undone = house.here("undo", "plan", "--run", run, "--out", back, "--because", "test", "--json")
    assert undone.returncode == 0, undone.stderr
    applied = house.here("undo", "apply", back, "--yes", "--json")
    assert applied.returncode == 0, applied.stderr
    assert set(links) <= house.sandbox.links()


def test_what_is_parked_or_rejected_is_found_where_the_queue_is(house: House, broker: "redis.Redis") -> None:
    broker.lpush("unlink", b"junk")
    eventually(lambda: house.ask("rejected", "list")["totals"]["kept"])
    house.here("accounts", "halt", "default", "--reason", "test")
    waiting = house.unlink(*link(house))
    assert house.here("cancel", waiting).returncode == 0
    house.here("accounts", "resume", "default")
    assert house.ended(waiting)["outcome"] == "cancelled"
    assert house.ask("rejected", "discard", "--because", "test", "--yes")["moved"] == 1


def test_one_server_under_two_addresses_is_told_from_two(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is carried there, where it would come back again and again."""
    house = House(tmp_path_factory.mktemp("one") / "house")
    try:
        assert "127.0.0.1" in house.redis_url
        house.settings["UNLINKER_BROKER_URL"] = house.redis_url.replace("127.0.0.1", "localhost")
        house.start_sandbox()
        house.start_worker()
        jobs = [house.unlink(*each) for each in many(house, 20)]
        assert {document["outcome"] for document in house.all_ended(jobs).values()} == {"unlinked"}
        assert house.client.exists(keys.FERRY) == 0
        assert len(house.sandbox.actions()) == 20
    finally:
        house.close()
