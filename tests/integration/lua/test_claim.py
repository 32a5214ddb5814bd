"""lua/claim.lua and what moves a claimed message on: ack, renew, give_back, delay, park, unpark."""

from typing import Any

import pytest
import redis.asyncio

from worker.stores import keys
from worker.stores.deliveries import Claimed, Deliveries

LEASE = 30.0  # seconds
UNLINK, CONTROL, BULK = keys.QUEUES
PARKED = keys.parked("default")


class Bench:
    """Queues, and two workers."""

    def __init__(self, store: "redis.asyncio.Redis") -> None:
        self.store = store
        self.first = Deliveries(store, "w1", LEASE)
        self.second = Deliveries(store, "w2", LEASE)

    async def put(self, queue: str, *messages: str) -> None:
        """Into the queue, to be claimed in their order."""
        await self.store.lpush(queue, *messages)

    async def claim(self, count: int = 10, bulk: int = 10) -> list[Claimed]:
        """The first worker claims."""
        return await self.first.claim(count, bulk, keys.QUEUES)

    async def messages(self, count: int = 10, bulk: int = 10) -> list[str]:
        """What it gets."""
        return [each.message.decode() for each in await self.claim(count, bulk)]

    async def now(self) -> int:
        """Redis ms."""
        seconds, micros = await self.store.time()
        return int(seconds * 1000 + micros // 1000)

    async def lease_ends(self, claim: str, ms: int) -> None:
        """Its lease ends in so many milliseconds."""
        await self.store.zadd(keys.LEASES, {claim: await self.now() + ms})

    async def waiting(self, queue: str) -> list[str]:
        """What is in a list, to be claimed next first."""
        stored: Any = await self.store.lrange(queue, 0, -1)
        return [each.decode() for each in reversed(stored)]

    async def held(self) -> tuple[set[str], set[str]]:
        """The claims, and those with a lease."""
        claims: Any = await self.store.hkeys(keys.CLAIMED)
        leases: Any = await self.store.zrange(keys.LEASES, 0, -1)
        return {each.decode() for each in claims}, {each.decode() for each in leases}


@pytest.fixture
def bench(store: "redis.asyncio.Redis") -> Bench:
    return Bench(store)


async def test_a_claim_holds_the_message_under_a_lease(bench: Bench) -> None:
    await bench.put(UNLINK, "a\nb")
    (got,) = await bench.claim()
    assert got == Claimed(got.claim, b"a\nb", "", UNLINK)
    first = _serial(got, "w1")
    assert await bench.waiting(UNLINK) == []
    assert await bench.store.hget(keys.CLAIMED, got.claim) == b"unlink\na\nb", "it is nowhere else any more"
    end = await bench.store.zscore(keys.LEASES, got.claim)
    assert end is not None
    assert 29_000 < end - await bench.now() <= 30_000
    await bench.put(UNLINK, "c")
    (got,) = await bench.claim()
    assert _serial(got, "w1") == first + 1, "no claim has the name of another"


def _serial(claimed: Claimed, owner: str) -> int:
    """The number in a claim's name."""
    name, _, number = claimed.claim.partition(":")
    assert name == owner
    return int(number)


async def test_the_queues_come_in_their_order_and_each_from_its_head(bench: Bench) -> None:
    await bench.put(BULK, "b1")
    await bench.put(CONTROL, "c1", "c2")
    await bench.put(keys.queue_list(UNLINK, 9), "late")
    await bench.put(UNLINK, "u1", "u2")
    assert await bench.messages(3) == ["u1", "u2", "late"]
    assert await bench.messages(1) == ["c1"]
    assert await bench.messages() == ["c2", "b1"]
    assert await bench.messages() == []


async def test_no_more_than_are_wanted_and_the_rest_stays_in_order(bench: Bench) -> None:
    await bench.put(UNLINK, *"abcd")
    assert await bench.messages(2) == ["a", "b"]
    assert await bench.waiting(UNLINK) == ["c", "d"]


@pytest.mark.parametrize("bulk", [0, 1, 2])
async def test_no_more_of_the_bulk_queue_than_its_share(bench: Bench, bulk: int) -> None:
    await bench.put(BULK, *"abc")
    await bench.put(UNLINK, "u")
    assert await bench.messages(10, bulk) == ["u", *"abc"[:bulk]]
    assert await bench.waiting(BULK) == list("abc"[bulk:])


async def test_what_a_dead_worker_left_comes_first_and_tells_whose_it_was(bench: Bench) -> None:
    await bench.put(UNLINK, "a", "b")
    left, kept = await bench.claim(2)
    await bench.put(UNLINK, "new")
    await bench.lease_ends(left.claim, -1)
    await bench.lease_ends(kept.claim, 60_000)
    taken, new = await bench.second.claim(10, 10, keys.QUEUES)
    assert (taken.message, taken.taken_over_from, taken.queue) == (b"a", left.claim, UNLINK)
    assert (new.message, new.taken_over_from, new.queue) == (b"new", "", UNLINK)
    assert _serial(new, "w2") == _serial(taken, "w2") + 1 == _serial(kept, "w1") + 2
    assert await bench.held() == ({kept.claim, taken.claim, new.claim},) * 2


async def test_an_abandoned_chunk_waits_for_room_in_the_bulk_share(bench: Bench) -> None:
    await bench.put(BULK, "chunk")
    (left,) = await bench.claim()
    await bench.lease_ends(left.claim, -1)
    assert await bench.messages(10, 0) == []
    assert await bench.held() == ({left.claim},) * 2, "and is not lost meanwhile"
    assert await bench.messages(10, 1) == ["chunk"]


async def test_a_lease_without_a_message_is_forgotten(bench: Bench) -> None:
    await bench.lease_ends("w0:7", -1)
    assert await bench.messages() == []
    assert await bench.held() == (set(), set())


async def test_what_is_delayed_comes_when_it_is_due_with_its_queue(bench: Bench) -> None:
    await bench.put(CONTROL, "a")
    (got,) = await bench.claim()
    before = await bench.now()
    await bench.first.delay(got.claim, 60)
    assert await bench.held() == (set(), set())
    stored: Any = await bench.store.zrange(keys.DELAYED, 0, -1, withscores=True)
    ((entry, due),) = stored
    assert before + 60_000 <= due <= await bench.now() + 60_000
    assert await bench.messages() == []
    await bench.store.zadd(keys.DELAYED, {entry: await bench.now() - 1})
    await bench.put(CONTROL, "b")
    again = await bench.claim()
    assert [(each.message, each.taken_over_from, each.queue) for each in again] == [
        (b"a", "", CONTROL),
        (b"b", "", CONTROL),
    ]
    assert await bench.store.zcard(keys.DELAYED) == 0


async def test_due_chunks_keep_to_the_bulk_share(bench: Bench) -> None:
    await bench.put(BULK, "chunk")
    (got,) = await bench.claim()
    await bench.first.delay(got.claim, 0)
    assert await bench.messages(10, 0) == []
    assert await bench.store.zcard(keys.DELAYED) == 1
    await bench.store.zadd(keys.DELAYED, {"bulk\nchunk": 1})
    assert await bench.messages(10, 1) == ["chunk"]


async def test_no_more_than_are_wanted_of_all_kinds_together(bench: Bench) -> None:
    await bench.put(UNLINK, *"abcd")
    left, delayed = await bench.claim(2)
    await bench.lease_ends(left.claim, -1)
    await bench.store.zadd(keys.DELAYED, {"unlink\nx": 1, "unlink\ny": 2})
    await bench.first.ack([delayed.claim])
    assert await bench.messages(2) == ["a", "x"]
    assert await bench.messages(2) == ["y", "c"]


async def test_a_key_of_another_type_holds_up_no_other_queue(bench: Bench) -> None:
    await bench.store.set(UNLINK, "no list")
    await bench.put(BULK, "b")
    assert await bench.messages() == ["b"]


async def test_what_is_acked_is_gone_and_nothing_else(bench: Bench) -> None:
    await bench.put(UNLINK, "a", "b", "c")
    a, b, c = await bench.claim()
    await bench.first.ack([a.claim, c.claim, "w9:9"])
    assert await bench.held() == ({b.claim},) * 2


async def test_a_renewed_lease_lasts_its_whole_time_and_lost_ones_are_told(bench: Bench) -> None:
    await bench.put(UNLINK, "a", "b")
    a, b = await bench.claim()
    await bench.lease_ends(a.claim, 5)
    await bench.lease_ends(b.claim, -1)
    await bench.second.claim(1, 1, keys.QUEUES)
    assert await bench.first.renew([a.claim, "w9:9", b.claim]) == ["w9:9", b.claim]
    end = await bench.store.zscore(keys.LEASES, a.claim)
    assert end is not None
    assert 29_000 < end - await bench.now() <= 30_000
    assert await bench.store.zscore(keys.LEASES, b.claim) is None, "another worker has it"


async def test_what_is_given_back_is_claimed_next_and_in_its_order(bench: Bench) -> None:
    await bench.put(UNLINK, *"abc")
    await bench.put(BULK, "b1", "b2")
    a, b, c, chunk = await bench.claim(4)
    assert await bench.first.give_back([a.claim, b.claim, "w9:9", chunk.claim]) == 3
    assert await bench.waiting(UNLINK) == ["a", "b"]
    assert await bench.waiting(BULK) == ["b1", "b2"]
    assert await bench.held() == ({c.claim},) * 2


async def test_what_another_worker_took_over_moves_nowhere(bench: Bench) -> None:
    await bench.put(UNLINK, "a")
    (old,) = await bench.claim()
    await bench.lease_ends(old.claim, -1)
    (new,) = await bench.second.claim(1, 1, keys.QUEUES)
    await bench.first.delay(old.claim, 5)
    await bench.first.park(old.claim, "default")
    await bench.first.park_many("default", [(old.claim, "a")], "x")
    assert await bench.first.give_back([old.claim]) == 0
    assert await bench.held() == ({new.claim},) * 2
    for key in (keys.DELAYED, PARKED, keys.PARKING, UNLINK):
        assert not await bench.store.exists(key)


async def test_what_is_parked_comes_back_the_longest_parked_first(bench: Bench) -> None:
    await bench.put(UNLINK, *"abc")
    for got in await bench.claim():
        await bench.first.park(got.claim, "default")
    assert await bench.held() == (set(), set())
    assert await bench.first.parking_accounts() == ["default"]
    assert await bench.first.parked(["default", "other"]) == {"default": 3, "other": 0}
    await bench.put(UNLINK, "new")
    assert await bench.first.unpark("default", 2) == 2
    assert await bench.first.parking_accounts() == ["default"]
    assert await bench.messages(3) == ["a", "b", "new"]
    assert await bench.first.unpark("default", 2) == 1
    assert await bench.first.unpark("default", 2) == 0
    assert await bench.first.parking_accounts() == []
    assert await bench.messages() == ["c"]


async def test_parked_in_one_go_each_is_noted_in_its_record_if_it_is_still_its(bench: Bench) -> None:
    await bench.put(UNLINK, *"abc")
    a, b, c = await bench.claim()
    records: dict[str, dict[Any, Any]] = {
        "a": {"claim": a.claim, "status": "queued"},
        "b": {"claim": b.claim, "status": "ended"},
        "c": {"claim": "w9:9", "status": "sent"},
    }
    for job, fields in records.items():
        await bench.store.hset(keys.job(job), mapping=fields)
    await bench.first.park_many("default", [(a.claim, "a"), (b.claim, "b"), (c.claim, "c")], "why")
    stored = [await bench.store.hmget(keys.job(job), ["status", "why"]) for job in "abc"]
    assert stored == [[b"parked", b"why"], [b"ended", None], [b"sent", None]]
    assert await bench.held() == (set(), set())
    assert await bench.first.parked(["default"]) == {"default": 3}
    assert await bench.first.parking_accounts() == ["default"]
    assert await bench.first.unpark("default", 5) == 3
    (got,) = await bench.claim(1)
    assert got.message == b"a"
    assert await bench.waiting(UNLINK) == ["b", "c"], "as they came"
    await bench.first.park_many("default", [(got.claim, "a")], "why")
    assert await bench.first.parking_accounts() == ["default"], "one alone, too"


async def test_chunks_park_with_their_run(bench: Bench) -> None:
    await bench.put(BULK, "chunk")
    (got,) = await bench.claim()
    await bench.first.park_with_run(got.claim, "r")
    assert await bench.first.parking_runs() == {"r"}
    assert await bench.first.unpark_run("r", 5) == 1
    assert await bench.first.parking_runs() == frozenset()
    assert await bench.messages() == ["chunk"]
