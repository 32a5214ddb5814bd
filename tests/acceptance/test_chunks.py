"""Chunks: many relations in one message, each judged as a job of its own."""

import json
import time
from typing import Any

import pytest
from celery import Celery

from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN
from tests.faults.test_workers import LINK, fast, many
from tests.harness import House, eventually
from worker.stores import keys


def test_every_row_of_a_chunk_ends_as_a_job_of_its_own_would(house: House) -> None:
    house.sandbox.add_links([("calendar:address", 9, 1)], undeletable=True)
    rows = [
        list(LINK),
        ["calendar:address", 8, 8],  # absent
        ["calendar:address", 9, 1],  # cannot be deleted
        ["calendar:adress", 1, 2],  # unknown type
        ["calendar:address", "x", 2],
        "no row",
    ]
    house.start_worker()
    app = Celery(broker=house.redis_url, backend=house.redis_url)
    sent = app.send_task("unlinker.unlink_many", kwargs={"relations": rows, "run": "r1", "first_row": 2}, queue="bulk")
    result = sent.get(timeout=30)
    assert result.pop("ended_at")
    assert {name: count for name, count in result.items() if count} == {
        "outcome": "done",
        "run": "r1",
        "unlinked": 1,
        "already_absent": 1,
        "dead": 4,
    }
    assert house.rows(sent.id) == b"uadddd"
    assert LINK not in house.sandbox.links()
    assert {action["parentid"] for action in house.sandbox.actions()} == {671, 8, 9}
    letters: Any = house.client.zrange(keys.DEAD, 0, -1)
    reasons = {
        json.loads(house.client.hget(keys.job(letter.decode()), "evidence") or b"{}")["reason"] for letter in letters
    }
    assert reasons == {"NotDeletable", "UnknownRelationType", "BadArguments"}
    (named,) = house.ask("dead", "list", "--reason", "UnknownRelationType", "--parent", "1", "--child", "2")["letters"]
    assert (named["relationtype"], named["row"]) == ("calendar:adress", 5), "it is found by what it names"
    app.close()


@pytest.mark.parametrize(
    "arguments",
    [{}, {"relations": []}, {"relations": [["calendar:address", 1, 2]] * 501}, {"relations": [], "first_row": -1}],
)
def test_a_chunk_that_cannot_be_read_is_a_failure(house: House, arguments: dict[str, object]) -> None:
    house.start_worker()
    app = Celery(broker=house.redis_url, backend=house.redis_url)
    sent = app.send_task("unlinker.unlink_many", kwargs=arguments, queue="bulk")
    with pytest.raises(Exception, match="relations"):
        sent.get(timeout=30)
    app.close()


def test_rows_that_have_to_wait_are_tried_again_and_the_others_are_not(house: House) -> None:
    fast(house)
    links = many(house, 30)
    house.sandbox.fault("action_code", times=2, params={"code": 137}, match={"parentid": 7, "action": "delete"})
    house.sandbox.fault("cut_body", params={"bytes": 40}, match={"parentid": 21, "action": "delete"})
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "10"
    house.start_worker()
    chunk = house.push_chunk(links)
    assert house.ended(chunk)["unlinked"] == 30
    assert not set(links) & house.sandbox.links()
    assert house.sandbox.call("GET", "stats")["deleted_twice"] == []


def test_no_row_is_lost_or_run_twice_when_workers_are_killed(house: House) -> None:
    fast(house)
    house.sandbox.call("PATCH", "options", {"latency_ms": 20})
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "10"
    links = many(house, 1500)
    chunks = [
        house.push_chunk(links[start : start + 250], run="night", first_row=start) for start in range(0, 1500, 250)
    ]
    for number in range(4):
        worker = house.start_worker()
        eventually(lambda number=number: house.rows(*chunks).count(b"u") > 200 * number)  # type: ignore[misc]
        worker.kill()
    house.start_worker()
    documents = house.all_ended(chunks)
    assert sum(document["unlinked"] for document in documents.values()) == 1500
    assert set(house.rows(*chunks)) <= set(b"uv"), "v: its worker died, and nobody knows what became of the request"
    assert not set(links) & house.sandbox.links()
    assert house.sandbox.call("GET", "stats")["deleted_twice"] == []
    eventually(lambda: house.client.hlen(keys.CLAIMED) == 0)


