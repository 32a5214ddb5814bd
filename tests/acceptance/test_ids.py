"""An id is an idempotency key: one id names one job, and nobody is answered with another job's outcome."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from celery import Celery
from celery.result import AsyncResult

from tasks.door import Door
from tests.faults.test_workers import fast, many
from tests.harness import House, eventually
from worker.stores import keys
from worker.stores.wishes import Accepted
from worker.unlinking.job import Job

NAME = "unlinker.unlink"
NUMBERS = iter(range(1000, 100_000))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for all tests here: each has links and ids of its own."""
    house = House(tmp_path_factory.mktemp("ids") / "house")
    try:
        house.start_sandbox()
        fast(house)
        house.start_worker()
        yield house
    finally:
        house.close()


@pytest.fixture
def app(house: House) -> Iterator[Celery]:
    with Celery("producer", broker=house.redis_url, backend=house.redis_url, set_as_current=False) as app:
        yield app


def wish(house: House, **more: object) -> dict[str, Any]:
    ((kind, parent, child),) = many(house, 1, first=next(NUMBERS))
    return {"relationtype": kind, "parentid": parent, "childid": child, **more}


def is_gone(house: House, wanted: dict[str, Any]) -> bool:
    return (wanted["relationtype"], wanted["parentid"], wanted["childid"]) not in house.sandbox.links()


def result_type(app: Celery, job_id: str) -> str:
    """Of a job that failed, its exception; else its outcome. A look that waits for nothing."""
    result = AsyncResult(job_id, app=app)
    found = result.result
    return type(found).__name__ if isinstance(found, BaseException) else str((found or {}).get("outcome"))


def letter_of(house: House, job_id: str) -> dict[str, Any]:
    """The letter of the other job, found from the first one."""
    own_id = eventually(lambda: house.job(job_id).get("reused_by"))
    house.ended(own_id)
    letter: dict[str, Any] = house.ask("dead", "show", own_id)
    assert letter["reused_of"] == job_id
    return letter


def test_another_relation_under_a_known_id_is_not_answered_as_the_first(house: House, app: Celery) -> None:
    job_id, first, second = str(uuid.uuid4()), wish(house), wish(house)
    assert app.send_task(NAME, kwargs=first, queue="unlink", task_id=job_id).get(timeout=30)["outcome"] == "unlinked"
    app.send_task(NAME, kwargs=second, queue="unlink", task_id=job_id)
    eventually(lambda: result_type(app, job_id) == "IdReused")
    letter = letter_of(house, job_id)
    assert (letter["reason"], letter["parentid"], letter["childid"]) == (
        "IdReused",
        second["parentid"],
        second["childid"],
    )
    for wanted in (first, second):
        assert f"{wanted['parentid']} -> {wanted['childid']}" in letter["message"], "both relations are shown"
    assert "unlinked at" in letter["message"]
    assert not is_gone(house, second)
    assert house.job(job_id)["outcome"] == "unlinked", "the first one's outcome stands"
    checks = {check["name"]: check for check in house.ask("doctor")["checks"]}
    assert not checks["ids"]["fine"]
    assert house.ask("dead", "list", "--reason", "IdReused")["count"] >= 1
    moved = house.ask("dead", "replay", letter["id"], "--because", "it is meant", "--yes")
    assert moved["moved"] == 1
    eventually(lambda: is_gone(house, second))


@pytest.mark.parametrize("resend", ["the first", "the second"])
def test_while_the_first_is_open_both_producers_are_told(house: House, app: Celery, resend: str) -> None:
    job_id, first, second = str(uuid.uuid4()), wish(house), wish(house)
    app.send_task(NAME, kwargs=first, queue="unlink", task_id=job_id, countdown=3)
    eventually(lambda: house.status(job_id) == "delayed")
    app.send_task(NAME, kwargs=second, queue="unlink", task_id=job_id)
    letter = letter_of(house, job_id)
    eventually(lambda: result_type(app, job_id) == "IdReused")
    app.send_task(NAME, kwargs=first if resend == "the first" else second, queue="unlink", task_id=job_id)
    assert house.ended(job_id)["outcome"] == "unlinked"
    eventually(lambda: house.client.hlen(keys.CLAIMED) == 0 and house.client.llen("unlink") == 0)
    assert result_type(app, job_id) == "IdReused", "neither takes the other's outcome for its own"
    assert (is_gone(house, first), is_gone(house, second)) == (True, False)
    assert (
        house.ask("dead", "list", "--parent", str(second["parentid"]), "--child", str(second["childid"]))["count"] == 1
    )
    house.here("dead", "discard", letter["id"], "--because", "test", "--yes")


