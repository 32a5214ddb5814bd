"""lua/run_look.lua: when a run ends, when a brake stops it, and which chunks may be fed."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis.asyncio

from worker.stores import keys
from worker.stores.records import Retention
from worker.stores.run_feed import FEEDING_LEASE, LEAST_AHEAD, MOST_AHEAD, Look, RunFeed
from worker.unlinking.runs import Layout, chunk_id

RUN, ACCOUNT = "r", "default"
BYTES = {"unlinked": b"u", "already_absent": b"a", "restored": b"r", "already_present": b"p"}
BYTES |= {"cancelled": b"c", "dead": b"d", "expired": b"e"}
GOOD = ("unlinked", "already_absent", "restored", "already_present", "cancelled")
RATE = 0.1  # failures allowed


@dataclass
class Bench:
    """One run, whose counters are set by the test, and workers that look after it."""

    store: "redis.asyncio.Redis"
    rows_key: str = "rows"
    layout: Layout = field(default_factory=lambda: Layout(0))

    async def start(self, rows: int, *, canary: int = 0, size: int = 500, next_chunk: int | None = None) -> None:
        """A run on its way; unless said otherwise all of it is fed."""
        self.layout = layout = Layout(rows, canary, size)
        fields: dict[Any, Any] = {
            "state": "running",
            "account": ACCOUNT,
            "rows_key": self.rows_key,
            "rows": rows,
            "chunks": layout.chunks,
            "first": layout.first,
            "size": size,
            "canary": canary,
            "max_failure_rate": RATE,
            "next": layout.chunks if next_chunk is None else next_chunk,
        }
        await self.store.hset(keys.run(RUN), mapping=fields)
        await self.store.sadd(keys.RUNS_OPEN, RUN)
        await self.store.set(keys.run_slot(ACCOUNT), RUN)

    async def count(self, **outcomes: int) -> None:
        """So many rows have ended: the counters say so, and the rows."""
        states = b"".join(BYTES[name] * count for name, count in outcomes.items())
        for number in range(self.layout.chunks):
            first, length = self.layout.span(number)
            if first >= len(states):
                break
            await self.store.set(keys.rows(chunk_id(RUN, number)), states[first : first + length])
        await self.store.hset(keys.run(RUN), mapping={f"n:{name}": count for name, count in outcomes.items()})

    async def look(self, me: str = "w1") -> Look:
        """A worker looks."""
        return await RunFeed(self.store, Retention(), me).look(RUN)

    async def field(self, name: str) -> str | None:
        """Of the run."""
        value: Any = await self.store.hget(keys.run(RUN), name)
        return None if value is None else str(value.decode())


@pytest.fixture
def bench(store: "redis.asyncio.Redis") -> Bench:
    return Bench(store)


async def test_the_failure_rate_is_that_of_the_last_200_rows(bench: Bench) -> None:
    """Not of the 2,000 good ones before them, and not of fewer, where one bad row is a tenth."""
    await bench.start(10_000)
    await bench.count(unlinked=2000)
    assert (await bench.look()).state == "running"
    await bench.count(unlinked=2099, dead=100)
    assert (await bench.look()).state == "running", "199 rows"
    await bench.count(unlinked=2100, dead=100)
    assert (await bench.look()).state == "stopped"
    assert await bench.field("why") == "50.0 % (100 of 200) of the last rows failed"
    assert await bench.field("stopped_at")


async def test_each_window_begins_where_the_last_one_ended(bench: Bench) -> None:
    """What failed before is not counted again, in good windows or in bad ones."""
    await bench.start(10_000)
    await bench.count(unlinked=180, dead=20)
    assert (await bench.look()).state == "running", "a tenth is allowed"
    assert (await bench.field("mark_done"), await bench.field("mark_failed")) == ("200", "20")
    await bench.count(unlinked=361, dead=39)
    assert (await bench.look()).state == "running", "19 of 200, not 39"
    assert (await bench.field("mark_done"), await bench.field("mark_failed")) == ("400", "39")
    await bench.count(unlinked=540, dead=60)
    assert (await bench.look()).state == "stopped", "21 of 200"


@pytest.mark.parametrize("outcome", ["dead", "expired"])
async def test_dead_and_expired_rows_are_failures(bench: Bench, outcome: str) -> None:
    await bench.start(10_000)
    await bench.count(unlinked=179, **{outcome: 21})
    assert (await bench.look()).state == "stopped"
    assert await bench.field("why") == "10.5 % (21 of 200) of the last rows failed"


@pytest.mark.parametrize("outcome", GOOD)
async def test_all_other_ends_are_no_failures_and_count_as_done(bench: Bench, outcome: str) -> None:
    await bench.start(300)
    await bench.count(**{outcome: 299})
    assert (await bench.look()).state == "running"
    await bench.count(**{outcome: 300})
    assert (await bench.look()).state == "done"


async def test_a_run_that_is_through_is_done_whatever_its_last_rows_came_to(bench: Bench) -> None:
    """There is nothing left to stop."""
    await bench.start(10)
    await bench.count(dead=10)
    assert (await bench.look()).state == "done"
    assert await bench.field("why") is None


async def test_what_is_over_is_closed_and_kept_for_its_time(bench: Bench) -> None:
    await bench.start(10)
    await bench.store.set(bench.rows_key, "x")
    await bench.count(unlinked=9, dead=1)
    assert (await bench.look()).state == "done"
    assert await bench.field("state") == "done"
    assert await bench.field("ended_at")
    assert not await bench.store.exists(keys.run_slot(ACCOUNT))
    assert not await bench.store.sismember(keys.RUNS_OPEN, RUN)
    kept = Retention().runs
    for key in (keys.run(RUN), keys.run_pace(RUN), bench.rows_key):
        assert kept - 60 < await bench.store.ttl(key) <= kept
    assert (await bench.look()).state == "done", "and so it stays"


async def test_an_account_that_another_run_has_taken_is_not_freed(bench: Bench) -> None:
    await bench.start(10)
    await bench.store.set(keys.run_slot(ACCOUNT), "another")
    await bench.count(unlinked=10)
    assert (await bench.look()).state == "done"
    assert await bench.store.get(keys.run_slot(ACCOUNT)) == b"another"


async def test_a_run_that_nobody_knows_is_looked_after_no_more(bench: Bench) -> None:
    await bench.store.sadd(keys.RUNS_OPEN, RUN)
    assert (await bench.look()).state == ""
    assert not await bench.store.sismember(keys.RUNS_OPEN, RUN)


@pytest.mark.parametrize("state", ["paused", "stopped", "loading"])
async def test_what_does_not_run_is_neither_fed_nor_ended(bench: Bench, state: str) -> None:
    await bench.start(10, next_chunk=0)
    await bench.store.hset(keys.run(RUN), "state", state)
    assert await bench.look() == Look(state)
    await bench.count(dead=10)
    assert await bench.look() == Look(state)


async def test_a_cancelled_run_is_over_when_all_that_was_fed_has_ended(bench: Bench) -> None:
    await bench.start(2000, canary=10, next_chunk=2)  # 10 and 500 rows
    await bench.store.hset(keys.run(RUN), "state", "cancelled")
    await bench.count(cancelled=509)
    assert await bench.look() == Look("cancelled")
    assert await bench.field("ended_at") is None
    await bench.count(cancelled=510)
    assert await bench.look() == Look("cancelled")
    assert await bench.field("ended_at")


async def test_the_canary_goes_alone(bench: Bench) -> None:
    await bench.start(2000, canary=10, next_chunk=0)
    assert await bench.look() == Look("running", 0, 1)
    await bench.store.hset(keys.run(RUN), "next", 1)
    assert await bench.look() == Look("running"), "nothing is fed before it is through"
    await bench.count(unlinked=9)
    assert await bench.look() == Look("running")
    await bench.count(unlinked=9, dead=1)
    assert (await bench.look()).first == 1, "a tenth is allowed"
    assert await bench.field("canary_passed") == "1"


@pytest.mark.parametrize("outcome", ["dead", "expired"])
async def test_a_bad_canary_stops_the_run(bench: Bench, outcome: str) -> None:
    await bench.start(2000, canary=10, next_chunk=1)
    await bench.count(unlinked=8, **{outcome: 2})
    assert await bench.look() == Look("stopped")
    assert await bench.field("why") == "20.0 % (2 of 10) of the canary failed"
    assert await bench.field("canary_passed") is None


async def test_a_run_that_is_all_canary_ends(bench: Bench) -> None:
    await bench.start(5, canary=10)
    await bench.count(unlinked=5)
    assert (await bench.look()).state == "done"


async def test_no_more_is_fed_than_may_be_on_its_way(bench: Bench) -> None:
    """1,000 rows at first; of those that are fed and have not ended."""
    await bench.start(5000, next_chunk=0)
    assert await bench.look() == Look("running", 0, LEAST_AHEAD // 500)
    await bench.store.hset(keys.run(RUN), "next", 2)
    assert await bench.look() == Look("running")
    await bench.count(unlinked=499)
    assert await bench.look() == Look("running")
    await bench.count(unlinked=500)
    assert await bench.look() == Look("running", 2, 1)


async def test_the_last_chunks_are_fed_and_none_behind_them(bench: Bench) -> None:
    await bench.start(1100, canary=0, next_chunk=2)
    await bench.count(unlinked=1000)
    assert await bench.look() == Look("running", 2, 1)
    await bench.store.hset(keys.run(RUN), "next", 3)
    assert await bench.look() == Look("running")


async def test_one_worker_feeds_until_it_is_silent_for_too_long(bench: Bench) -> None:
    await bench.start(5000, next_chunk=0)
    assert (await bench.look("w1")).count
    assert await bench.look("w2") == Look("running")
    assert (await bench.look("w1")).count, "it may go on"
    now = (await bench.store.time())[0] * 1000
    until = float(await bench.field("feeder_until") or 0)
    assert now - 60_000 < until - FEEDING_LEASE < now + 60_000
    await bench.store.hset(keys.run(RUN), "feeder_until", now - 1)
    assert (await bench.look("w2")).count
    assert await bench.look("w1") == Look("running")


async def test_chunks_that_are_fed_twice_are_counted_once(bench: Bench) -> None:
    await bench.start(5000, next_chunk=2)
    await bench.store.hset(keys.run(RUN), mapping={"feeder": "w1", "feeder_until": 1})
    feed = RunFeed(bench.store, Retention(), "w1")
    await feed.fed(RUN, 2, 3)
    await feed.fed(RUN, 2, 3)
    assert await bench.field("next") == "5"
    assert [await bench.field(name) for name in ("feeder", "feeder_until")] == [None, None]
    await bench.store.hset(keys.run(RUN), "feeder", "w2")
    await feed.fed(RUN, 2, 3)
    assert await bench.field("feeder") == "w2", "who is late changes nothing"


async def test_the_pace_is_noted_now_and_then_and_at_the_end(bench: Bench) -> None:
    """300 times at the most of a run that goes evenly."""
    await bench.start(30_000)
    paces = []
    for done in (0, 98, 99, 198, 199):
        await bench.count(unlinked=done)
        await bench.look()
        paces.append(await bench.store.llen(keys.run_pace(RUN)))
    assert paces == [0, 0, 1, 1, 2]
    await bench.count(unlinked=29_990, dead=10)
    await bench.look()
    last = await bench.store.lrange(keys.run_pace(RUN), -1, -1)
    at, done, failed = json.loads(last[0])
    assert (done, failed) == (30_000, 10)
    assert abs(at / 1000 - (await bench.store.time())[0]) < 60


@pytest.mark.parametrize(
    ("done", "seconds", "chunks"),
    [(320_000, 100, 12), (400_000, 1, MOST_AHEAD // 500), (100, 100, LEAST_AHEAD // 500)],
)
async def test_a_faster_run_has_more_on_its_way(bench: Bench, done: int, seconds: int, chunks: int) -> None:
    """As many rows as end in two seconds, and within bounds: 3,200 a second are 6,400 rows, and 12 chunks."""
    await bench.start(1_000_000, next_chunk=800)
    now = (await bench.store.time())[0] * 1000
    measured: dict[Any, Any] = {"rate": 5, "rate_at": now - 1000 * seconds, "rate_done": 400_000 - done}
    await bench.store.hset(keys.run(RUN), mapping=measured | {"n:unlinked": 400_000})
    assert await bench.look() == Look("running", 800, chunks)


async def test_the_rate_is_measured_over_half_a_second_at_least(bench: Bench) -> None:
    await bench.start(1_000_000, next_chunk=100)
    await bench.count(unlinked=50_000)
    await bench.look()
    assert float(await bench.field("rate") or -1) == 0, "nothing to compare with"
    at = int(await bench.field("rate_at") or 0)
    assert await bench.field("rate_done") == "50000"
    await bench.store.hset(keys.run(RUN), "rate_at", at - 10_000)
    await bench.count(unlinked=60_000)
    await bench.look()
    rate, seconds = float(await bench.field("rate") or 0), (int(await bench.field("rate_at") or 0) - at + 10_000) / 1000
    assert rate == pytest.approx(10_000 / seconds)
