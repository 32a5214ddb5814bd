"""The limiter: per account one virtual clock on Redis TIME, and a bound on requests in flight, for all workers."""

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


class Limiter:
    """Grants for one account."""

    def __init__(self, client: AsyncRedis, account: str, limits: Limits) -> None:
        self._client = client
        self._account = account
        self._limits = limits

    async def ask(self, grant_id: str, *, probing: bool = False) -> Grant | Refused:
        """A place for one request, or why there is none. Raises redis.exceptions.RedisError: then nothing is sent.

        `probing`: a harmless read that finds out whether a halt can be lifted; only halts do not stop it.
        """
        limits = self._limits
        halts = keys.probe(keys.HALTS) if probing else keys.HALTS
        names = [keys.limit(self._account), keys.in_flight(self._account), halts]
        lease_ms = int(limits.grant_lease * 1000)
        arguments: list[Word] = [
            self._account,
            grant_id,
            limits.tick_us,
            limits.max_in_flight,
            lease_ms,
            limits.horizon_us,
        ]
        first = Call("limit", names, [*arguments, 1])
        word, wait_us, *place = await run(self._client, Call("limit", names, [*arguments, 0]), first)
        if word == b"go":
            start, next_free = place
            return Grant(grant_id, wait_us / 1_000_000, start.decode(), next_free.decode())
        return Refused(Refusal(word.decode()), wait_us / 1_000_000)

    async def release(self, grant: Grant, report: Report, pause: float = 0.0) -> None:
        """The request is over, or was not sent. `pause`: seconds nobody shall send, for SLOW."""
        names = [keys.limit(self._account), keys.in_flight(self._account)]
        arguments: list[Word] = [
            grant.id, str(report), self._limits.tick_us, int(pause * 1_000_000), grant.start, grant.next_free,
        ]  # fmt: skip
        await run(self._client, Call("release", names, arguments))

    async def renew(self, grants: Sequence[str]) -> None:
        """Prolong the leases of grants in use."""
        lease_ms = int(self._limits.grant_lease * 1000)
        await run(self._client, Call("renew", [keys.in_flight(self._account)], [lease_ms, *grants]))

    async def start_gently(self) -> None:
        """After an outage: an eighth of the rate, a tenth more with every good answer."""
        await self._client.hset(keys.limit(self._account), "slowness", "8")
