"""The claimer: messages from the queue into this process, looked at before anything runs."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from worker.engine.claims import Claims
from worker.engine.entry import POISON_DEATHS, Entry
from worker.engine.envelope import Envelope, Junk, for_delivery, read
from worker.engine.inbox import Letter
from worker.engine.listening import Listening, count, is_revoked
from worker.engine.settling import Settler
from worker.stores.deliveries import Claimed, Deliveries
from worker.stores.records import Admission, Admitted, Arrival, Records, Status
from worker.unlinking.decisions import Ticket
from worker.unlinking.errors import BadArguments, Poison, UnlinkError
from worker.unlinking.job import Job, Relation
from worker.unlinking.outcome import CANCELLED, dead

log = structlog.get_logger(__name__)
CLAIM_AT_ONCE = 100
IDLE_WAIT = 0.25  # seconds; other queues and priorities than the first are looked at this often when all is quiet
REDIS_PAUSE = 0.5
ENTRY_HEADER = "unlinker_entry"  # how the job's entry travels through Celery to its task's body, in this process only


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A readable message and the job in it, or what is wrong with the job."""

    claimed: Claimed
    envelope: Envelope
    job: Job
    fault: UnlinkError | None = None


@dataclass(frozen=True, slots=True)
class KnownTasks:
    """What may stand in a message."""

    names: frozenset[str]  # every task of the app
    unlink: str  # the one whose jobs have records


class Ways(Protocol):
    """Where a claimed job goes."""

    listening: Listening

    async def accept(self, entries: Sequence[Entry]) -> None:
        """Straight to their lanes."""

    def hand_over(self, letter: Letter, entry: Entry | None) -> None:
        """Through Celery's consumer, whose task brings the job to its lane."""


