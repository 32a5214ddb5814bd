"""The limiter on a real Valkey: no window over the rate, places in flight, halts, slowing down and recovering."""

import asyncio
import itertools
import time

import pytest
import redis.asyncio

from worker.onoffice.codes import LONGEST_PAUSE
from worker.stores.halts import ALL, Halt, HaltedBy, Halts
from worker.stores.limiter import Grant, Limiter, Limits, Refusal, Refused, Release, Report


def limiter(store: "redis.asyncio.Redis", rate: float = 50, in_flight: int = 100, lease: float = 30) -> Limiter:
    return Limiter(store, "default", Limits(rate, in_flight, lease))


async def ask(limiter: Limiter, grant_id: str, *, probing: bool = False) -> Grant | Refused:
    """One place."""
    answer = await limiter.ask(grant_id, probing=probing)
    return answer if isinstance(answer, Refused) else answer[0]


async def release(limiter: Limiter, grant: Grant, report: Report, pause: float = 0.0) -> None:
    """One place back."""
    await limiter.release([Release(grant, report, pause)])


async def test_grants_of_many_askers_are_spaced(store: "redis.asyncio.Redis") -> None:
    """Three workers ask at once until they had 70: the places they get are a tick apart, whoever asks."""
    limiters = [limiter(store, rate=50) for _ in range(3)]
    starts: list[int] = []

    async def keep_asking(number: int) -> None:
        while len(starts) < 70:
            answer = await ask(limiters[number], f"{number}-{len(starts)}-{time.monotonic_ns()}")
            if isinstance(answer, Grant):
                starts.append(int(answer.start))
                await release(limiters[number], answer, Report.OK)
            else:
                await asyncio.sleep(answer.wait / 2)

    await asyncio.gather(*(keep_asking(number) for number in range(3)))
    starts.sort()
    tick = Limits(50, 1, 1).tick_us
    assert all(later - earlier >= tick for earlier, later in itertools.pairwise(starts))
    assert all(starts[i + 51] - starts[i] >= 1_000_000 for i in range(len(starts) - 51)), "51 in no second"


async def test_only_so_many_are_in_flight_and_a_dead_ones_place_comes_back(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, rate=1000, in_flight=2, lease=2)
    first, second = await ask(mine, "a"), await ask(mine, "b")
    assert isinstance(first, Grant)
    assert isinstance(second, Grant)
    third = await ask(mine, "c")
    assert isinstance(third, Refused)
    assert third.why is Refusal.FULL
    await release(mine, first, Report.OK)
    assert isinstance(await ask(mine, "d"), Grant)
    await asyncio.sleep(1)
    await mine.renew(["d:1"])
    await asyncio.sleep(1.3)
    assert isinstance(await ask(mine, "e"), Grant), "b was never released; its lease ran out"
    fifth = await ask(mine, "f")
    assert isinstance(fifth, Refused), "d was renewed"


async def test_a_place_that_is_far_away_is_not_reserved(store: "redis.asyncio.Redis") -> None:
    slow = limiter(store, rate=1)
    assert isinstance(await ask(slow, "a"), Grant)
    assert isinstance(await ask(slow, "b"), Grant)
    answer = await ask(slow, "c")
    assert isinstance(answer, Refused)
    assert answer.why is Refusal.WAIT
    assert 1 < answer.wait < 3


async def test_an_unused_grant_is_given_back(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, rate=1)
    first = await ask(mine, "a")
    assert isinstance(first, Grant)
    await release(mine, first, Report.UNUSED)
    again = await ask(mine, "b")
    assert isinstance(again, Grant)
    assert again.wait < 0.1
    behind = await ask(mine, "c")
    assert isinstance(behind, Grant)
    await release(mine, again, Report.UNUSED)
    assert await store.hget("unlinker:limit:default", "free_at") == behind.next_free.encode(), "others keep theirs"


async def test_slowing_down_halves_the_rate_pauses_and_recovers(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, rate=100)
    grant = await ask(mine, "a")
    assert isinstance(grant, Grant)
    await release(mine, grant, Report.SLOW, pause=5)
    answer = await ask(mine, "b")
    assert isinstance(answer, Refused)
    assert 4 < answer.wait <= 5
    assert await store.hget("unlinker:limit:default", "slowness") == b"2"
    for number in range(30):
        grant = Grant(str(number), 0, "0", "0")
        await release(mine, grant, Report.OK)
    assert float(await store.hget("unlinker:limit:default", "slowness") or 0) == 1


async def test_many_failures_at_once_slow_down_once(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, rate=100)
    grants = [await ask(mine, str(number)) for number in range(8)]
    for grant in grants:
        assert isinstance(grant, Grant)
        await release(mine, grant, Report.SLOW)
    assert await store.hget("unlinker:limit:default", "slowness") == b"2"


