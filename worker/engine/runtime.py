"""What one worker process holds on its loop: stores, client, lanes, and the work that keeps them going."""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from os import EX_SOFTWARE
from pathlib import Path
from typing import Any, TypeVar

import structlog
from celery.worker import state
from redis.exceptions import RedisError

from worker.engine.claimer import Claimer, Held, KnownTasks
from worker.engine.claims import Claims, Window
from worker.engine.conductor import Conductor
from worker.engine.connections import connect
from worker.engine.entry import Entry, Settled
from worker.engine.envelope import newest_version
from worker.engine.ferry import Ferry
from worker.engine.gate import Gate
from worker.engine.inbox import Inbox, Letter
from worker.engine.intents import Intents
from worker.engine.lane import Lane, LaneParts
from worker.engine.listening import Listening
from worker.engine.misdirected import Lookout
from worker.engine.results import celery_result
from worker.engine.server_clock import ServerClock
from worker.engine.settling import Books, Settler, insist
from worker.engine.solitude import Solitude
from worker.engine.watch import Probe, Watch
from worker.engine.window import Bounds, next_window
from worker.onoffice.client import Client
from worker.onoffice.clock import SigningClock
from worker.onoffice.protocol import Credentials
from worker.onoffice.transport import Timeouts, Transport
from worker.stores.cancelling import Cancelled, Revocations
from worker.stores.deliveries import Deliveries
from worker.stores.halts import Halts
from worker.stores.keep_rules import KeepRules
from worker.stores.keepsakes import Keepsakes
from worker.stores.limiter import Limiter, Limits
from worker.stores.records import Records, Retention
from worker.stores.redis_clock import RedisClock
from worker.stores.refusals import told
from worker.stores.rows import Rows
from worker.stores.run_feed import RunFeed
from worker.stores.sightings import StoredSightings
from worker.unlinking.errors import UnknownAccount
from worker.unlinking.judging import Policy
from worker.unlinking.outcome import CANCELLED, dead

log = structlog.get_logger(__name__)
T = TypeVar("T")
ROWS_WINDOW = 4000  # rows of chunks held at once
CANCEL_EVERY = 0.1  # seconds
TUNE_EVERY = 0.25  # seconds
CLOCK_EVERY = 3.0  # seconds between looks at Redis' clock
STOP_PATIENCE = 5.0  # seconds a stop waits for Redis, each time it needs it


@dataclass(frozen=True, slots=True)
class AccountAccess:
    """How one account reaches the API, and what it allows."""

    credentials: Credentials
    requests_per_second: float
    actions_per_request: int
    max_in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """Everything a runtime is made from: plain values, so that this package reads no settings."""

    onoffice_url: str
    request_timeout: float  # seconds
    records_url: str
    queue_url: str
    lease: float  # seconds; the visibility timeout
    window: int  # jobs held at once, to begin with
    grace: float  # seconds a stop may wait for requests on the wire
    accounts: Mapping[str, AccountAccess]
    policy: Policy = field(default_factory=Policy)
    retention: Retention = field(default_factory=Retention)
    keep: KeepRules = field(default_factory=KeepRules)
    archive_dir: Path | None = None


