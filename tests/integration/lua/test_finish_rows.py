"""lua/finish_rows.lua: the first end of a row stands, and everything that is told of it agrees."""

from typing import Any

import pytest
import redis.asyncio

from worker.stores import keys
from worker.stores.records import Arrival, Records, Retention, chunk_fields
from worker.stores.rows import RowEnding, Rows
from worker.unlinking.chunk import Chunk
from worker.unlinking.job import Job
from worker.unlinking.outcome import EXPIRED, Evidence, Kind, Outcome, dead

RELATIONS = [["calendar:address", number + 1, 5] for number in range(6)]
CHUNK = Chunk.from_arguments("r.0", {"relations": RELATIONS, "run": "r", "first_row": 100})
UNLINKED = Outcome(kind=Kind.UNLINKED, evidence=Evidence.ANSWERED)
KEPT = dead("NotDeletable", 168, "kept", Evidence.READ_BACK)


class Bench:
    """The rows of one chunk of a run."""

    def __init__(self, store: "redis.asyncio.Redis") -> None:
        self.store = store
        self._rows = Rows(store, Retention())

    async def end(self, outcome: Outcome, *rows: int, chunk: Chunk = CHUNK) -> None:
        """These rows end so."""
        jobs = [job if isinstance(job, Job) else None for job in chunk.rows]
        await self._rows.finish([RowEnding(chunk, row, jobs[row], outcome) for row in rows])

    async def states(self) -> bytes:
        """One byte a row."""
        (found,) = await self._rows.states([CHUNK])
        return found

    async def letters(self) -> set[str]:
        """The dead letters there are."""
        names: Any = await self.store.zrange(keys.DEAD, 0, -1)
        return {name.decode() for name in names}

    async def counts(self, key: str, prefix: str = "") -> dict[str, int]:
        """Counters that are not zero."""
        stored: Any = await self.store.hgetall(key)
        names = {name.decode(): value for name, value in stored.items()}
        return {name.removeprefix(prefix): int(value) for name, value in names.items() if name.startswith(prefix)}

    async def assert_counted(self, **expected: int) -> None:
        """By the run, by all counters, and by what the bytes say."""
        assert await self.counts(keys.run("r"), "n:") == expected
        assert await self.counts(keys.COUNTERS) == expected
        states = await self.states()
        marks = {"unlinked": b"u", "dead": b"d", "expired": b"e"}
        assert {name: states.count(mark) for name, mark in marks.items() if states.count(mark)} == expected


@pytest.fixture
async def bench(store: "redis.asyncio.Redis") -> Bench:
    await store.hset(keys.run("r"), "state", "running")
    await Records(store, Retention(), same_server_as_queue=True).admit(
        [Arrival(id=CHUNK.id, fields=chunk_fields(CHUNK), claim="w:1")]
    )
    return Bench(store)


async def test_rows_end(bench: Bench) -> None:
    await bench.end(UNLINKED, 0, 1, 2)
    await bench.end(KEPT, 4)
    await bench.end(EXPIRED, 5)
    assert await bench.states() == b"uuu\0de"
    assert await bench.letters() == {"r.0:4", "r.0:5"}
    await bench.assert_counted(unlinked=3, dead=1, expired=1)


@pytest.mark.parametrize("first", [UNLINKED, KEPT, EXPIRED])
@pytest.mark.parametrize("second", [UNLINKED, KEPT, EXPIRED])
async def test_the_first_end_stands(bench: Bench, first: Outcome, second: Outcome) -> None:
    await bench.end(first, 1)
    before = (await bench.states(), await bench.letters(), await bench.store.hgetall(keys.job("r.0:1")))
    await bench.end(second, 1)
    assert (await bench.states(), await bench.letters(), await bench.store.hgetall(keys.job("r.0:1"))) == before
    await bench.assert_counted(**{str(first.kind): 1})


@pytest.mark.parametrize("late", [KEPT, EXPIRED])
async def test_no_letter_is_written_for_a_row_that_is_final(bench: Bench, late: Outcome) -> None:
    """It would say that a link is still there, which is gone, and a replay would delete it a second time."""
    await bench.end(UNLINKED, 0, 1, 2)
    await bench.end(late, 0, 1, 2, 3)
    assert await bench.letters() == {"r.0:3"}
    assert not await bench.store.exists(keys.job("r.0:0"))
    await bench.assert_counted(**{"unlinked": 3, str(late.kind): 1})


