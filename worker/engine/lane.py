"""The batcher: jobs of one account that wait at the same moment share a request.

Nothing waits while a place in the limit is free. What a request takes along is decided when its grant is at hand, so
requests are as full as they can be: single jobs first, bulk fills the rest.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import structlog
from redis.exceptions import RedisError

from worker.engine.entry import Entry, Left
from worker.engine.gate import AccountHalted, Gate, Place
from worker.engine.granted_api import GrantedApi
from worker.engine.intents import Intents
from worker.engine.settling import Settler
from worker.engine.solitude import Solitude
from worker.onoffice.client import Client
from worker.stores import keys
from worker.stores.records import Intent
from worker.unlinking.attribution import By, Known
from worker.unlinking.decisions import Ask, Decision, End, Look, Park, Ticket
from worker.unlinking.judging import Policy
from worker.unlinking.keeping import Keeper, Store
from worker.unlinking.outcome import CANCELLED, EXPIRED, Outcome
from worker.unlinking.restorer import Restorer
from worker.unlinking.unlinker import Answered, Decisions, Unlinker
from worker.unlinking.viewer import Sightings

log = structlog.get_logger(__name__)
ROUND_TRIP_WEIGHT = 0.1  # of the newest
GATHERING = 0.25  # seconds at most
SINGLES = keys.QUEUES[0]
OUTAGE = Park(why="several requests in a row were not answered", outage=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneParts:
    """What a lane is made of."""

    client: Client
    gate: Gate
    intents: Intents
    settler: Settler
    sightings: Sightings
    keep: Store
    solitude: Solitude
    policy: Policy
    actions_per_request: int
    more_to_come: Callable[[], bool]  # whether the queue is known to hold more than this process has at hand


class Lane:
    """The jobs of one account that this process holds."""

    def __init__(self, account: str, parts: LaneParts) -> None:
        self.account = account
        self._parts = parts
        self._singles: deque[Entry] = deque()
        self._bulk: deque[Entry] = deque()
        self._some = asyncio.Event()
        self._sending: dict[asyncio.Task[None], list[Entry]] = {}
        self.round_trip = 0.0  # seconds a batch takes, as a moving average

    def put(self, entries: Iterable[Entry]) -> None:
        """Jobs that were claimed."""
        for entry in entries:
            (self._singles if entry.queue == SINGLES else self._bulk).append(entry)
        self._some.set()

    async def run(self) -> None:
        """Run for ever: places in the limit, then whatever waits by then."""
        while True:
            await self._some.wait()
            await self._gather()
            try:
                places = await self._parts.gate.grants(self._requests_wanted())
            except AccountHalted:
                await self._parts.settler.park(self.account, self.take_waiting())
                continue
            for place in places:
                entries = self._take()
                if entries:
                    self._spawn(entries, place)
                else:
                    self._parts.gate.give_back(place)
            if self._waiting:
                self._some.set()
            else:
                self._some.clear()

    async def _gather(self) -> None:
        """While jobs come by the hundred, a lane that has a request on its way lets the next one fill up first.

        Many accounts would otherwise share the queue's jobs out into requests of one each.
        """
        until = time.monotonic() + GATHERING
        while self._sending and self._waiting < self._parts.actions_per_request and self._parts.more_to_come():
            self._some.clear()
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    await self._some.wait()
            except TimeoutError:
                return

    @property
    def _waiting(self) -> int:
        return len(self._singles) + len(self._bulk)

    def surplus(self, window: int, arriving: int) -> int:
        """How many of the arriving single jobs are over its share of a window that other accounts need too.

        None while it sends as fast as jobs come: then the window is all that bounds it.
        """
        if not self._parts.gate.held_back:
            return 0
        return min(arriving, max(0, len(self._singles) + arriving - self._share(window)))

    def hunger(self, window: int) -> int:
        """How many parked jobs it could use; none while more than half of its share waits."""
        room = self._share(window) - len(self._singles)
        return room if room > len(self._singles) else 0

    def _share(self, window: int) -> int:
        return max(2 * self._parts.actions_per_request, window // 2)

    def _requests_wanted(self) -> int:
        return max(1, -(-self._waiting // self._parts.actions_per_request))

    def _take(self) -> list[Entry]:
        """The next request's jobs; a suspect goes alone."""
        entries: list[Entry] = []
        for waiting in (self._singles, self._bulk):
            while waiting and len(entries) < self._parts.actions_per_request:
                if waiting[0].suspect:
                    return entries or [waiting.popleft()]
                entries.append(waiting.popleft())
        return entries

    def _spawn(self, entries: list[Entry], place: Place) -> None:
        now = time.time()
        for entry in entries:
            entry.began = entry.began or now
        work = self._alone if entries[0].suspect else self._together
        task = asyncio.get_running_loop().create_task(work(entries, place))
        self._sending[task] = entries
        task.add_done_callback(self._sent)

    def _sent(self, task: "asyncio.Task[None]") -> None:
        entries = self._sending.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("a batch broke off", account=self.account, error=repr(error), exc_info=error)
            self._parts.settler.abandon(entries)

    async def _alone(self, entries: list[Entry], place: Place) -> None:
        self._parts.gate.give_back(place)  # it may be long until the others are through
        async with self._parts.solitude.alone():
            await self._send(entries, None)

    async def _together(self, entries: list[Entry], place: Place) -> None:
        async with self._parts.solitude.together():
            await self._send(entries, place)

    async def _send(self, entries: list[Entry], place: Place | None) -> None:
        api = GrantedApi(self._parts.client, self._parts.gate, self._parts.actions_per_request, place)
        start = time.monotonic()
        try:
            going = await self._intend(entries)
            if going:
                await self._work(api, going)
                if self._parts.gate.looks_down:
                    await self._parts.settler.halt(self.account, OUTAGE)
        finally:
            api.close()
            took = time.monotonic() - start
            self.round_trip += (took - self.round_trip) * (ROUND_TRIP_WEIGHT if self.round_trip else 1.0)

    async def _work(self, api: GrantedApi, going: Sequence[Entry]) -> None:
        """What is to go first: single jobs wait for no undo."""
        parts = self._parts
        keeper = Keeper(api, parts.keep) if parts.policy.keep_confirmation else None
        unlinker = Unlinker(api, parts.sightings, parts.policy, parts.settler.clock, keeper)
        unlinker.told = lambda answered: self._before_looks(api, going, answered)
        restorer = Restorer(api, parts.sightings, parts.policy, parts.settler.clock)
        for worker, restores in ((unlinker, False), (restorer, True)):
            entries = [entry for entry in going if entry.ticket.job.restore is restores]
            if entries:
                decisions = await self._decide(api, worker, entries)
                await self._carry_out(api, [entry for entry in entries if not entry.is_settled], decisions)

    async def _before_looks(self, api: GrantedApi, going: Sequence[Entry], answered: Answered) -> None:
        """What is clear is written down before the rest is read back: a read may hang, and its worker may die."""
        clear = {job_id: found for job_id, found in answered.items() if not isinstance(found, Look)}
        await self._carry_out(api, [entry for entry in going if entry.id in clear], clear)
        succeeded = {job_id for job_id, found in answered.items() if isinstance(found, Look) and found.known.success_at}
        if succeeded:
            await self._parts.settler.note_success([entry for entry in going if entry.id in succeeded])

    async def _carry_out(self, api: GrantedApi, entries: Sequence[Entry], decisions: Decisions) -> None:
        for entry in entries:
            entry.request = api.note_of(entry.id)
        await self._parts.settler.carry_out(self.account, [(entry, decisions[entry.id]) for entry in entries])

    async def _decide(self, api: GrantedApi, worker: Unlinker | Restorer, going: Sequence[Entry]) -> Decisions:
        try:
            return await worker.run([entry.ticket for entry in going])
        except RedisError as error:  # the question waits
            why = f"Redis failed in between: {error}"
            return {entry.id: self._broken_off(api, worker, entry.ticket, why) for entry in going}
        except asyncio.CancelledError:  # the worker stops: what was answered so far is not forgotten
            for entry in going:
                known = self._known(api, worker, entry.ticket)
                entry.ticket = replace(entry.ticket, known=known)
                entry.request = api.note_of(entry.id)
            raise

    def _broken_off(self, api: GrantedApi, worker: Unlinker | Restorer, ticket: Ticket, why: str) -> Decision:
        """For a job whose batch was broken off: what was answered stands, all else is asked later."""
        found = worker.answered.get(ticket.job.id)
        if found is not None and not isinstance(found, Look):
            return found
        return Ask(why=why, known=self._known(api, worker, ticket))

    def _known(self, api: GrantedApi, worker: Unlinker | Restorer, ticket: Ticket) -> Known:
        now = self._parts.settler.clock()
        match worker.answered.get(ticket.job.id):
            case End(outcome=outcome):
                return ticket.known.after_success(now) if outcome.by is By.US else ticket.known.after_loss(now)
            case None:
                return ticket.known.after_loss(now) if api.may_have_sent(ticket.job.id) else ticket.known
            case found:
                return found.known

    async def _intend(self, entries: Sequence[Entry]) -> list[Entry]:
        """The last look before the request: who may go; everybody else is settled here."""
        sifted = Sifted()
        for entry, intent in await self._parts.intents.store(entries):
            sifted.put(entry, intent)
        for entry in sifted.elsewhere:
            await self._parts.settler.leave(entry)
        await self._parts.settler.park(self.account, sifted.halted)
        self._parts.settler.pause(sifted.paused)
        await self._parts.settler.end(sifted.over)
        return sifted.going

    def take_waiting(self) -> list[Entry]:
        """Everything that is not on its way; the lane is empty then."""
        waiting = self.waiting
        self._singles.clear()
        self._bulk.clear()
        self._some.clear()
        return waiting

    @property
    def waiting(self) -> list[Entry]:
        """What is not on its way."""
        return [*self._singles, *self._bulk]

    def on_the_wire(self) -> dict["asyncio.Task[None]", list[Entry]]:
        """What is being sent."""
        return dict(self._sending)


