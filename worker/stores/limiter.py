"""The limiter: per account one virtual clock on Redis TIME, and a bound on requests in flight, for all workers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from worker.stores import keys
from worker.stores.scripts import AsyncRedis, Call, Word, run

HEADROOM = 0.98  # of the rate is used, so that jitter on the way makes no window fuller than rate + 1


class Refusal(StrEnum):
    """Why there is no grant now."""

    HALTED = "halted"
    FULL = "full"  # as many requests in flight as allowed
    WAIT = "wait"  # the next free place is too far away to reserve it
    JUMPED = "jumped"  # Redis' clock went back; what was noted is put right


class Report(StrEnum):
    """How a granted request went."""

    OK = "ok"
    SLOW = "slow"  # throttled, no answer in time, or a server error: half the rate
    UNUSED = "unused"  # not sent


@dataclass(frozen=True, slots=True)
class Limits:
    """What one account allows."""

    requests_per_second: float
    max_in_flight: int
    grant_lease: float  # seconds; renewed while the request is on its way, so that a dead worker holds no place
    horizon: float = 0.5  # seconds; no place further away is reserved

    @property
    def tick_us(self) -> int:
        """Microseconds between two requests."""
        return int(1_000_000 / (self.requests_per_second * HEADROOM))

    @property
    def lateness(self) -> float:
        """Seconds a place may be used late without making any window fuller than rate + 1.

        All that is in flight may come late at once if that fits into the headroom; else half a tick, or 15 ms, which
        the headroom covers at any rate.
        """
        if self.max_in_flight <= (1 - HEADROOM) * self.requests_per_second:
            return math.inf
        return max(0.5 * self.tick_us / 1_000_000, 0.015)

    @property
    def horizon_us(self) -> int:
        """Furthest reservation in microseconds: at least one place must be in reach."""
        return max(int(self.horizon * 1_000_000), self.tick_us)


@dataclass(frozen=True, slots=True)
class Grant:
    """A place for one request. It is used at once after `wait`, or given back."""

    id: str
    wait: float  # seconds from now
    start: str  # microseconds on Redis TIME
    next_free: str


@dataclass(frozen=True, slots=True)
class Refused:
    """No place now."""

    why: Refusal
    wait: float = 0.0  # seconds, a hint


@dataclass(frozen=True, slots=True)
class Release:
    """A grant that is over, or was not used."""

    grant: Grant
    report: Report
    pause: float = 0.0  # seconds nobody shall send, for SLOW


class Limiter:
    """Grants for one account."""

    def __init__(self, client: AsyncRedis, account: str, limits: Limits) -> None:
        self._client = client
        self._account = account
        self._limits = limits

    async def ask(self, grant_id: str, wanted: int = 1, *, probing: bool = False) -> list[Grant] | Refused:
        """Up to `wanted` places for requests, or why there is none; only the first may have to wait.

        `probing`: a harmless read that finds out whether a halt can be lifted; only halts do not stop it.
        Raises redis.exceptions.RedisError: then nothing is sent.
        """
        limits = self._limits
        halts = keys.probe(keys.HALTS) if probing else keys.HALTS
        names = [keys.limit(self._account), keys.in_flight(self._account), halts]
        arguments: list[Word] = [
            self._account,
            grant_id,
            limits.tick_us,
            limits.max_in_flight,
            int(limits.grant_lease * 1000),
            limits.horizon_us,
            wanted,
        ]
        first = Call("limit", names, [*arguments, 1])
        word, wait_us, *places = await run(self._client, Call("limit", names, [*arguments, 0]), first)
        wait = wait_us / 1_000_000
        if word != b"go":
            return Refused(Refusal(word.decode()), wait)
        return [
            Grant(f"{grant_id}:{number}", wait, start.decode(), next_free.decode())
            for number, (start, next_free) in enumerate(zip(places[::2], places[1::2], strict=True), start=1)
        ]

    async def release(self, releases: Sequence[Release]) -> None:
        """Requests are over, or were not sent."""
        arguments: list[Word] = [self._limits.tick_us]
        for each in releases:
            grant = each.grant
            arguments += (grant.id, str(each.report), int(each.pause * 1_000_000), grant.start, grant.next_free)
        await run(self._client, Call("release", [keys.limit(self._account), keys.in_flight(self._account)], arguments))

    async def renew(self, grants: Sequence[str]) -> None:
        """Prolong the leases of grants in use."""
        lease_ms = int(self._limits.grant_lease * 1000)
        await run(self._client, Call("renew", [keys.in_flight(self._account)], [lease_ms, *grants]))

    async def start_gently(self) -> None:
        """After an outage: an eighth of the rate, a tenth more with every good answer."""
        await self._client.hset(keys.limit(self._account), "slowness", "8")
