"""The claimer: messages from the queue into this process, looked at before anything runs."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from worker.engine.arrivals import Arrived, arrive_chunk, arrive_job, ticket
from worker.engine.claims import Claims, Room
from worker.engine.entry import POISON_DEATHS, Entry, Left
from worker.engine.envelope import Envelope, Newer, Rejection, for_delivery, read
from worker.engine.inbox import Letter
from worker.engine.job_request import HELD_HEADER
from worker.engine.listening import Listening, count
from worker.engine.open_chunk import OpenChunk
from worker.engine.refusing import Refuser
from worker.engine.settling import Settler, insist
from worker.stores import keys
from worker.stores.deliveries import Claimed, Deliveries
from worker.stores.records import Admission, Admitted, Arrival, Records, Status
from worker.stores.refusals import told
from worker.stores.rows import RowEnding, Rows
from worker.unlinking.errors import Poison
from worker.unlinking.job import Job
from worker.unlinking.outcome import CANCELLED, Outcome, dead

log = structlog.get_logger(__name__)
BULK = keys.QUEUES[2]
CLAIM_AT_ONCE = 100
IDLE_WAIT = 0.25  # seconds; other queues and priorities than the first are looked at this often when all is quiet
FULL_WAIT = 0.02  # seconds between looks for single jobs while there is no room for more bulk
REDIS_PAUSE = 0.5
Held = Entry | OpenChunk


@dataclass(frozen=True, slots=True)
class KnownTasks:
    """What may stand in a message."""

    names: frozenset[str]  # every task of the app
    unlink: str  # its messages are jobs
    unlink_many: str  # its messages are chunks of jobs
    undo: str  # its messages are chunks of jobs whose links are to be there again
    hooked: frozenset[str] = frozenset()  # tasks with hooks of their own


class Ways(Protocol):
    """Where what was claimed goes."""

    listening: Listening

    async def accept(self, entries: Sequence[Entry]) -> None:
        """Straight to their lanes."""

    def hand_over(self, letter: Letter, held: Held | None) -> None:
        """Through Celery's consumer, whose task brings the job to its lane, or only tells how it has ended."""

    def consumed(self) -> Sequence[str]:
        """The queues that Celery's consumer consumes just now, the first to be served first."""


