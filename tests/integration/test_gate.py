"""The gate on a real Valkey: what the limiter is told of requests, when the API looks down, places that grew old."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import pytest
import redis.asyncio

from worker.engine.gate import SILENCES, Gate, Place
from worker.onoffice.errors import (
    AccountRefused,
    EmptyReply,
    MalformedRelatedIds,
    NotJson,
    OnOfficeError,
    Overloaded,
    ReplyTooLarge,
    RequestNotSent,
    RequestUnanswered,
    Throttled,
    UnreadableReply,
    WrongShape,
)
from worker.stores import keys
from worker.stores.limiter import Grant, Limiter, Limits, Refused, Release, Report

LIMITS = Limits(requests_per_second=1000, max_in_flight=100, grant_lease=30, horizon=60)
LATENESS = 3600.0  # seconds; a slow machine is no reason to be late, unless the test is about that


class Heard(Limiter):
    """A limiter that remembers what it was told."""

    def __init__(self, store: "redis.asyncio.Redis", limits: Limits = LIMITS) -> None:
        super().__init__(store, "default", limits)
        self.releases: list[Release] = []
        self.given: list[Grant] = []

    async def ask(self, grant_id: str, wanted: int = 1, *, probing: bool = False) -> list[Grant] | Refused:
        answer = await super().ask(grant_id, wanted, probing=probing)
        self.given += [] if isinstance(answer, Refused) else answer
        return answer

    async def release(self, releases: Sequence[Release]) -> None:
        self.releases += releases
        await super().release(releases)


async def request(gate: Gate, error: Exception | None = None) -> None:
    with nullcontext() if error is None else pytest.raises(type(error)):
        async with gate.passing():
            if error is not None:
                raise error
    await gate.flush()


@pytest.mark.parametrize(
    ("error", "report", "pause"),
    [
        (None, Report.OK, 0),
        (Overloaded("503"), Report.SLOW, 0),
        (Throttled("429", 7), Report.SLOW, 7),
        (RequestUnanswered("reset"), Report.OK, 0),
        (ReplyTooLarge("100 MB"), Report.OK, 0),
        (NotJson("<html>"), Report.OK, 0),
        (EmptyReply("empty"), Report.OK, 0),
        (WrongShape("[]"), Report.OK, 0),
        (MalformedRelatedIds("x"), Report.OK, 0),
        (AccountRefused("401"), Report.OK, 0),
        (RequestNotSent("refused"), Report.UNUSED, 0),
        (asyncio.CancelledError(), Report.UNUSED, 0),
        (RuntimeError("of somebody else"), Report.UNUSED, 0),
    ],
)
async def test_what_the_limiter_is_told(
    store: "redis.asyncio.Redis", error: Exception | None, report: Report, pause: float
) -> None:
    limiter = Heard(store)
    gate = Gate(limiter, LATENESS)
    await request(gate, error)
    (told,) = limiter.releases
    assert (told.report, told.pause, told.grant) == (report, pause, limiter.given[0])
    assert await store.zcard(keys.in_flight("default")) == 0


async def test_an_overloaded_api_is_sent_less(store: "redis.asyncio.Redis") -> None:
    gate = Gate(Heard(store), LATENESS)
    await request(gate, Overloaded("503"))
    assert await store.hget(keys.limit("default"), "slowness") == b"2"
    await request(gate)
    assert await store.hget(keys.limit("default"), "slowness") == b"1.8"


SILENT = [RequestUnanswered("reset"), Overloaded("503"), ReplyTooLarge("100 MB"), NotJson("<html>"), EmptyReply("")]


async def test_so_many_silences_in_a_row_look_like_an_outage(store: "redis.asyncio.Redis") -> None:
    gate = Gate(Limiter(store, "default", LIMITS), LATENESS)
    for number in range(SILENCES):
        assert not gate.looks_down
        await request(gate, SILENT[number % len(SILENT)])
    assert gate.looks_down


async def test_one_good_answer_ends_the_row(store: "redis.asyncio.Redis") -> None:
    gate = Gate(Limiter(store, "default", LIMITS), LATENESS)
    for _ in range(3):
        for _ in range(SILENCES - 1):
            await request(gate, RequestUnanswered("reset"))
        assert not gate.looks_down
        await request(gate)
    for _ in range(SILENCES):
        await request(gate, RequestUnanswered("reset"))
    assert gate.looks_down
    await request(gate)
    assert not gate.looks_down


@pytest.mark.parametrize("error", [RequestNotSent("refused"), Throttled("429", 0), AccountRefused("401")])
async def test_what_is_no_silence_makes_no_outage(store: "redis.asyncio.Redis", error: OnOfficeError) -> None:
    gate = Gate(Limiter(store, "default", LIMITS), LATENESS)
    for _ in range(SILENCES):
        await request(gate, error)
    assert not gate.looks_down
    assert not issubclass(type(error), RequestUnanswered | UnreadableReply)


async def test_a_place_at_hand_is_used(store: "redis.asyncio.Redis") -> None:
    limiter = Heard(store)
    gate = Gate(limiter, LATENESS)
    (place,) = await gate.grants(1)
    async with gate.passing(place) as used:
        assert used == place.grant.id
    await gate.flush()
    assert [each.report for each in limiter.releases] == [Report.OK]


async def test_a_place_that_grew_old_is_given_back_and_never_used(store: "redis.asyncio.Redis") -> None:
    """Else all who waited while Redis was away would send at once."""
    limiter = Heard(store)
    gate = Gate(limiter, LATENESS)
    (place,) = await gate.grants(1)
    old = replace(place, due=time.monotonic() - LATENESS - 1)
    async with gate.passing(old) as used:
        assert used != place.grant.id
    await gate.flush()
    assert [(each.report, each.grant.id) for each in limiter.releases] == [
        (Report.UNUSED, place.grant.id),
        (Report.OK, used),
    ]


async def test_who_wakes_up_too_late_gives_its_places_back_and_asks_again(store: "redis.asyncio.Redis") -> None:
    limiter = Heard(store, replace(LIMITS, requests_per_second=2))
    gate = Gate(limiter, lateness=1.0)
    await limiter.ask("before")  # so that the next place is half a second away
    waiting = asyncio.ensure_future(gate.grants(1))
    while len(limiter.given) < 2:
        await asyncio.sleep(0)
    time.sleep(1.8)  # the whole process stands still, as one that swaps does
    (place,) = await waiting
    await gate.flush()
    late = limiter.given[1]
    assert place.grant.id != late.id
    assert [(each.report, each.grant.id) for each in limiter.releases if each.grant.id == late.id] == [
        (Report.UNUSED, late.id)
    ]


@pytest.mark.parametrize(("ago", "late"), [(-5000, False), (0, False), (1800, False), (7200, True)])
def test_lateness_counts_from_the_moment_the_place_is_for(ago: float, late: bool) -> None:
    place = Place(Grant("a", 0, "0", "0"), time.monotonic() - ago)
    assert place.is_late(3600) is late
