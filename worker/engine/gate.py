"""The gate of one account: nothing is sent without a grant of the shared limiter. No Redis, no grant."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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

    async def grant(self) -> Grant:
        """Wait for a place and return when it is time to send. Raises AccountHalted."""
        while True:
            answer = await self._ask()
            if isinstance(answer, Grant):
                due = time.monotonic() + answer.wait
                await asyncio.sleep(answer.wait)
                if time.monotonic() - due <= max(self._tick * LATE, 0.01):
                    return answer
                await self.release(answer, Report.UNUSED)
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

    async def release(self, grant: Grant, report: Report, pause: float = 0.0) -> None:
        """The request is over. A release that Redis does not hear ends with the grant's own lease."""
        try:
            await self._limiter.release(grant, report, pause)
        except RedisError as error:
            log.warning("a grant ends with its lease", error=str(error))
        self._released.set()

    @asynccontextmanager
    async def passing(self, grant: Grant | None = None) -> AsyncIterator[None]:
        """One request, on a grant that is at hand or a new one; its errors tell the limiter how it went."""
        held = grant or await self.grant()
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
            await asyncio.shield(self.release(held, report, pause))

    async def keep_renewing(self, every: float) -> None:
        """Run for ever: renew the leases of the requests on their way every `every` seconds."""
        while True:
            await asyncio.sleep(every)
            try:
                if self._in_use:
                    await self._limiter.renew(sorted(self._in_use))
            except RedisError as error:
                log.warning("grants wait for Redis", error=str(error))
