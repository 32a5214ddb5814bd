"""The gate of one account: nothing is sent without a grant of the shared limiter. No Redis, no grant."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from worker.engine.group_commit import GroupCommit
from worker.onoffice.errors import (
    AccountRefused,
    EmptyReply,
    NotJson,
    OnOfficeError,
    Overloaded,
    RequestNotSent,
    RequestUnanswered,
    Throttled,
)
from worker.stores.limiter import Grant, Limiter, Refusal, Refused, Release, Report
from worker.stores.refusals import told

log = structlog.get_logger(__name__)
FULL_PAUSE = 0.05  # seconds between looks when other workers hold all places in flight
LONGEST_PAUSE = 0.5  # seconds; a halt or a pause must be noticed within a second
ASKS_AT_ONCE = 100
RELEASES_AT_ONCE = 100
REDIS_PAUSE = 0.5  # seconds between tries while Redis does not answer
SILENCES = 5  # unanswered requests in a row that make an outage; one alone may be its batch's fault


class NoPlace(RequestNotSent):
    """The account's limit leaves no room for a probe just now. Nothing was sent; try again."""


class AccountHalted(AccountRefused):
    """The account is halted. Its jobs wait; `unlinker accounts list` says why, `accounts resume` releases it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A grant and the moment it is for."""

    grant: Grant
    due: float  # time.monotonic()

    def is_late(self, lateness: float) -> bool:
        """Whether a request sent now would crowd the next ones. `lateness`: seconds that are allowed."""
        return time.monotonic() - self.due > lateness


