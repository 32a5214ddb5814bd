"""lua/intend.lua and lua/intend_rows.lua: the last look before a request leaves, and it alone must be enough."""

import time
from typing import Any

import pytest
import redis.asyncio

from worker.stores import keys
from worker.stores.halts import ALL
from worker.stores.journal_format import pack_jobs, pack_rows
from worker.stores.records import Arrival, Intent, Intention, Records, Retention, chunk_fields, record_fields
from worker.stores.rows import Rows, RowsIntention
from worker.unlinking.chunk import Chunk
from worker.unlinking.job import Job, JobTerms, Relation

JOB = Job(id="j", relation=Relation("calendar:address", 671, 153))
CLAIM = "w:1"
CHUNK = Chunk.from_arguments("r.0", {"relations": [["calendar:address", 1, 5]] * 3, "run": "r", "first_row": 0})
WEEK = 7 * 86400  # seconds a job lives, promise 7; written here anew, so that the code's number is checked
SECOND = 1000  # ms


class Bench:
    """One job and one chunk, claimed and admitted."""

    def __init__(self, store: "redis.asyncio.Redis") -> None:
        self.store = store
        self.records = Records(store, Retention(), same_server_as_queue=True)
        self.rows = Rows(store, Retention())

    async def admit(self, job: Job = JOB, chunk: Chunk = CHUNK, claim: str = CLAIM) -> None:
        """As a worker does."""
        fields = ((job.id, record_fields(job)), (chunk.id, chunk_fields(chunk)))
        await self.records.admit([Arrival(id=name, fields=some, claim=claim) for name, some in fields])

    async def job(self, claim: str = CLAIM) -> Intent:
        """May the job be sent?"""
        (word,) = await self.records.intend([Intention(JOB, claim)])
        return word

    async def chunk(self, claim: str = CLAIM) -> Intent:
        """May its rows?"""
        (found,) = await self.rows.intend([RowsIntention(CHUNK, claim, (0, 2))])
        return found.intent

    async def assert_unsent(self) -> None:
        """Nothing is noted as sent, so nothing is looked for later."""
        for record in (JOB.id, CHUNK.id):
            assert await self.store.hget(keys.job(record), "status") != b"sent"
        assert await self.store.get(keys.rows(CHUNK.id)) is None


@pytest.fixture
async def bench(store: "redis.asyncio.Redis") -> Bench:
    bench = Bench(store)
    await bench.admit()
    return bench


async def test_what_may_go_is_noted_as_sent_first(bench: Bench) -> None:
    assert (await bench.job(), await bench.chunk()) == (Intent.GO, Intent.GO)
    for record in (JOB.id, CHUNK.id):
        assert await bench.store.hget(keys.job(record), "status") == b"sent"
        assert await bench.store.hget(keys.job(record), "alone") == b"0"
    assert await bench.store.get(keys.rows(CHUNK.id)) == b"s\0s"
    assert await bench.store.xlen(keys.JOURNAL) == 2


@pytest.mark.parametrize(("halted", "stops"), [("default", True), (ALL, True), ("another", False)])
async def test_a_halt_that_came_after_the_grant_still_stops_the_request(bench: Bench, halted: str, stops: bool) -> None:
    await bench.store.hset(keys.HALTS, halted, "{}")
    expected = Intent.HALTED if stops else Intent.GO
    assert (await bench.job(), await bench.chunk()) == (expected, expected)
    if stops:
        await bench.assert_unsent()
        assert await bench.store.xlen(keys.JOURNAL) == 0


async def test_what_another_worker_has_is_not_sent(bench: Bench) -> None:
    assert (await bench.job("w:2"), await bench.chunk("w:2")) == (Intent.LOST, Intent.LOST)
    await bench.assert_unsent()


async def test_what_has_ended_is_not_sent_again(bench: Bench) -> None:
    for record in (JOB.id, CHUNK.id):
        await bench.store.hset(keys.job(record), mapping={"status": "ended", "outcome": "unlinked"})
    assert (await bench.job(), await bench.chunk()) == (Intent.ENDED, Intent.ENDED)
    await bench.assert_unsent()


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("running", Intent.GO),
        ("paused", Intent.PAUSED),
        ("stopped", Intent.PAUSED),
        ("cancelled", Intent.CANCELLED),
    ],
)
async def test_a_run_that_was_steered_after_the_grant(bench: Bench, state: str, word: Intent) -> None:
    await bench.store.hset(keys.run("r"), "state", state)
    assert await bench.chunk() is word


async def _shift_deadlines(bench: Bench, ms: int) -> None:
    """As if so much less, or more, time had passed."""
    for record in (JOB.id, CHUNK.id):
        await bench.store.hincrby(keys.job(record), "deadline", ms)


@pytest.mark.parametrize(("age", "word"), [(WEEK - 60, Intent.GO), (WEEK + 1, Intent.EXPIRED)])
async def test_seven_days_and_not_a_minute_more(bench: Bench, age: int, word: Intent) -> None:
    await _shift_deadlines(bench, -age * SECOND)
    assert (await bench.job(), await bench.chunk()) == (word, word)


async def test_after_its_deadline_a_job_in_doubt_is_asked_after_and_not_sent(bench: Bench) -> None:
    await bench.store.hset(keys.job(JOB.id), "in_doubt", 1)
    await _shift_deadlines(bench, -(WEEK + 1) * SECOND)
    assert await bench.job() is Intent.ASK
    await bench.assert_unsent()