class Runtime:
    """Made in the main thread, opened on the loop. `inbox`, `acked` and `rejected` serve the transport."""

    def __init__(self, options: RuntimeOptions, tasks: KnownTasks, consumed: Callable[[], Sequence[str]]) -> None:
        """`consumed`: the queues that Celery's consumer consumes at this moment."""
        self._options = options
        self._tasks = tasks
        self.consumed = consumed
        self.inbox = Inbox()
        self.listening = Listening(tasks.hooked)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._with_celery: dict[str, Held] = {}
        self._lanes: dict[str, Lane] = {}
        self._draining = False
        self._hurry = asyncio.Event()
        self._clock = SigningClock(time.time)

    def __json__(self) -> str:
        """`celery inspect stats` shows the transport's options, and this is one of them."""
        return "unlinker"

    @property
    def options(self) -> RuntimeOptions:
        """What it was made from."""
        return self._options

    @property
    def is_draining(self) -> bool:
        """Whether this worker is being stopped; any thread may ask."""
        return self._draining

    async def open(self) -> None:
        """Make everything and start it. Redis may be away: all of it waits for Redis by itself."""
        options = self._options
        self._loop = asyncio.get_running_loop()
        self._queue = connect(options.queue_url)
        self._store = self._queue if options.records_url == options.queue_url else connect(options.records_url)
        owner = secrets.token_hex(6)
        deliveries = Deliveries(self._queue, owner, options.lease, newest_version())
        self._halts = Halts(self._store)
        same_server = options.records_url == options.queue_url
        records = Records(self._store, options.retention, same_server_as_queue=same_server, lease=options.lease)
        self._revocations = Revocations(self._store, options.retention)
        self._books = Books(records, Rows(self._store, options.retention), self._halts)
        self._claims = Claims(deliveries, Window(options.window, ROWS_WINDOW))
        self._settler = Settler(self._books, self._claims, random.Random(), ServerClock())  # noqa: S311  # jitter
        connections = sum(access.max_in_flight for access in options.accounts.values())
        timeouts = Timeouts(total=options.request_timeout)
        self._transport = Transport(options.onoffice_url, timeouts, connections=max(8, connections))
        await self._transport.open()
        probes = self._open_lanes()
        self._watch = watch = Watch(self._halts, deliveries, probes, self._hunger)
        self._claimer = Claimer(self._claims, self._settler, self, self._tasks)
        self._claiming = self._keep(self._claimer.run(watch.may_claim))
        self._keep(watch.run())
        self._keep(watch.keep_feeding())
        feed = RunFeed(self._store, options.retention, owner)
        self._keep(Conductor(feed, deliveries, {"unlink": self._tasks.unlink_many, "restore": self._tasks.undo}).run())
        self._keep(Lookout(self._queue, self._tasks.names).run())
        if not same_server:
            self._keep(Ferry(self._store, self._queue, owner).run())
        self._keep(self._keep_tuning())
        self._keep(self._keep_looking_at_clocks())
        self._keep(self._claims.keep_flushing())
        self._keep(self._claims.keep_renewing(options.lease / 3))

    async def _keep_tuning(self) -> None:
        """Run for ever: the window follows rate times round trip."""
        accesses = self._options.accounts.values()
        bounds = Bounds.for_accounts((access.actions_per_request, access.max_in_flight) for access in accesses)
        window, before = self._claims.window, self._claims.let_go_count
        while True:
            await asyncio.sleep(TUNE_EVERY)
            let_go, before = self._claims.let_go_count - before, self._claims.let_go_count
            round_trip = max((lane.round_trip for lane in self._lanes.values()), default=0.0)
            window.jobs = next_window(window.jobs, let_go / TUNE_EVERY, round_trip, bounds)

    async def _keep_looking_at_clocks(self) -> None:
        """Run for ever: Redis' clock is the second opinion on this machine's; when it goes back, delays follow."""
        clocks = [RedisClock(client) for client in dict.fromkeys((self._store, self._queue))]
        while True:
            try:
                for clock in clocks:
                    now, moved = await clock.look()
                    self._clock.second_opinion = now - time.time()
                    if moved:
                        log.warning("Redis' clock went back; what waited is due as much earlier", seconds=moved)
            except RedisError as error:
                log.warning("nobody looks at Redis' clock", **told(error))
            await asyncio.sleep(CLOCK_EVERY)

    def _open_lanes(self) -> dict[str, Probe]:
        solitude = Solitude()
        intents = Intents(self._books.records, self._books.rows)
        keepsakes = Keepsakes(self._store)
        probes = {}
        for account, access in self._options.accounts.items():
            limits = Limits(access.requests_per_second, access.max_in_flight, self._options.lease)
            client = Client(self._transport, access.credentials, self._clock)
            gate = Gate(Limiter(self._store, account, limits), limits.lateness)
            self._keep(gate.keep_renewing(self._options.lease / 3))
            parts = LaneParts(
                client=client,
                gate=gate,
                intents=intents,
                settler=self._settler,
                sightings=StoredSightings(self._store, account),
                keep=lambda statuses: insist(lambda: keepsakes.store(statuses)),
                solitude=solitude,
                policy=self._options.policy,
                actions_per_request=access.actions_per_request,
                more_to_come=lambda: self._claims.more_to_come,
            )
            self._lanes[account] = Lane(account, parts)
            probes[account] = Probe(client, gate)
            self._keep(self._lanes[account].run())
        return probes

    def _keep(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_report_end)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def accept(self, entries: Sequence[Entry]) -> None:
        """Claimed jobs go to their lanes."""
        by_account: dict[str, list[Entry]] = {}
        for entry in entries:
            by_account.setdefault(entry.account, []).append(entry)
        for account, jobs in by_account.items():
            lane = self._lanes.get(account)
            if lane is None:
                outcome = dead(UnknownAccount.__name__, None, f"no credentials for account {account!r}")
                await self._settler.end([(entry, outcome) for entry in jobs])
            elif self._draining:
                await self._settler.give_back(jobs)
            else:
                await self._put(lane, jobs)

    async def _put(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """Into its lane; what is over the account's share goes to the parking place, if there are other accounts."""
        rows = [entry for entry in entries if entry.chunk is not None]
        jobs = [entry for entry in entries if entry.chunk is None]
        surplus = lane.surplus(self._claims.window.jobs, len(jobs)) if len(self._lanes) > 1 else 0
        kept = len(jobs) - surplus
        lane.put([*jobs[:kept], *rows])
        if surplus:
            await self._settler.park_surplus(lane.account, jobs[kept:])
            self._watch.note_parking(lane.account)

    def _hunger(self, account: str) -> int:
        lane = self._lanes.get(account)
        return 0 if lane is None else lane.hunger(self._claims.window.jobs)

    def hand_over(self, letter: Letter, held: Held | None) -> None:
        """A message goes to Celery's consumer; a job in it comes back by `settle`."""
        if held is not None:
            self._with_celery[held.claim] = held
        self.inbox.put(letter)

    async def settle(self, held: Held) -> Settled:
        """Bring a claimed job or chunk to its end, or to where it waits."""
        self._with_celery.pop(held.claim, None)
        if not held.is_settled:
            await self.accept(await self._claimer.open(held))
        return await held.settled

    async def revoke(self, ids: Iterable[str]) -> dict[str, Cancelled]:
        """Cancel jobs, however long Redis is away; what became of each."""
        result = celery_result(CANCELLED, time.time())
        return {job_id: await self._revoke(job_id, result) for job_id in ids}

    async def _revoke(self, job_id: str, result: Mapping[str, object]) -> Cancelled:
        return await insist(lambda: self._revocations.revoke(job_id, result))

    async def revoke_stamps(self, stamps: Sequence[str]) -> None:
        """Cancel every job with one of these stamps, however long Redis is away."""
        await insist(lambda: self._revocations.revoke_stamps(stamps))

    async def at_hand(self) -> tuple[list[Entry], list[Entry]]:
        """Jobs on the wire, and those that wait for their request."""
        on_the_wire = [e for lane in self._lanes.values() for some in lane.on_the_wire().values() for e in some]
        return on_the_wire, [entry for lane in self._lanes.values() for entry in lane.waiting]

    def task_of(self, held: Held) -> str:
        """The name of its task."""
        if isinstance(held, Entry):
            return self._tasks.unlink
        return self._tasks.undo if held.chunk.restore else self._tasks.unlink_many

    def on_loop(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start work on the loop from another thread."""
        if self._loop is None:
            raise RuntimeError("the worker has not started yet")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def acked(self, claim: str) -> None:
        """Celery is done with a message; any thread."""
        self._from_celery(self._acked, claim)

    def rejected(self, claim: str) -> None:
        """Celery gives a message back; any thread."""
        self._from_celery(self._rejected, claim)

    def _from_celery(self, noted: Callable[[str], None], claim: str) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(noted, claim)

    def _acked(self, claim: str) -> None:
        held = self._with_celery.pop(claim, None)
        if held is None or held.is_settled:
            self._claims.done(claim)
            return
        log.warning("Celery cannot read the message of a job: it runs without its callbacks", id=held.id)
        held.acks = True
        self._keep(self._run_straight(held))

    async def _run_straight(self, held: Held) -> None:
        await self.accept(await self._claimer.open(held))

    def _rejected(self, claim: str) -> None:
        self._with_celery.pop(claim, None)
        self._claims.back(claim)

    async def drain(self, grace: float | None = None) -> None:
        """Stop: nothing new is claimed or sent, unsent jobs go back at once, requests on the wire may end in time."""
        self._draining = True
        self._claiming.cancel()
        for letter in self.inbox.take_all():
            self._rejected(letter.payload["properties"]["delivery_tag"])
        await self._give_back([lane.take_waiting() for lane in self._lanes.values()])
        wire = {task: entries for lane in self._lanes.values() for task, entries in lane.on_the_wire().items()}
        if wire:
            late = await _unfinished(wire, self._hurry, self._options.grace if grace is None else grace)
            for task in late:
                task.cancel()
            await self._give_back([[e for e in wire[task] if not e.is_settled] for task in late], sent=True)

    def hurry(self) -> None:
        """A stop waits for nothing on the wire any more; any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hurry.set)

    async def _give_back(self, groups: Sequence[Sequence[Entry]], *, sent: bool = False) -> None:
        """A stop does not wait for Redis: what it does not hear of is found again by its lease."""
        until = asyncio.get_running_loop().time() + STOP_PATIENCE
        for entries in groups:
            try:
                async with asyncio.timeout_at(until):
                    await self._settler.give_back(entries, sent=sent)
            except (RedisError, TimeoutError):
                self._settler.abandon(entries)

    async def close(self) -> None:
        """After `drain`: flush acks, end the background work, close all connections."""
        await asyncio.sleep(0)  # acks noted by other threads arrive first
        try:
            async with asyncio.timeout(STOP_PATIENCE):
                await self._settler.wait_for_closing()
                await self._claims.flush()
        except (RedisError, TimeoutError) as error:
            log.warning(
                "stopped without Redis: what this worker held is taken over when its leases run out", why=str(error)
            )
        await _end(set(self._running))
        await self._transport.close()
        await self._queue.aclose()
        if self._store is not self._queue:
            await self._store.aclose()


async def _unfinished(
    wire: "Iterable[asyncio.Task[None]]", hurry: asyncio.Event, grace: float
) -> "set[asyncio.Task[None]]":
    """What is on the wire still after `grace` seconds, or once `hurry` is set."""
    waiting, called = set(wire), asyncio.get_running_loop().create_task(hurry.wait())
    until = asyncio.get_running_loop().time() + grace
    while waiting and not called.done() and (left := until - asyncio.get_running_loop().time()) > 0:
        await asyncio.wait({*waiting, called}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        waiting = {task for task in waiting if not task.done()}
    called.cancel()
    return {task for task in waiting if not task.done()}


async def _end(tasks: "set[asyncio.Task[None]]") -> None:
    """Cancel until it is heard: a `wait_for` of Python 3.11 that is done just then, as in redis-py, swallows it."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=CANCEL_EVERY)


def _report_end(task: "asyncio.Task[None]") -> None:
    """A worker without one of its parts would hold jobs and do nothing: it ends, and gives all of them back."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("background work ended, so this worker ends", error=repr(error), exc_info=error)
        state.should_terminate = EX_SOFTWARE
