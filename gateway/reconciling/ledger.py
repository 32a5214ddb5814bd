"""Looking after one policy's nights: the lease that makes us the only one, and what is written down under it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from redis.exceptions import RedisError

from worker.engine.threads import in_thread
from worker.stores import keys
from worker.stores.nights import LEASE, Handled, KeptPlan, Nights, Opened
from worker.stores.refusals import told
from worker.stores.runs import Lease
from worker.unlinking.night import Night, run_id

log = structlog.get_logger(__name__)


class Ledger:
    """What we may write as long as the lease is ours. Raises NightLost once it is not, and RedisError."""

    def __init__(self, nights: Nights, policy: str, token: str) -> None:
        self.nights = nights
        self._policy = policy
        self._token = token

    async def now(self) -> float:
        """Unix seconds on the server's clock."""
        return await in_thread(self.nights.now)

    async def begin(self, night: Night, handled: Handled | None = None) -> Opened:
        """Write a night down for the first time."""
        return await in_thread(lambda: self.nights.begin(self._token, night, handled))

    @property
    def lease(self) -> Lease:
        """What must still be ours when something is begun for the night."""
        return Lease(keys.night_lease(self._policy), self._token)

    def run_id(self, night: Night) -> str:
        """Of the run that this look begins: what another look had begun to store is never taken for ours."""
        return run_id(night.id, self._token)

    async def save(self, night: Night, plan: KeptPlan | None = None) -> Night:
        """Write down what has become of it. `plan`: waits for approval with it."""
        await in_thread(lambda: self.nights.save(self._token, night, plan))
        return night

    async def open_night(self) -> Night | None:
        """The one that is not over."""
        return await in_thread(lambda: self.nights.open_night(self._policy))

    async def keep_renewing(self) -> None:
        """Run for ever: three times a lease."""
        while True:
            await asyncio.sleep(LEASE / 3)
            try:
                if not await in_thread(lambda: self.nights.renew(self._policy, self._token)):
                    log.error("the nights are looked after by somebody else", policy=self._policy)
                    return
            except RedisError as error:
                log.warning("a lease waits for Redis", policy=self._policy, **told(error))


@asynccontextmanager
async def ledger_of(nights: Nights, policy: str) -> AsyncIterator[Ledger | None]:
    """None while somebody else looks after this policy's nights. Raises RedisError."""
    token = secrets.token_hex(8)
    if not await in_thread(lambda: nights.take(policy, token)):
        yield None
        return
    ledger = Ledger(nights, policy, token)
    renewing = asyncio.create_task(ledger.keep_renewing())
    try:
        yield ledger
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        with suppress(RedisError):  # it ends by itself
            await in_thread(lambda: nights.give_back(policy, token))