async def test_the_deadline_is_seven_days_from_the_first_time_it_was_seen(bench: Bench) -> None:
    """However often it is claimed after that."""
    (first,) = await bench.records.admit([Arrival(id="k", fields=record_fields(JOB), claim="w:3")])
    assert first.deadline == pytest.approx(first.now + WEEK, abs=0.01)
    assert first.deadline is not None
    await bench.store.hincrby(keys.job("k"), "first_seen", -86_400 * SECOND)
    (again,) = await bench.records.admit(
        [Arrival(id="k", fields=record_fields(JOB), claim="w:4", taken_over_from="w:3")]
    )
    assert again.deadline == pytest.approx(first.deadline - 86_400, abs=0.01)


@pytest.mark.parametrize(("not_after", "expires"), [(3600, None), (None, 3600), (3600, 7200), (7200, 3600)])
async def test_the_earliest_of_all_deadlines_holds(
    bench: Bench, not_after: float | None, expires: float | None
) -> None:
    now = time.time()
    terms = JobTerms(not_after=None if not_after is None else now + not_after)
    job = Job(id="k", relation=JOB.relation, terms=terms)
    arrival = Arrival(
        id="k", fields=record_fields(job), claim="w:3", expires=None if expires is None else now + expires
    )
    (found,) = await bench.records.admit([arrival])
    assert found.deadline == pytest.approx(now + 3600, abs=0.01)


async def test_a_producers_deadline_cannot_be_later_than_seven_days(bench: Bench) -> None:
    terms = JobTerms(not_after=time.time() + 2 * WEEK)
    job = Job(id="k", relation=JOB.relation, terms=terms)
    (found,) = await bench.records.admit([Arrival(id="k", fields=record_fields(job), claim="w:3")])
    assert found.deadline == pytest.approx(found.now + WEEK, abs=0.01)


def _numbered(number: int) -> Job:
    return Job(id=f"j{number}", relation=Relation("calendar:address", number + 1, 5))


async def test_the_journal_tells_which_jobs_of_a_batch_did_not_go(bench: Bench) -> None:
    """Else an undo would take them for deleted."""
    jobs = [_numbered(number) for number in range(5)]
    await bench.records.admit([Arrival(id=job.id, fields=record_fields(job), claim=CLAIM) for job in jobs])
    await bench.store.hset(keys.job("j3"), mapping={"status": "ended", "outcome": "cancelled"})
    words = await bench.records.intend([Intention(job, "w:2" if job.id == "j1" else CLAIM) for job in jobs])
    assert words == [Intent.GO, Intent.LOST, Intent.GO, Intent.ENDED, Intent.GO]
    ((_, entry),) = await _journal(bench)
    assert entry == {b"jobs": pack_jobs(jobs), b"not": b"1 3"}
    assert [await bench.store.hget(keys.job(job.id), "status") == b"sent" for job in jobs] == [
        word is Intent.GO for word in words
    ]


async def test_the_journal_tells_nothing_of_a_batch_of_which_no_job_went(bench: Bench) -> None:
    assert await bench.job("w:2") is Intent.LOST
    assert await _journal(bench) == []


async def test_the_journal_tells_of_which_run_a_replayed_row_was(bench: Bench) -> None:
    jobs = [_numbered(number) for number in range(2)]
    await bench.records.admit([Arrival(id=job.id, fields=record_fields(job), claim=CLAIM) for job in jobs])
    await bench.store.hset(keys.job("j1"), mapping={"run": "r", "row": 7})
    await bench.records.intend([Intention(job, CLAIM) for job in jobs])
    ((_, entry),) = await _journal(bench)
    assert entry == {b"jobs": pack_jobs(jobs), b"runs": b'{"1":["r",7]}'}


async def test_each_chunk_of_several_gets_its_own_answer_and_entry(bench: Bench) -> None:
    chunks = [
        Chunk.from_arguments(name, {"relations": [["calendar:address", 1, 5]] * 5}) for name in ("c0", "c1", "c2")
    ]
    fields = [Arrival(id=chunk.id, fields=chunk_fields(chunk), claim=CLAIM) for chunk in chunks]
    await bench.records.admit(fields)
    rows = [(0, 1, 3), (2,), (0, 2, 4)]
    claims = [CLAIM, "w:2", CLAIM]
    found = await bench.rows.intend(
        [RowsIntention(chunk, claim, some) for chunk, claim, some in zip(chunks, claims, rows, strict=True)]
    )
    assert [each.intent for each in found] == [Intent.GO, Intent.LOST, Intent.GO]
    assert [await bench.store.get(keys.rows(chunk.id)) for chunk in chunks] == [b"ss\0s", None, b"s\0s\0s"]
    entries = [entry for _, entry in await _journal(bench)]
    assert entries == [{b"rows": pack_rows(chunks[place], rows[place])} for place in (0, 2)]


async def test_who_runs_alone_is_noted(bench: Bench) -> None:
    """A death during its request is its own then."""
    await bench.records.intend([Intention(JOB, CLAIM, alone=True)])
    await bench.rows.intend([RowsIntention(CHUNK, CLAIM, (0,), alone=True)])
    for record in (JOB.id, CHUNK.id):
        assert await bench.store.hget(keys.job(record), "alone") == b"1"
        sent_at = int(await bench.store.hget(keys.job(record), "sent_at") or 0)
        assert abs(sent_at / 1000 - (await bench.store.time())[0]) < 60


async def _journal(bench: Bench) -> list[Any]:
    stored: Any = await bench.store.xrange(keys.JOURNAL)
    return list(stored)
