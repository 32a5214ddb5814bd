"""The gate of one account: nothing is sent without a grant of the shared limiter. No Redis, no grant."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

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
from worker.stores.limiter import Grant, Limiter, Refusal, Refused, Report

log = structlog.get_logger(__name__)
FULL_PAUSE = 0.05  # seconds between looks when other workers hold all places in flight
LONGEST_PAUSE = 0.5  # seconds; a halt or a pause must be noticed within a second
REDIS_PAUSE = 0.5  # seconds between tries while Redis does not answer
SILENCES = 5  # unanswered requests in a row that make an outage; one alone may be its batch's fault
LATE = 0.5  # of a tick: a grant used later than this would crowd the next one


class AccountHalted(AccountRefused):
    """The account is halted. Its jobs wait; `unlinker accounts list` says why, `accounts resume` releases it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A grant and the moment it is for."""

    grant: Grant
    due: float  # time.monotonic()

    def is_late(self, tick: float) -> bool:
        """Whether a request sent now would crowd the next one."""
        return time.monotonic() - self.due > max(tick * LATE, 0.01)


class Gate:
    """Grants for one account in this process."""

    def __init__(self, limiter: Limiter, tick: float) -> None:
        self._limiter = limiter
        self._tick = tick
        self._released = asyncio.Event()
        self._in_use: set[str] = set()
        self._silences = 0

    @property
    def looks_down(self) -> bool:
        """Whether the last requests of this process were all unanswered, or answered with an error page."""
        return self._silences >= SILENCES

    async def grant(self) -> Place:
        """Wait for a place and return when it is time to send. Raises AccountHalted."""
        while True:
            answer = await self._ask()
            if isinstance(answer, Grant):
                place = Place(answer, time.monotonic() + answer.wait)
                await asyncio.sleep(answer.wait)
                if not place.is_late(self._tick):
                    return place
                await self.give_back(place)
            elif answer.why is Refusal.HALTED:
                raise AccountHalted("the account is halted")
            elif answer.why is Refusal.FULL:
                await self._wait_for_release(FULL_PAUSE)
            else:
                await asyncio.sleep(min(answer.wait, LONGEST_PAUSE))

    async def _ask(self) -> Grant | Refused:
        while True:
            try:
                return await self._limiter.ask(secrets.token_hex(8))
            except RedisError as error:
                log.warning("no grant without Redis", error=str(error))
                await asyncio.sleep(REDIS_PAUSE)

    async def _wait_for_release(self, seconds: float) -> None:
        self._released.clear()
        try:
            await asyncio.wait_for(self._released.wait(), seconds)
        except TimeoutError:
            return

    async def give_back(self, place: Place) -> None:
        """Nothing was sent on it."""
        await self._release(place.grant, Report.UNUSED)

    async def _release(self, grant: Grant, report: Report, pause: float = 0.0) -> None:
        """The request is over. A release that Redis does not hear ends with the grant's own lease."""
        try:
            await self._limiter.release(grant, report, pause)
        except RedisError as error:
            log.warning("a grant ends with its lease", error=str(error))
        self._released.set()

    @asynccontextmanager
    async def passing(self, place: Place | None = None) -> AsyncIterator[None]:
        """One request, on a place that is at hand or a new one; its errors tell the limiter how it went."""
        held = (await self._in_time(place)).grant
        self._in_use.add(held.id)
        report, pause = Report.UNUSED, 0.0
        try:
            yield
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
            await asyncio.shield(self._release(held, report, pause))

    async def _in_time(self, place: Place | None) -> Place:
        """A place may have grown old while Redis was away; those who waited must not send all at once."""
        if place is not None and not place.is_late(self._tick):
            return place
        if place is not None:
            await self.give_back(place)
        return await self.grant()

    async def keep_renewing(self, every: float) -> None:
        """Run for ever: renew the leases of the requests on their way every `every` seconds."""
        while True:
            await asyncio.sleep(every)
            try:
                if self._in_use:
                    await self._limiter.renew(sorted(self._in_use))
            except RedisError as error:
                log.warning("grants wait for Redis", error=str(error))