class Claimer:
    """Claims while there is room and somebody to work for."""

    def __init__(self, claims: Claims, settler: Settler, ways: Ways, tasks: KnownTasks) -> None:
        self._claims = claims
        self._settler = settler
        self._ways = ways
        self._tasks = tasks
        self._refuser = Refuser(claims, settler.books.records)

    @property
    def _deliveries(self) -> Deliveries:
        return self._claims.deliveries

    @property
    def _records(self) -> Records:
        return self._settler.books.records

    @property
    def _rows(self) -> Rows:
        return self._settler.books.rows

    async def run(self, may_claim: Callable[[], bool]) -> None:
        """Run for ever."""
        while True:
            try:
                await self._step(may_claim)
            except RedisError as error:
                log.warning("claiming waits for Redis", **told(error))
                await asyncio.sleep(REDIS_PAUSE)

    async def _step(self, may_claim: Callable[[], bool]) -> None:
        room, queues = self._claims.room(), self._ways.consumed()
        if room.messages <= 0 or not queues or not may_claim():
            await self._claims.wait_for_room(IDLE_WAIT)
            return
        wanted = min(room.messages, CLAIM_AT_ONCE)
        claimed = await self._deliveries.claim(wanted, room.bulk, queues)
        self._claims.more_to_come = wanted == len(claimed) < room.messages
        if not claimed:
            await self._rest(room, queues[0])
            return
        for one in claimed:
            self._claims.hold(one.claim, int(one.queue == BULK))
        try:
            await self._take(claimed)
        except RedisError:
            for one in claimed:
                self._claims.let_go(one.claim)  # their leases run out, and somebody takes them over
            raise

    async def _rest(self, room: Room, first: str) -> None:
        """Until something comes; while bulk waits for room there may be some at any moment."""
        if room.bulk > 0:
            await self._deliveries.wait_for_message(first, IDLE_WAIT)
        else:
            await self._claims.wait_for_room(FULL_WAIT)

    async def _take(self, claimed: list[Claimed]) -> None:
        arrived = []
        for one in claimed:
            found = read(one.message, self._tasks.names)
            if isinstance(found, Rejection):
                await self._refuser.reject(one, found)
            elif isinstance(found, Newer):
                await self._refuser.leave_to_newer(one, found)
            elif found.task == self._tasks.unlink:
                arrived.append(arrive_job(one, found))
            elif found.task in (self._tasks.unlink_many, self._tasks.undo):
                arrived.append(arrive_chunk(one, found, restore=found.task == self._tasks.undo))
            else:
                await self._let_in_other(found, one)
        arrived = await self._without_copies(arrived)
        admitted = await self._records.admit([self._arrival(each) for each in arrived])
        for moment in {known.now for known in admitted if known.now}:  # one script, one moment
            self._settler.clock.heard(moment)
        straight: list[Entry] = []
        listened = {task: self._ways.listening.anybody(task) for task in {each.envelope.task for each in arrived}}
        for each, known in zip(arrived, admitted, strict=True):
            through_celery = listened[each.envelope.task] or not each.envelope.plain
            held = await self._sift(each, known, through_celery=through_celery)
            if held is None:
                continue
            if not held.acks:
                self._hand_over(each.envelope, each.claimed, held)
            else:
                count(each.envelope.task)
                straight += await self.open(held)
        await self._ways.accept(straight)

    async def _without_copies(self, arrived: list[Arrived]) -> list[Arrived]:
        """Those that no other living claim holds. With one server the script that admits jobs sees to it."""
        if self._records.acks:
            return arrived
        holders = await self._records.holders([each.content.id for each in arrived])
        alive = await self._deliveries.alive([claim for claim, _ in holders])
        kept = []
        for each, (claim, fingerprint), is_alive in zip(arrived, holders, alive, strict=True):
            mine = (each.claimed.claim, each.claimed.taken_over_from)
            if is_alive and claim not in mine and fingerprint == each.fields["fingerprint"]:
                self._claims.done(each.claimed.claim)
            else:
                kept.append(each)
        return kept

    def _arrival(self, arrived: Arrived) -> Arrival:
        alone = self._ways.listening.in_process(arrived.envelope.task)
        return replace(arrived.arrival, relation="") if alone else arrived.arrival

    async def _sift(self, arrived: Arrived, known: Admitted, *, through_celery: bool) -> Held | None:
        """The job or chunk, if it is to run now; everything else is settled here.

        What has ended goes to Celery all the same, if that has to tell somebody: it sends the callbacks, at least once.
        """
        if known.admission is Admission.REUSED:
            own = await self._refuser.tell_reuse(arrived, known)
            (known_own,) = await self._records.admit([self._arrival(own)])
            return await self._sift(own, known_own, through_celery=through_celery)
        if known.admission is Admission.ENDED:
            await self._refuser.tell_again(arrived, known)
        held = None
        if known.admission is Admission.RUN or (known.admission is Admission.ENDED and through_celery):
            held = self._hold(arrived, known)
            held.acks = not through_celery
        if held is None:
            self._claims.done(arrived.claimed.claim)
            return None
        if known.admission is Admission.ENDED:
            held.settle(await self._settler.stored_end(held.id) or Left.ELSEWHERE)
            return held
        end = _end_at_once(arrived, known)
        if end is not None:
            await self._end_early(held, end)
            return held if through_celery else None
        eta = arrived.envelope.eta
        if eta is not None and eta > known.now:
            await self._delay(held, eta - known.now)
            return None
        return held

    async def _end_early(self, held: Held, end: Outcome) -> None:
        """Rows that end dead do so one by one: once the chunk's message is acked, only their letters name them."""
        if isinstance(held, OpenChunk) and held.chunk.rows and end is not CANCELLED:
            await self._settler.end([(entry, end) for entry in await self.open(held)])
            await held.settled
        else:
            await self._settler.end_whole(held, end)

    def _hold(self, arrived: Arrived, known: Admitted) -> Held:
        claim, content = arrived.claimed.claim, arrived.content
        if isinstance(content, Job):
            return Entry(ticket(content, known), claim, arrived.claimed.queue, known.deaths)
        self._claims.hold(claim, len(content.rows))
        return OpenChunk(content, claim, self._settler.close_soon, known)

    async def open(self, held: Held) -> list[Entry]:
        """A job, or the rows of a chunk that have no outcome yet."""
        if isinstance(held, Entry):
            return [held]
        (states,) = await insist(lambda: self._rows.states([held.chunk]))
        unreadable = [RowEnding(held.chunk, row, None, how) for row, how in held.unreadable(states)]
        await self._settler.end_rows(unreadable)
        entries = held.entries(states)
        if not entries:
            self._settler.close_soon(held)
        return entries

    async def _delay(self, held: Held, seconds: float) -> None:
        why = "its eta is to come"
        if isinstance(held, Entry):
            waits = await self._records.defer(held.claim, Status.DELAYED, held.ticket, why)
        else:
            waits = await self._records.defer_chunk(held.id, held.claim, Status.DELAYED, why, "")
        if waits:
            await self._deliveries.delay(held.claim, seconds)
        self._claims.let_go(held.claim)

    async def _let_in_other(self, envelope: Envelope, claimed: Claimed) -> None:
        """A task without a record, unless it was revoked: it is only counted how often it took its worker along."""
        late = envelope.expires is not None and envelope.expires < await self._deliveries.now()
        if late or await self._records.end_of(envelope.id) is not None:
            self._claims.done(claimed.claim)
            return
        if claimed.taken_over_from and await self._deliveries.count_death(envelope.id) >= POISON_DEATHS:
            why = f"poison: {POISON_DEATHS} workers died while they held it"
            await self._refuser.reject(claimed, Rejection(why, envelope.id, envelope.task))
            return
        self._hand_over(envelope, claimed, None)

    def _hand_over(self, envelope: Envelope, claimed: Claimed, held: Held | None) -> None:
        payload = for_delivery(envelope, claimed.claim, claimed.queue)
        payload["headers"][HELD_HEADER] = held
        self._ways.hand_over(Letter(claimed.queue, payload), held)


def _end_at_once(arrived: Arrived, known: Admitted) -> Outcome | None:
    """What ends before it runs: it cannot be read, is poison, or one of its stamps was revoked in time."""
    if arrived.fault is not None:
        return dead(arrived.fault.reason, arrived.fault.code, arrived.fault.text)
    if known.lone_deaths >= POISON_DEATHS:
        return dead(Poison.__name__, None, f"{known.lone_deaths} workers died of it alone")
    if known.revoked and not (known.known.in_doubt or known.question or known.waiting):
        return CANCELLED
    return None