@pytest.mark.parametrize("how", ["account", "restore", "a chunk", "bad arguments", "from bad arguments"])
def test_whatever_differs_is_another_job(house: House, app: Celery, how: str) -> None:
    job_id, wanted = str(uuid.uuid4()), wish(house)
    row = [wanted["relationtype"], wanted["parentid"], wanted["childid"]]
    other: dict[str, Any] = {"name": NAME, "kwargs": wanted, "queue": "unlink"}
    match how:
        case "account":
            other["kwargs"] = wanted | {"account": "north"}
        case "restore":
            other = {"name": "unlinker.undo", "kwargs": {"relations": [row]}, "queue": "bulk"}
        case "a chunk":
            other = {"name": "unlinker.unlink_many", "kwargs": {"relations": [row]}, "queue": "bulk"}
        case _:
            other["kwargs"] = wanted | {"parentid": "0014"}
    sent = [{"name": NAME, "kwargs": wanted, "queue": "unlink"}, other]
    for each in reversed(sent) if how == "from bad arguments" else sent:
        app.send_task(task_id=job_id, **each)
        house.ended(job_id)
    eventually(lambda: result_type(app, job_id) == "IdReused")
    own = house.ended(house.job(job_id)["reused_by"])
    assert own["reused_of"] == job_id
    assert own.get("reason") == "IdReused" or own["dead"] == 1, "of a chunk: its row is"
    assert is_gone(house, wanted) is (how != "from bad arguments")


def test_another_chunk_under_a_known_id_leaves_a_letter_for_each_row(house: House, app: Celery) -> None:
    chunk_id, links = str(uuid.uuid4()), [list(wish(house).values()) for _ in range(5)]
    for some in (links[:2], links[:2], links[2:], links[:2]):
        app.send_task("unlinker.unlink_many", kwargs={"relations": some}, queue="bulk", task_id=chunk_id)
    own_id = eventually(lambda: house.job(chunk_id).get("reused_by"))
    house.ended(own_id)
    letters = [house.ask("dead", "show", f"{own_id}:{row}") for row in range(3)]
    assert [[each["relationtype"], each["parentid"], each["childid"]] for each in letters] == links[2:]
    assert {(each["reason"], each["reused_of"]) for each in letters} == {("IdReused", chunk_id)}
    assert house.ended(chunk_id)["unlinked"] == 2
    assert {tuple(link) for link in links[2:]} <= house.sandbox.links()


def test_the_same_job_again_is_answered_with_the_old_outcome_and_when_that_was(house: House, app: Celery) -> None:
    job_id, wanted = str(uuid.uuid4()), wish(house)
    link = (wanted["relationtype"], wanted["parentid"], wanted["childid"])
    before = datetime.now(UTC)
    app.send_task(NAME, kwargs=wanted, queue="unlink", task_id=job_id, ignore_result=True)
    ended_at = datetime.fromtimestamp(house.ended(job_id)["ended_at"], UTC)
    house.sandbox.add_links([link])
    again = wanted | {"relationtype": "urn:onoffice-de-ns:smart:2.5:relationTypes:" + wanted["relationtype"]}
    told = app.send_task(NAME, kwargs=again | {"reason": "once more"}, queue="unlink", task_id=job_id).get(timeout=30)
    assert told["outcome"] == "unlinked"
    when = datetime.fromisoformat(told["ended_at"])
    assert abs(when - ended_at).total_seconds() < 0.01
    assert when >= before.replace(microsecond=0)
    assert link in house.sandbox.links(), "it was made anew, and nobody asked under an id of its own"
    chunk = app.send_task("unlinker.unlink_many", kwargs={"relations": [list(link)]}, queue="bulk")
    assert datetime.fromisoformat(chunk.get(timeout=30)["ended_at"]) >= when


def test_our_own_doors_keep_to_it(house: House, app: Celery) -> None:
    with redis.Redis.from_url(house.redis_url) as client:
        door, job_id = Door(client), str(uuid.uuid4())
        first, second = wish(house), wish(house)
        jobs = [Job.from_arguments(job_id, wanted) for wanted in (first, first, second, first, second)]
        accepted = [receipt.accepted for receipt in door.enqueue_jobs(jobs)]
    again, another = Accepted.EXISTS, Accepted.REUSED
    assert accepted == [Accepted.QUEUED, again, another, again, another]
    assert letter_of(house, job_id)["parentid"] == second["parentid"]
    assert house.ended(job_id)["outcome"] == "unlinked"
    eventually(lambda: result_type(app, job_id) == "IdReused")
    assert (is_gone(house, first), is_gone(house, second)) == (True, False)


def test_a_replayed_restore_is_its_own_job(house: House, app: Celery) -> None:
    """Its record is a job's, its message a chunk of one row: one id, and one fingerprint."""
    wanted = wish(house)
    row = [wanted["relationtype"], wanted["parentid"], wanted["childid"]]
    app.send_task(NAME, kwargs=wanted, queue="unlink").get(timeout=30)
    house.sandbox.fault(
        "action_code", times=None, params={"code": 149}, match={"parentid": wanted["parentid"], "action": "create"}
    )
    chunk_id = app.send_task("unlinker.undo", kwargs={"relations": [row]}, queue="bulk").id
    house.ended(chunk_id)
    house.sandbox.call("DELETE", "faults")
    moved = house.ask("dead", "replay", f"{chunk_id}:0", "--because", "right granted", "--yes")
    assert moved["moved"] == 1
    eventually(lambda: not is_gone(house, wanted))