@dataclass
class Sifted:
    """Jobs by what the last look came to."""

    going: list[Entry] = field(default_factory=list)
    halted: list[Entry] = field(default_factory=list)
    paused: list[Entry] = field(default_factory=list)
    over: list[tuple[Entry, Outcome]] = field(default_factory=list)
    elsewhere: list[Entry] = field(default_factory=list)

    def put(self, entry: Entry, intent: Intent) -> None:
        """Sort one in."""
        match intent:
            case Intent.GO:
                self.going.append(entry)
            case Intent.HALTED:
                self.halted.append(entry)
            case Intent.PAUSED:
                self.paused.append(entry)
            case Intent.ASK | Intent.EXPIRED:
                self._give_up(entry, EXPIRED)
            case Intent.CANCELLED:
                self._give_up(entry, CANCELLED)
            case Intent.ROW_ENDED:
                entry.settle(Left.ENDED)
            case Intent.ENDED | Intent.LOST:
                self.elsewhere.append(entry)

    def _give_up(self, entry: Entry, how: Outcome) -> None:
        """Nothing more is sent; but if something was, what became of it must still be looked at."""
        if entry.may_be_taken_back:
            self.over.append((entry, how))
        else:
            entry.ticket = replace(entry.ticket, give_up=how)
            self.going.append(entry)
