"""lua/limit.lua, lua/release.lua and lua/renew.lua: one virtual clock an account, slowed down and given back."""

import itertools

import pytest
import redis.asyncio

from worker.stores import keys
from worker.stores.halts import ALL
from worker.stores.limiter import Grant, Limiter, Limits, Refusal, Refused, Release, Report

RATE = 100
LIMIT, FLIGHT = keys.limit("default"), keys.in_flight("default")
MINUTE = 60_000_000  # us


def limiter(
    store: "redis.asyncio.Redis", *, rate: float = RATE, in_flight: int = 100, horizon: float = 60, lease: float = 30
) -> Limiter:
    return Limiter(store, "default", Limits(rate, in_flight, lease, horizon))


async def places(mine: Limiter, name: str = "a", wanted: int = 1) -> list[Grant]:
    found = await mine.ask(name, wanted)
    assert not isinstance(found, Refused)
    return found


async def one(mine: Limiter, name: str = "a") -> Grant:
    return (await places(mine, name))[0]


async def refusal(mine: Limiter, name: str = "x") -> Refused:
    found = await mine.ask(name)
    assert isinstance(found, Refused)
    return found


async def report(mine: Limiter, how: Report, pause: float = 0.0, grant: Grant | None = None) -> None:
    await mine.release([Release(grant or Grant("none", 0, "0", "0"), how, pause)])


async def now_us(store: "redis.asyncio.Redis") -> int:
    seconds, micros = await store.time()
    return int(seconds * 1_000_000 + micros)


async def number(store: "redis.asyncio.Redis", field: str) -> float:
    return float(await store.hget(LIMIT, field) or 0)


@pytest.mark.parametrize("slowness", [1, 2, 8, 16])
async def test_a_slowed_down_account_gets_places_that_much_further_apart(
    store: "redis.asyncio.Redis", slowness: int
) -> None:
    """Whatever answers were slow, the rate is what the places say, and nothing else holds anybody back."""
    mine = limiter(store, rate=0.1, horizon=3600)  # far apart, so that no slow machine comes between them
    tick = Limits(0.1, 1, 1).tick_us
    await store.hset(LIMIT, "slowness", slowness)
    grants = [await one(mine, str(each)) for each in range(4)]
    for grant, following in itertools.pairwise(grants):
        assert int(grant.next_free) - int(grant.start) == slowness * tick
        assert int(following.start) == int(grant.next_free), "the next one is a slow tick behind"


async def test_places_of_one_ask_are_slowed_down_too(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, rate=10_000)
    await store.hset(LIMIT, "slowness", 2)
    tick = 2 * Limits(10_000, 1, 1).tick_us
    found = await places(mine, wanted=4)
    assert [int(each.next_free) - int(each.start) for each in found] == [tick] * len(found)


async def test_each_slow_answer_halves_the_rate_down_to_a_sixteenth(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store)
    seen = []
    for _ in range(6):
        await report(mine, Report.SLOW)
        seen.append(await number(store, "slowness"))
        await store.hset(LIMIT, "slowed_at", 0)  # that was long ago
    assert seen == [2, 4, 8, 16, 16, 16]


async def test_slow_answers_of_one_second_halve_it_once(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store)
    for ago, slowness in ((MINUTE, 2), (0, 2), (900_000, 2), (1_100_000, 4)):
        await store.hset(LIMIT, "slowed_at", await now_us(store) - ago)
        await report(mine, Report.SLOW)
        assert await number(store, "slowness") == slowness
    assert abs(await number(store, "slowed_at") - await now_us(store)) < MINUTE


async def test_at_a_slow_rate_a_second_is_not_enough_to_see_its_effect(store: "redis.asyncio.Redis") -> None:
    """At most once in the time of one request at the rate there is."""
    mine = limiter(store, rate=1)
    await store.hset(LIMIT, mapping={"slowness": 4, "slowed_at": await now_us(store) - 3_000_000})
    await report(mine, Report.SLOW)
    assert await number(store, "slowness") == 4
    await store.hset(LIMIT, mapping={"slowness": 4, "slowed_at": await now_us(store) - 5_000_000})
    await report(mine, Report.SLOW)
    assert await number(store, "slowness") == 8


async def test_good_answers_bring_the_rate_back_a_tenth_each(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store)
    await report(mine, Report.OK)
    assert await store.hget(LIMIT, "slowness") is None, "it never is faster than its limits"
    await store.hset(LIMIT, "slowness", 2)
    await report(mine, Report.OK)
    assert await number(store, "slowness") == pytest.approx(1.8)
    await store.hset(LIMIT, "slowness", 1.05)
    await report(mine, Report.OK)
    assert await number(store, "slowness") == 1


async def test_an_unused_place_says_nothing_of_the_api(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store)
    await store.hset(LIMIT, "slowness", 4)
    await report(mine, Report.UNUSED)
    assert await number(store, "slowness") == 4


async def test_nobody_sends_before_the_pause_is_over(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store)
    await report(mine, Report.SLOW, 20)
    until = await number(store, "paused_until")
    assert 19 * 1_000_000 < until - await now_us(store) <= 20 * 1_000_000
    await report(mine, Report.SLOW, 5)
    assert await number(store, "paused_until") == until, "a shorter pause does not end a longer one"
    refused = await refusal(limiter(store, horizon=1))
    assert refused.why is Refusal.WAIT
    assert 10 < refused.wait <= 20
    assert int((await one(mine)).start) == until


