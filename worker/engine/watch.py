"""The watch: which accounts are halted, which can be released, and how fast parked jobs come back.

A halt by an operator stays until an operator lifts it. A halt by the API's answers is probed with a harmless read: an
outage every few seconds, refused credentials now and then, by one worker at a time. Who is released starts at an eighth
of the rate, and its parked jobs come back in portions, so that an API that just came up is not knocked down again.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from worker.engine.gate import Gate
from worker.onoffice.client import Client
from worker.onoffice.codes import Verdict, rule_for
from worker.onoffice.errors import OnOfficeError
from worker.onoffice.protocol import harmless_read
from worker.onoffice.replies import Answer
from worker.stores.deliveries import Deliveries
from worker.stores.halts import ALL, Halt, HaltedBy, Halts
from worker.stores.refusals import told

log = structlog.get_logger(__name__)
LOOK_EVERY = 0.5  # seconds
FEED_EVERY = 0.02  # seconds; costs a round trip only when a lane runs dry
PROBE_EVERY = {HaltedBy.OUTAGE: 2.0, HaltedBy.CREDENTIALS: 30.0}  # seconds
PROBE_PATIENCE = 0.2  # seconds a probe waits for a place; halts of other accounts are looked at after it


@dataclass(frozen=True, slots=True)
class Probe:
    """What it takes to try one account."""

    client: Client
    gate: Gate


class Watch:
    """Looks at the halts for one process; `halted` is what it saw last."""

    def __init__(
        self, halts: Halts, deliveries: Deliveries, probes: Mapping[str, Probe], hunger: Callable[[str], int]
    ) -> None:
        self._halts = halts
        self._deliveries = deliveries
        self._probes = probes
        self._hunger = hunger  # how many of an account's parked jobs this process could use
        self._parking: set[str] = set()  # accounts that have parked jobs, as far as is known here
        self.halted: dict[str, Halt] = {}

    def may_claim(self) -> bool:
        """False when every account is halted: then claiming stops instead of moving the queue to the parking place."""
        return ALL not in self.halted and not (self._probes and set(self._probes) <= set(self.halted))

    async def run(self) -> None:
        """Run for ever."""
        while True:
            try:
                await self._look()
            except RedisError as error:
                log.warning("the watch waits for Redis", **told(error))
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self) -> None:
        self.halted = await self._halts.all()
        for account, halt in list(self.halted.items()):
            every = PROBE_EVERY.get(halt.by)
            if every is not None and account in self._probes and await self._halts.may_probe(account, every):
                await self._probe(account, halt)
        self._parking |= set(await self._deliveries.parking_accounts())

    async def _probe(self, account: str, halt: Halt) -> None:
        probe = self._probes[account]
        if await _answers(probe):
            await probe.gate.start_gently()
            await self._halts.release(account, halt.by)
            self.halted.pop(account, None)
            log.info("account released", account=account, was=str(halt.by))

    def note_parking(self, account: str) -> None:
        """Some jobs of this account were parked just now."""
        self._parking.add(account)

    async def keep_feeding(self) -> None:
        """Run for ever: parked jobs come back as their account's lane runs dry."""
        while True:
            await asyncio.sleep(FEED_EVERY)
            try:
                await self._feed()
            except RedisError as error:
                log.warning("parked jobs wait for Redis", **told(error))
                await asyncio.sleep(LOOK_EVERY)

    async def _feed(self) -> None:
        free = [] if ALL in self.halted else self._parking - set(self.halted)
        for account in sorted(free):
            wanted = self._hunger(account)
            if wanted and await self._deliveries.unpark(account, wanted) < wanted:
                self._parking.discard(account)


async def _answers(probe: Probe) -> bool:
    """Whether the API answers this account's harmless read as it answers to working credentials."""
    try:
        reply = await probe.client.call_once([harmless_read("probe")], lambda: probe.gate.probing(PROBE_PATIENCE))
    except OnOfficeError:
        return False
    answer = reply.answers[0]
    if isinstance(answer, Answer) and answer.errorcode == 0:
        return True
    code = answer.errorcode if isinstance(answer, Answer) else reply.errorcode
    rule = rule_for(code)
    return code != 0 and Verdict.HALT_ACCOUNT not in (rule.verdict, rule.then)