async def test_among_final_rows_only_the_open_ones_end(bench: Bench) -> None:
    await bench.end(UNLINKED, 1, 3)
    await bench.end(KEPT, 0, 1, 2, 3, 4)
    assert await bench.states() == b"dudud\0"
    assert await bench.letters() == {"r.0:0", "r.0:2", "r.0:4"}
    await bench.assert_counted(unlinked=2, dead=3)


async def test_rows_that_were_sent_end_like_rows_that_were_not(bench: Bench) -> None:
    await bench.store.set(keys.rows(CHUNK.id), b"s\0ss\0s")
    await bench.end(UNLINKED, 0, 1, 2)
    await bench.end(KEPT, 3)
    assert await bench.states() == b"uuud\0s"
    assert await bench.letters() == {"r.0:3"}


async def test_a_letter_tells_what_its_row_and_its_chunk_knew(bench: Bench) -> None:
    await bench.end(KEPT, 4)
    stored: Any = await bench.store.hgetall(keys.job("r.0:4"))
    letter = {name.decode(): value.decode() for name, value in stored.items()}
    chunk = await bench.store.hmget(keys.job(CHUNK.id), ["first_seen", "deadline"])
    assert (letter["status"], letter["outcome"], letter["run"], letter["row"]) == ("ended", "dead", "r", "104")
    assert (letter["relationtype"], letter["parentid"], letter["childid"]) == ("calendar:address", "5", "5")
    assert [letter["first_seen"].encode(), letter["deadline"].encode()] == chunk
    now = (await bench.store.time())[0]
    assert abs(int(letter["ended_at"]) / 1000 - now) < 60
    assert await bench.store.ttl(keys.job("r.0:4")) == -1, "it stays until somebody takes it out"


async def test_a_chunk_that_no_run_fed_counts_for_no_run(bench: Bench) -> None:
    stranger = Chunk.from_arguments("stranger", {"relations": RELATIONS, "run": "r", "first_row": 0})
    await bench.end(UNLINKED, 0, chunk=stranger)
    assert await bench.counts(keys.run("r"), "n:") == {}
    assert await bench.counts(keys.COUNTERS) == {"unlinked": 1}
    kept = Retention().records
    assert kept - 60 < await bench.store.ttl(keys.rows("stranger")) <= kept
    await bench.end(UNLINKED, 0)
    assert await bench.store.ttl(keys.rows(CHUNK.id)) > kept, "those of a run are kept as long as runs are"


async def test_no_counters_of_a_run_that_is_forgotten(bench: Bench) -> None:
    """Else they would stay for ever, and be taken for a run."""
    await bench.store.delete(keys.run("r"))
    await bench.end(UNLINKED, 0)
    assert not await bench.store.exists(keys.run("r"))


async def test_the_journal_tells_each_end(bench: Bench) -> None:
    await bench.end(UNLINKED, 0, 1, 2)
    await bench.end(KEPT, 4)
    entries: Any = await bench.store.xrange(keys.JOURNAL)
    assert [fields for _, fields in entries] == [
        {b"chunk": b"r.0", b"spans": b"0,3,u,a"},
        {b"chunk": b"r.0", b"spans": b"4,1,d,r"},
    ]


async def test_several_chunks_of_one_call_do_not_mix(bench: Bench) -> None:
    other = Chunk.from_arguments("r.1", {"relations": RELATIONS, "run": "r", "first_row": 106})
    stranger = Chunk.from_arguments("x", {"relations": RELATIONS})
    ends = ((CHUNK, 0, KEPT), (other, 1, UNLINKED), (CHUNK, 2, UNLINKED), (stranger, 5, EXPIRED), (other, 2, KEPT))
    rows = Rows(bench.store, Retention())
    await rows.finish([RowEnding(chunk, row, _job(chunk, row), outcome) for chunk, row, outcome in ends])
    assert await rows.states([CHUNK, other, stranger]) == [b"d\0u\0\0\0", b"\0ud\0\0\0", b"\0\0\0\0\0e"]
    assert await bench.letters() == {"r.0:0", "r.1:2", "x:5"}
    assert await bench.counts(keys.run("r"), "n:") == {"dead": 2, "unlinked": 2}
    assert await bench.counts(keys.COUNTERS) == {"dead": 2, "unlinked": 2, "expired": 1}
    numbers = [await bench.store.hget(keys.job(letter), "row") for letter in ("r.0:0", "r.1:2", "x:5")]
    assert numbers == [b"100", b"108", b"5"]


def _job(chunk: Chunk, row: int) -> Job:
    job = chunk.rows[row]
    assert isinstance(job, Job)
    return job
