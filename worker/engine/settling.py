"""Carries decisions out: the one place where a decision about a job becomes a record, a result, and a moved message."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from random import Random
from typing import TypeVar

import structlog
from redis.exceptions import RedisError

from worker.engine.claims import Claims
from worker.engine.entry import Entry, Left
from worker.engine.group_commit import GroupCommit
from worker.engine.results import celery_result
from worker.stores.deliveries import Deliveries
from worker.stores.halts import Halt, HaltedBy, Halts
from worker.stores.records import Ending, Records, Status, StoredEnd
from worker.unlinking.decisions import Again, Ask, Decision, End, Park, Snooze, Ticket
from worker.unlinking.outcome import Outcome

log = structlog.get_logger(__name__)
BACKOFF_BASE = 1.0  # seconds
BACKOFF_CAP = 60.0
ENDINGS_AT_ONCE = 200
REDIS_PAUSE = 0.5  # seconds between tries while Redis does not answer
T = TypeVar("T")


def backoff(attempts: int, random: Random) -> float:
    """Seconds until the next attempt: exponential, full jitter, so that what failed together does not come together."""
    return 0.2 + random.random() * min(BACKOFF_CAP, BACKOFF_BASE * 2.0**attempts)


class Settler:
    """Ends jobs, or lets them wait."""

    def __init__(self, records: Records, claims: Claims, halts: Halts, random: Random) -> None:
        self._records = records
        self._finish = GroupCommit(records.finish, ENDINGS_AT_ONCE)
        self._claims = claims
        self._halts = halts
        self._random = random

    @property
    def _deliveries(self) -> Deliveries:
        return self._claims.deliveries

    async def end(self, endings: Sequence[tuple[Entry, Outcome]]) -> None:
        """Write outcomes, once and for all, in one round trip, however long Redis is away; only then the ack."""
        if not endings:
            return
        now = time.time()
        alike = {outcome for _, outcome in endings}  # most jobs of a batch end alike
        ends = {outcome: as_stored(outcome, now) for outcome in alike}
        wanted = [Ending(entry.ticket.job, ends[outcome], entry.claim) for entry, outcome in endings]
        await insist(lambda: self._finish(wanted))
        for entry, outcome in endings:
            self._done_with(entry, acked=self._records.acks)
            entry.settle(outcome)

    def _done_with(self, entry: Entry, *, acked: bool) -> None:
        if acked:
            self._claims.let_go(entry.claim)
        else:
            self._claims.done(entry.claim)

    def leave(self, entry: Entry) -> None:
        """The job ended before, or another worker has it: this copy is acked."""
        self._claims.done(entry.claim)
        entry.settle(Left.ELSEWHERE)

    async def carry_out(self, account: str, decisions: Sequence[tuple[Entry, Decision]]) -> None:
        """One decision per job of one account."""
        await self.end([(entry, found.outcome) for entry, found in decisions if isinstance(found, End)])
        parks = [found for _, found in decisions if isinstance(found, Park)]
        if parks:
            await self.halt(account, parks[0])
        for entry, found in decisions:
            if not isinstance(found, End):
                await insist(lambda entry=entry, found=found: self._wait(account, entry, found))  # type: ignore[misc]  # mypy cannot type lambda defaults

    async def halt(self, account: str, park: Park) -> None:
        """Stop an account, unless it is stopped already."""
        if not park.new:
            return
        by = HaltedBy.OUTAGE if park.outage else HaltedBy.CREDENTIALS
        halt = Halt(by=by, why=park.why[:300], since=time.time(), code=park.code)
        if await insist(lambda: self._halts.halt(account, halt)):
            log.error("account halted", account=account, by=str(by), why=halt.why, code=halt.code)

    async def _wait(self, account: str, entry: Entry, decision: Decision) -> None:
        ticket, status, seconds = next_ticket(entry.ticket, decision, self._random)
        if not await self._records.defer(entry.claim, status, ticket, _why(decision)):
            self.leave(entry)
            return
        if status is Status.PARKED:
            await self._deliveries.park(entry.claim, account)
        else:
            await self._deliveries.delay(entry.claim, seconds)
        self._claims.let_go(entry.claim)
        entry.settle(Left.WAITING)

    async def park(self, account: str, entries: Sequence[Entry]) -> None:
        """Jobs whose account is halted leave the window, so that they hold up no other account."""
        await self.carry_out(account, [(entry, Park(why="the account is halted", new=False)) for entry in entries])

    async def give_back(self, entries: Sequence[Entry], *, sent: bool = False) -> None:
        """The worker stops: jobs go back to the queue at once. `sent`: their requests may have been carried out."""
        for entry in entries:
            if sent:
                ticket = replace(entry.ticket, in_doubt=True)
                await self._records.defer(entry.claim, Status.QUEUED, ticket, "its worker was stopped")
        await self._claims.give_back_all([entry.claim for entry in entries])
        for entry in entries:
            entry.settle(Left.GIVEN_BACK)

    def abandon(self, entries: Sequence[Entry]) -> None:
        """Jobs nobody works at any more: their leases run out, and whoever gets them next looks before it deletes."""
        for entry in entries:
            if not entry.settled.done():
                self._claims.let_go(entry.claim)
                entry.settle(Left.ELSEWHERE)


def as_stored(outcome: Outcome, now: float) -> StoredEnd:
    """An outcome as the records keep it. `now`: Unix seconds."""
    evidence = json.dumps(outcome.as_evidence(), separators=(",", ":"))
    return StoredEnd(str(outcome.kind), evidence, json.dumps(celery_result(outcome, now)))


def next_ticket(ticket: Ticket, decision: Decision, random: Random) -> tuple[Ticket, Status, float]:
    """What the next attempt must know, where the job waits, and for how many seconds. Pure."""
    match decision:
        case Again(code=code, in_doubt=in_doubt):
            tries = dict(ticket.tries)
            if code is not None:
                tries[code] = tries.get(code, 0) + 1
            again = replace(ticket, attempts=ticket.attempts + 1, tries=tries, in_doubt=in_doubt, question=False)
            return again, Status.DELAYED, backoff(ticket.attempts, random)
        case Snooze(seconds=seconds, in_doubt=in_doubt):
            return replace(ticket, in_doubt=in_doubt), Status.DELAYED, seconds * (1 + random.random())
        case Ask(in_doubt=in_doubt, spend=spend, seconds=asked):
            attempts = ticket.attempts + int(spend)
            wait = backoff(ticket.attempts, random) if asked is None else asked * (1 + random.random())
            return replace(ticket, attempts=attempts, in_doubt=in_doubt, question=True), Status.UNVERIFIED, wait
        case Park(in_doubt=in_doubt, question=question):
            return replace(ticket, in_doubt=in_doubt, question=question), Status.PARKED, 0.0
        case End():
            raise ValueError("a job that has ended does not wait")


def _why(decision: Decision) -> str:
    return "" if isinstance(decision, End) else decision.why


async def insist(step: Callable[[], Awaitable[T]]) -> T:
    """Do a step that Redis must hear, however long it is away; only the end of the process ends it."""
    while True:
        try:
            return await step()
        except RedisError as error:
            log.warning("an outcome waits for Redis", error=str(error))
            await asyncio.sleep(REDIS_PAUSE)
