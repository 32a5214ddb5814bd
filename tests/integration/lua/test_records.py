"""lua/defer, close, traces, find and forget: what a waiting job knows, and looks at what is kept."""

from typing import Any

import pytest
import redis
import redis.asyncio

from tests.ends import die
from worker.stores import keys
from worker.stores.journal import Journal
from worker.stores.lost_jobs import close_letters
from worker.stores.records import Admission, Arrival, Records, Retention, Status, record_fields
from worker.stores.unclaimed import AT_ONCE, Unclaimed
from worker.unlinking.attribution import Known
from worker.unlinking.decisions import Attempt, Ticket
from worker.unlinking.job import Job, Relation
from worker.unlinking.outcome import dead

JOB = Job(id="j", relation=Relation("calendar:address", 671, 153))
KNOWN = Known(seen=True, refused=True, lost_at=5.0, lost_first=True)
TICKET = Ticket(
    job=JOB,
    attempts=3,
    known=KNOWN,
    question=True,
    tries={500: 2, 168: 1},
    history=(Attempt(at=5.0, verdict="again", request="r:1", seconds=0.5, code=500, text="later"),),
)


@pytest.fixture
async def records(store: "redis.asyncio.Redis") -> Records:
    records = Records(store, Retention(), same_server_as_queue=True)
    await records.admit([Arrival(id="j", fields=record_fields(JOB), claim="w:1")])
    return records


async def test_what_the_next_attempt_must_know_is_kept(records: Records, store: "redis.asyncio.Redis") -> None:
    assert await records.defer("w:1", Status.DELAYED, TICKET, "x" * 1000)
    assert await store.hmget(keys.job("j"), ["status", "why"]) == [b"delayed", b"x" * 300]
    (again,) = await records.admit([Arrival(id="j", fields=record_fields(JOB), claim="w:2", taken_over_from="w:1")])
    assert again.admission is Admission.RUN
    assert (again.attempts, again.known, again.question) == (3, KNOWN, True)
    assert (again.tries, again.history, again.waiting) == ({500: 2, 168: 1}, TICKET.history, "")


async def test_who_repeats_it_after_a_lost_reply_is_told_the_same(records: Records) -> None:
    assert await records.defer("w:1", Status.DELAYED, TICKET, "x")
    assert await records.defer("w:1", Status.DELAYED, TICKET, "x")


async def test_what_another_worker_has_or_what_has_ended_does_not_wait(
    records: Records, store: "redis.asyncio.Redis"
) -> None:
    assert not await records.defer("w:2", Status.DELAYED, TICKET, "x")
    assert await store.hmget(keys.job("j"), ["status", "attempts"]) == [b"queued", None]
    await store.hset(keys.job("j"), "status", "ended")
    assert not await records.defer("w:1", Status.DELAYED, TICKET, "x")
    assert await store.hget(keys.job("j"), "status") == b"ended"


async def test_what_waiting_rows_must_know_is_kept_and_nothing_else_is_forgotten_for_it(
    records: Records, store: "redis.asyncio.Redis"
) -> None:
    assert await records.defer("w:1", Status.DELAYED, TICKET, "x")
    assert await records.defer_chunk("j", "w:1", Status.PARKED, "its run is paused", "[1]")
    (again,) = await records.admit([Arrival(id="j", fields=record_fields(JOB), claim="w:2", taken_over_from="w:1")])
    assert (again.waiting, again.history) == ("[1]", TICKET.history)


def test_letters_that_came_true_are_closed_once(redis_url: str) -> None:
    client: Any = redis.Redis.from_url(redis_url)
    die(redis_url, ["a", "b", "c"], dead("Exhausted"))
    assert close_letters(client, {"a": "gone", "nobody": "gone", "b": "already_absent"}, "night") == ["a", "b"]
    assert close_letters(client, {"a": "again", "c": "gone"}, "night") == ["c"]
    assert client.zcard(keys.DEAD) == 0
    assert client.hmget(keys.job("a"), ["closed_as", "closed_by"]) == [b"gone", b"night"]
    assert client.hget(keys.job("b"), "closed_as") == b"already_absent"
    now = client.time()[0]
    assert abs(int(client.hget(keys.job("a"), "closed_at")) / 1000 - now) < 60
    assert Retention().records - 60 < client.ttl(keys.job("a")) <= Retention().records
    assert not client.exists(keys.job("nobody"))
    assert close_letters(client, {}, "night") == []


def message(job_id: str, space: str = " ") -> str:
    return f'{{"headers": {{"id":{space}"{job_id}"}}}}'


@pytest.mark.parametrize("place", [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE])
@pytest.mark.parametrize("space", ["", " "])
def test_a_message_is_found_wherever_it_lies(redis_url: str, place: int, space: str) -> None:
    client: Any = redis.Redis.from_url(redis_url)
    lines = [message(f"other-{number}") for number in range(2 * AT_ONCE + 1)]
    lines[place] = message("mine", space)
    client.rpush(keys.CLAIM_ORDER[-1], *lines)
    client.set(keys.CLAIM_ORDER[0], "no list")
    assert Unclaimed(client).find("mine") == message("mine", space).encode()
    assert Unclaimed(client).find("min") is None
    assert Unclaimed(client).find("other-.*") is None, "words, and no pattern"


def test_the_old_end_of_the_journal_is_cut_off_and_counted(redis_url: str) -> None:
    client: Any = redis.Redis.from_url(redis_url)
    for second in range(10):
        client.xadd(keys.JOURNAL, {"jobs": "x"}, id=f"{1000 * (second + 1)}-0")
    journal = Journal(client)
    assert journal.forget(4.0) == 3
    assert journal.begin() == 4.0, "what is of that very moment stays"
    assert journal.forget(4.0) == 0
    assert journal.forget(5.0) == 1
    assert int(client.hget(keys.COUNTERS, "journal_dropped")) == 4
    assert client.xlen(keys.JOURNAL) == 6


def test_nothing_is_counted_where_nothing_went(redis_url: str) -> None:
    client: Any = redis.Redis.from_url(redis_url)
    assert Journal(client).forget(4.0) == 0
    assert not client.exists(keys.COUNTERS)