class Claimer:
    """Claims while there is room and somebody to work for."""

    def __init__(self, claims: Claims, records: Records, settler: Settler, ways: "Ways", tasks: KnownTasks) -> None:
        self._claims = claims
        self._records = records
        self._settler = settler
        self._ways = ways
        self._tasks = tasks

    @property
    def _deliveries(self) -> Deliveries:
        return self._claims.deliveries

    async def run(self, may_claim: Callable[[], bool]) -> None:
        """Run for ever."""
        while True:
            try:
                await self._step(may_claim)
            except RedisError as error:
                log.warning("claiming waits for Redis", error=str(error))
                await asyncio.sleep(REDIS_PAUSE)

    async def _step(self, may_claim: Callable[[], bool]) -> None:
        room = self._claims.room()
        if room <= 0 or not may_claim():
            await self._claims.wait_for_room(IDLE_WAIT)
            return
        claimed = await self._deliveries.claim(min(room, CLAIM_AT_ONCE))
        if not claimed:
            await self._deliveries.wait_for_message(IDLE_WAIT)
            return
        for one in claimed:
            self._claims.hold(one.claim)
        try:
            await self._take(claimed)
        except RedisError:
            for one in claimed:
                self._claims.let_go(one.claim)  # their leases run out, and somebody takes them over
            raise

    async def _take(self, claimed: list[Claimed]) -> None:
        arrived = []
        for one in claimed:
            found = read(one.message, self._tasks.names)
            if isinstance(found, Junk):
                await self._put_aside(one, found.why)
            elif found.task == self._tasks.unlink:
                arrived.append(_arrive(one, found))
            else:
                await self._let_in_other(found, one)
        admitted = await self._records.admit([_arrival(each) for each in arrived])
        await self._let_in(arrived, admitted)

    async def _let_in(self, arrived: Sequence[_Arrived], admitted: Sequence[Admitted]) -> None:
        through_celery = self._ways.listening.anybody(self._tasks.unlink)
        straight, revoked = [], []
        for each, known in zip(arrived, admitted, strict=True):
            entry = await self._sift(each, known)
            if entry is None:
                continue
            if entry.may_be_taken_back and is_revoked(entry.id):
                revoked.append((entry, CANCELLED))
            elif through_celery or not each.envelope.plain:
                self._hand_over(each.envelope, each.claimed, entry)
            else:
                straight.append(entry)
        await self._settler.end(revoked)
        count(self._tasks.unlink, len(straight))
        await self._ways.accept(straight)

    async def _put_aside(self, claimed: Claimed, why: str) -> None:
        log.error("message put aside", why=why, claim=claimed.claim)
        await self._deliveries.put_aside(claimed.claim, why)
        self._claims.let_go(claimed.claim)

    async def _sift(self, arrived: _Arrived, known: Admitted) -> Entry | None:
        """The job, if it is to run now; everything else is settled here."""
        claim = arrived.claimed.claim
        if known.admission is not Admission.RUN:
            self._claims.done(claim)
            return None
        entry = Entry(_ticket(arrived.job, known), claim, arrived.claimed.queue, known.deaths)
        if arrived.fault is not None:
            await self._end_dead(entry, arrived.fault)
        elif known.lone_deaths >= POISON_DEATHS:
            await self._end_dead(entry, Poison(Poison.__name__, None, f"{known.lone_deaths} workers died of it alone"))
        elif (eta := arrived.envelope.eta) is not None and eta > known.now:
            await self._delay(entry, eta - known.now)
        else:
            return entry
        return None

    async def _end_dead(self, entry: Entry, error: UnlinkError) -> None:
        await self._settler.end([(entry, dead(error.reason, error.code, error.text))])

    async def _delay(self, entry: Entry, seconds: float) -> None:
        if await self._records.defer(entry.claim, Status.DELAYED, entry.ticket, "its eta is to come"):
            await self._deliveries.delay(entry.claim, seconds)
        self._claims.let_go(entry.claim)

    async def _let_in_other(self, envelope: Envelope, claimed: Claimed) -> None:
        """A task without a record: it is only counted how often it took its worker along."""
        if claimed.taken_over_from and await self._deliveries.count_death(envelope.id) >= POISON_DEATHS:
            await self._put_aside(claimed, f"poison: {POISON_DEATHS} workers died while they held it")
            return
        self._hand_over(envelope, claimed, None)

    def _hand_over(self, envelope: Envelope, claimed: Claimed, entry: Entry | None) -> None:
        payload = for_delivery(envelope, claimed.claim)
        payload["headers"][ENTRY_HEADER] = entry
        self._ways.hand_over(Letter(claimed.queue, payload), entry)


def _arrive(claimed: Claimed, envelope: Envelope) -> _Arrived:
    try:
        if envelope.positional:
            raise BadArguments(BadArguments.__name__, None, "send keyword arguments, none by position")
        return _Arrived(claimed, envelope, Job.from_arguments(envelope.id, envelope.arguments))
    except UnlinkError as fault:
        return _Arrived(claimed, envelope, Job(id=envelope.id, relation=_as_given(envelope)), fault)


def _arrival(arrived: _Arrived) -> Arrival:
    return Arrival(
        job=arrived.job,
        claim=arrived.claimed.claim,
        taken_over_from=arrived.claimed.taken_over_from,
        expires=arrived.envelope.expires,
        ignore_result=arrived.envelope.ignore_result,
    )


def _ticket(job: Job, known: Admitted) -> Ticket:
    return Ticket(
        job=job,
        attempts=known.attempts,
        in_doubt=known.in_doubt,
        question=known.question,
        tries=known.tries or {},
    )


def _as_given(envelope: Envelope) -> Relation:
    """What a faulty job named, as far as it can be shown; it reaches no request."""
    numbers = [envelope.arguments.get(name) for name in ("parentid", "childid")]
    parentid, childid = (number if isinstance(number, int) and abs(number) < 2**63 else 0 for number in numbers)
    return Relation(str(envelope.arguments.get("relationtype", ""))[:100], parentid, childid)