def test_a_stop_gives_a_chunk_back_and_a_halt_parks_it(house: House) -> None:
    house.settings |= {"UNLINKER_REQUESTS_PER_SECOND": "5", "UNLINKER_ACTIONS_PER_REQUEST": "10"}
    links = many(house, 400)
    chunk = house.push_chunk(links)
    worker = house.start_worker()
    eventually(lambda: house.rows(chunk).count(b"u") >= 20)
    assert worker.terminate() < 5
    assert worker.popen.returncode == 0
    assert house.client.hlen(keys.CLAIMED) == 0
    assert house.client.llen("bulk") == 1
    assert b"s" not in house.rows(chunk)
    fast(house)
    house.run("accounts", "halt", "default", "--reason", "test")
    house.start_worker()
    time.sleep(1)
    assert house.rows(chunk).count(b"u") < 400
    house.run("accounts", "resume", "default")
    house.ended(chunk)
    assert house.rows(chunk) == b"u" * 400
    assert len(house.sandbox.actions()) == 400


def test_single_jobs_ride_before_chunks(house: House) -> None:
    house.settings |= {"UNLINKER_REQUESTS_PER_SECOND": "5", "UNLINKER_ACTIONS_PER_REQUEST": "10"}
    chunk = house.push_chunk(many(house, 500))
    house.start_worker()
    eventually(lambda: house.status(chunk) == "sent")
    house.ended(house.unlink(*LINK))
    assert house.status(chunk) == "sent", "the chunk takes ten seconds"


def test_two_chunks_that_name_the_same_rows_of_a_run_both_run(house: House) -> None:
    """The name of a run comes from outside: one must not take the other's ends for its own."""
    house.start_worker()
    links = many(house, 2)
    first = house.push_chunk(links[:1], run="spring", first_row=0)
    house.ended(first)
    second = house.push_chunk(links[1:], run="spring", first_row=0)
    assert house.ended(second)["unlinked"] == 1
    assert not set(links) & house.sandbox.links()


def test_a_cancelled_chunk_deletes_nothing(house: House) -> None:
    house.run("accounts", "halt", "default", "--reason", "test")
    links = many(house, 300)
    app = Celery(broker=house.redis_url)
    chunk = app.send_task("unlinker.unlink_many", kwargs={"relations": links, "account": "default"}, queue="bulk").id
    accounts = house.home / "accounts.toml"
    accounts.write_text(f'[accounts.other]\ntoken = "{DEFAULT_TOKEN}"\nsecret = "{DEFAULT_SECRET}"\n')
    house.start_worker(UNLINKER_ACCOUNTS_FILE=str(accounts))  # else a worker with nothing but halts claims nothing
    eventually(lambda: house.status(chunk) == "parked")
    assert house.run("cancel", chunk).returncode == 0
    house.run("accounts", "resume", "default")
    house.ended(house.unlink(*LINK))
    eventually(lambda: house.client.hlen(keys.CLAIMED) == 0)
    assert set(links) <= house.sandbox.links()
    app.close()


def test_a_chunk_goes_through_celery_for_who_wants_it(house: House) -> None:
    house.start_worker()
    first, second = many(house, 2)
    app = Celery(broker=house.redis_url, backend=house.redis_url)
    following = app.signature(
        "unlinker.unlink_many", kwargs={"relations": [list(second)]}, queue="bulk", immutable=True
    )
    sent = app.send_task("unlinker.unlink_many", kwargs={"relations": [list(first)]}, queue="bulk", link=following)
    assert sent.get(timeout=30)["unlinked"] == 1
    eventually(lambda: second not in house.sandbox.links())
    app.close()