async def test_halts_are_looked_at_with_every_grant(store: "redis.asyncio.Redis") -> None:
    halts, mine = Halts(store), limiter(store)
    halt = Halt(by=HaltedBy.OPERATOR, why="x", since=0)
    assert await halts.halt("default", halt)
    assert not await halts.halt("default", Halt(by=HaltedBy.OUTAGE, why="y", since=0)), "the first stands"
    for name in ("default", ALL):
        answer = await ask(mine, "a")
        assert isinstance(answer, Refused)
        assert answer.why is Refusal.HALTED
        assert isinstance(await ask(mine, "p", probing=True), Grant), "a probe is let through"
        await store.delete("unlinker:halts", "unlinker:limit:default")
        if name == "default":
            await halts.halt(ALL, halt)
    assert isinstance(await ask(mine, "b"), Grant)


async def test_a_halt_is_lifted_only_by_its_own_kind(store: "redis.asyncio.Redis") -> None:
    halts = Halts(store)
    await halts.halt("default", Halt(by=HaltedBy.OPERATOR, why="x", since=0))
    await halts.release("default", HaltedBy.OUTAGE)
    assert (await halts.all())["default"].by is HaltedBy.OPERATOR
    await halts.release("default", HaltedBy.OPERATOR)
    assert await halts.all() == {}


async def test_one_probe_at_a_time(store: "redis.asyncio.Redis") -> None:
    halts = Halts(store)
    assert await halts.may_probe("default", 5)
    assert not await halts.may_probe("default", 5)
    assert await halts.may_probe("other", 5)


async def test_a_server_that_restarted_gives_no_place_twice(store: "redis.asyncio.Redis") -> None:
    """It may have forgotten the last second; what it gave away before must be used before it gives more."""
    mine = limiter(store, rate=50)
    reserved = [await ask(mine, str(number)) for number in range(10)]
    assert all(isinstance(place, Grant) for place in reserved)
    last = max(int(place.start) for place in reserved if isinstance(place, Grant))
    await store.hset("unlinker:limit:default", "free_at", "0")  # the restart went back to before them
    await store.script_flush()
    again = await ask(mine, "again")
    assert isinstance(again, Grant)
    assert int(again.start) > last
    assert 0.4 < again.wait <= 0.5


async def test_many_places_at_once_are_a_tick_apart_and_within_all_bounds(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, rate=10_000, in_flight=6)
    places = await mine.ask("a", 4)
    assert not isinstance(places, Refused)
    starts = [int(place.start) for place in places]
    assert len(places) == 4
    assert all(later - earlier == Limits(10_000, 1, 1).tick_us for earlier, later in itertools.pairwise(starts))
    more = await mine.ask("b", 4)
    assert not isinstance(more, Refused)
    assert len(more) == 2, "six in flight"
    slow = await limiter(store, rate=20, in_flight=100).ask("c", 4)
    assert not isinstance(slow, Refused)
    assert len(slow) == 1, "the next one is for whoever asks next"


@pytest.mark.parametrize("field", ["free_at", "paused_until"])
async def test_what_lies_further_ahead_than_it_can_is_put_right_and_nothing_is_given_twice(
    store: "redis.asyncio.Redis", field: str
) -> None:
    """Redis' clock went back an hour."""
    mine = limiter(store, rate=50)
    assert isinstance(await ask(mine, "a"), Grant)
    ahead = int((time.time() + 3600) * 1_000_000)
    await store.hset("unlinker:limit:default", field, str(ahead))
    jumped = await ask(mine, "b")
    assert isinstance(jumped, Refused)
    assert jumped.why is Refusal.JUMPED
    place = await ask(mine, "c")
    assert isinstance(place, Grant)
    assert 0.3 < place.wait <= 0.5, "what was given before may be used until then"


async def test_a_pause_as_long_as_an_api_may_ask_for_is_no_clock_that_went_back(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, rate=50)
    grant = await ask(mine, "a")
    assert isinstance(grant, Grant)
    await release(mine, grant, Report.SLOW, pause=LONGEST_PAUSE)
    answer = await ask(mine, "b")
    assert isinstance(answer, Refused)
    assert answer.why is Refusal.WAIT


async def test_a_dead_ones_place_of_an_hour_ahead_comes_back(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, rate=1000, in_flight=1, lease=0.5)
    assert isinstance(await ask(mine, "a"), Grant)
    await store.zadd("unlinker:in-flight:default", {"a:1": (time.time() + 3600) * 1000})
    assert isinstance(await ask(mine, "b"), Refused)
    await asyncio.sleep(0.6)
    assert isinstance(await ask(mine, "c"), Grant)