class Gate:
    """Grants for one account in this process."""

    def __init__(self, limiter: Limiter, lateness: float) -> None:
        self._limiter = limiter
        self._lateness = lateness
        self._asks = GroupCommit(self._ask_for_many, ASKS_AT_ONCE)
        self._over: list[Release] = []
        self._releasing: asyncio.Task[None] | None = None
        self._released = asyncio.Event()
        self._in_use: set[str] = set()
        self._silences = 0
        self.held_back = False  # whether the account could send more than its limits allow just now

    @property
    def looks_down(self) -> bool:
        """Whether the last requests of this process were all unanswered, or answered with an error page."""
        return self._silences >= SILENCES

    async def grants(self, wanted: int) -> list[Place]:
        """Wait for one place at least, for up to `wanted`; returns when it is time to send. Raises AccountHalted."""
        while True:
            answer = await self._ask(wanted)
            self.held_back = isinstance(answer, Refused) or answer[0].wait > 0
            if not isinstance(answer, Refused):
                places = await self._wait_until_due(answer)
                if places:
                    return places
            elif answer.why is Refusal.HALTED:
                raise AccountHalted("the account is halted")
            else:
                await self._pause(answer)

    async def _pause(self, refused: Refused) -> None:
        if refused.why is Refusal.FULL:
            await self._wait_for_release(FULL_PAUSE)
            return
        if refused.why is Refusal.JUMPED:
            log.warning("Redis' clock went back; the limit goes by the new time", seldom=Refusal.JUMPED)
        await asyncio.sleep(min(refused.wait, LONGEST_PAUSE))

    async def _wait_until_due(self, grants: Sequence[Grant]) -> list[Place]:
        """The places, if this process woke up in time to use them."""
        places = [Place(grant, time.monotonic() + grant.wait) for grant in grants]
        if grants[0].wait > 0:
            await asyncio.sleep(grants[0].wait)
        if not places[0].is_late(self._lateness):
            return places
        for place in places:
            self.give_back(place)
        return []

    async def _ask(self, wanted: int) -> list[Grant] | Refused:
        while True:
            try:
                found = await self._asks([None] * wanted)
            except RedisError as error:
                log.warning("no grant without Redis", **told(error))
                await asyncio.sleep(REDIS_PAUSE)
                continue
            grants = [each for each in found if isinstance(each, Grant)]
            refusals = [each for each in found if isinstance(each, Refused)]
            return grants or refusals[0]

    async def _ask_for_many(self, wanted: Sequence[None]) -> Sequence[Grant | Refused]:
        """One answer for each; who gets no place in this group asks again in the next."""
        answer = await self._limiter.ask(secrets.token_hex(8), len(wanted))
        if isinstance(answer, Refused):
            return [answer] * len(wanted)
        return [*answer, *([Refused(Refusal.WAIT)] * (len(wanted) - len(answer)))]

    async def _wait_for_release(self, seconds: float) -> None:
        self._released.clear()
        try:
            await asyncio.wait_for(self._released.wait(), seconds)
        except TimeoutError:
            return

    def give_back(self, place: Place) -> None:
        """Nothing was sent on it."""
        self._release_soon(Release(place.grant, Report.UNUSED))

    def _release_soon(self, release: Release) -> None:
        """Nobody has to wait for it."""
        self._over.append(release)
        if self._releasing is None:
            self._releasing = asyncio.get_running_loop().create_task(self._release_all())

    async def _release_all(self) -> None:
        """Requests are over. A release that Redis does not hear ends with the grant's own lease."""
        while self._over:
            releases, self._over = self._over[:RELEASES_AT_ONCE], self._over[RELEASES_AT_ONCE:]
            try:
                await self._limiter.release(releases)
            except RedisError as error:
                log.warning("grants end with their leases", count=len(releases), **told(error))
            self._released.set()
        self._releasing = None

    async def flush(self) -> None:
        """Wait until all that is over has been released, so that a process that ends holds no places."""
        while self._releasing is not None:
            await self._releasing

    @asynccontextmanager
    async def passing(self, place: Place | None = None) -> AsyncIterator[str]:
        """One request, on a place that is at hand or a new one; its errors tell the limiter how it went.

        Gives the id of the place, which is the id of the request too.
        """
        async with self._using((await self._in_time(place)).grant) as request_id:
            yield request_id

    @asynccontextmanager
    async def probing(self, patience: float) -> AsyncIterator[None]:
        """As `passing`, for one harmless read that no halt stops.

        Raises NoPlace when there is no room for it within `patience` seconds, and redis.exceptions.RedisError.
        """
        async with self._using((await self._place_for_probe(patience)).grant):
            yield

    async def _place_for_probe(self, patience: float) -> Place:
        deadline = time.monotonic() + patience
        while True:
            answer = await self._limiter.ask(secrets.token_hex(8), probing=True)
            if not isinstance(answer, Refused):
                if places := await self._wait_until_due(answer):
                    return places[0]
            elif time.monotonic() + answer.wait >= deadline:
                raise NoPlace(f"the account's limit left no room for a request within {patience:g} s")
            else:
                await self._pause(answer)

    @asynccontextmanager
    async def _using(self, held: Grant) -> AsyncIterator[str]:
        self._in_use.add(held.id)
        report, pause = Report.UNUSED, 0.0
        try:
            yield held.id
            report = Report.OK
        except Throttled as error:
            report, pause = Report.SLOW, error.seconds
            raise
        except (RequestUnanswered, NotJson, EmptyReply) as error:
            report = Report.SLOW if isinstance(error, Overloaded) else Report.OK
            self._silences += 1
            raise
        except RequestNotSent:
            raise
        except OnOfficeError:
            report = Report.OK
            raise
        else:
            self._silences = 0
        finally:
            self._in_use.discard(held.id)
            self._release_soon(Release(held, report, pause))

    async def _in_time(self, place: Place | None) -> Place:
        """A place may have grown old while Redis was away; those who waited must not send all at once."""
        if place is not None and not place.is_late(self._lateness):
            return place
        if place is not None:
            self.give_back(place)
        return (await self.grants(1))[0]

    async def start_gently(self) -> None:
        """The account was released after a halt. Raises redis.exceptions.RedisError."""
        await self._limiter.start_gently()

    async def keep_renewing(self, every: float) -> None:
        """Run for ever: renew the leases of the requests on their way every `every` seconds."""
        while True:
            await asyncio.sleep(every)
            try:
                if self._in_use:
                    await self._limiter.renew(sorted(self._in_use))
            except RedisError as error:
                log.warning("grants wait for Redis", **told(error))