async def test_the_place_of_an_unused_grant_is_given_out_again_unless_somebody_is_behind_it(
    store: "redis.asyncio.Redis",
) -> None:
    mine = limiter(store, rate=0.1)
    first, second = await one(mine, "a"), await one(mine, "b")
    await report(mine, Report.UNUSED, grant=second)
    again = await one(mine, "c")
    assert (again.start, again.next_free) == (second.start, second.next_free)
    await report(mine, Report.UNUSED, grant=first)
    assert (await one(mine, "d")).start == again.next_free, "the first one's place is passed"


async def test_a_place_that_was_used_is_not_given_out_again(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, rate=0.1)
    first = await one(mine, "a")
    for how in (Report.OK, Report.SLOW):
        await report(mine, how, grant=first)
        assert await store.hget(LIMIT, "free_at") == first.next_free.encode()


@pytest.mark.parametrize("how", list(Report))
async def test_whatever_it_came_to_a_request_that_is_over_leaves_its_room(
    store: "redis.asyncio.Redis", how: Report
) -> None:
    mine = limiter(store, in_flight=2)
    grants = [await one(mine, "a"), await one(mine, "b")]
    assert (await refusal(mine)).why is Refusal.FULL
    await report(mine, how, grant=grants[0])
    assert await store.zrange(FLIGHT, 0, -1) == [b"b:1"]


async def test_several_releases_at_once_are_each_told_for_what_they_are(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, rate=0.1)
    grants = [await one(mine, name) for name in "abc"]
    await store.hset(LIMIT, "slowness", 4)
    hows = [Report.OK, Report.OK, Report.UNUSED]
    await mine.release([Release(grant, how) for grant, how in zip(grants, hows, strict=True)])
    assert await number(store, "slowness") == pytest.approx(4 * 0.9 * 0.9)
    assert await store.zcard(FLIGHT) == 0
    assert await store.hget(LIMIT, "free_at") == grants[2].start.encode()


async def test_a_dead_processs_request_is_in_flight_until_its_lease_is_over(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, in_flight=1, lease=30)
    await one(mine, "a")
    end = await store.zscore(FLIGHT, "a:1")
    assert end is not None
    assert 29_000 < end - await now_us(store) / 1000 <= 30_000
    assert (await refusal(mine)).why is Refusal.FULL
    await store.zadd(FLIGHT, {"a:1": await now_us(store) / 1000 - 1})
    assert await one(mine, "b")
    assert await store.zrange(FLIGHT, 0, -1) == [b"b:1"]


async def test_a_lease_is_renewed_for_its_whole_time_and_not_brought_back(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, lease=30)
    await one(mine, "a")
    await store.zadd(FLIGHT, {"a:1": await now_us(store) / 1000 + 1000})
    await mine.renew(["a:1", "gone:1"])
    end = await store.zscore(FLIGHT, "a:1")
    assert end is not None
    assert 29_000 < end - await now_us(store) / 1000 <= 30_000
    assert await store.zcard(FLIGHT) == 1


async def test_the_last_place_in_flight_is_given_and_no_more(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, rate=10_000, in_flight=3)
    assert len(await places(mine, "a", 2)) == 2
    assert len(await places(mine, "b", 2)) == 1
    assert (await refusal(mine)).why is Refusal.FULL


async def test_only_as_many_as_are_wanted(store: "redis.asyncio.Redis") -> None:
    assert [grant.id for grant in await places(limiter(store, rate=10_000), "a", 2)] == ["a:1", "a:2"]


async def test_the_virtual_clock_never_runs_behind(store: "redis.asyncio.Redis") -> None:
    """An account that was idle for an hour has not saved up any places."""
    mine = limiter(store)
    await store.hset(LIMIT, "free_at", await now_us(store) - 60 * MINUTE)
    before = await now_us(store)
    assert int((await one(mine)).start) >= before


async def test_how_far_ahead_a_place_is_reserved(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, horizon=2)
    await store.hset(LIMIT, "paused_until", await now_us(store) + 20_000_000)
    refused = await refusal(mine)
    assert refused.why is Refusal.WAIT
    assert 10 < refused.wait <= 20
    assert await store.zcard(FLIGHT) == 0, "who is refused holds nothing"
    await store.hdel(LIMIT, "paused_until")
    await store.hset(LIMIT, "free_at", await now_us(store) + 1_500_000)
    grant = await one(mine)
    assert 0 < grant.wait <= 1.5


@pytest.mark.parametrize(("halted", "stops"), [("default", True), (ALL, True), ("another", False)])
async def test_halts_of_the_account_and_of_all_stop_it(store: "redis.asyncio.Redis", halted: str, stops: bool) -> None:
    await store.hset(keys.HALTS, halted, "{}")
    found = await limiter(store).ask("a")
    assert (isinstance(found, Refused) and found.why is Refusal.HALTED) is stops


async def test_a_server_that_knows_the_script_gives_no_pause(store: "redis.asyncio.Redis") -> None:
    mine = limiter(store, horizon=5)
    await one(mine, "a")
    await one(mine, "b")
    assert await store.hget(LIMIT, "paused_until") is None
    await store.script_flush()
    restarted = await now_us(store)
    grant = await one(mine, "c")
    assert int(grant.start) >= restarted + 5_000_000, "what it gave away may lie as far ahead"
    await store.hset(LIMIT, "paused_until", restarted + 200_000_000)
    await store.script_flush()
    refused = await refusal(mine)
    assert refused.wait > 100, "a longer pause stays"
