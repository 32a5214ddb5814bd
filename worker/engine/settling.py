"""Carries decisions out: the one place where a decision about a job becomes a record, a result, and a moved message."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar

import structlog
from redis.exceptions import RedisError

from worker.engine.claims import Claims
from worker.engine.entry import Entry, Left, Settled
from worker.engine.group_commit import GroupCommit
from worker.engine.open_chunk import OpenChunk, WaitingRow
from worker.engine.postponing import next_ticket, why_of
from worker.engine.results import celery_result, success
from worker.engine.server_clock import ServerClock
from worker.stores import keys
from worker.stores.deliveries import Deliveries
from worker.stores.halts import Halt, HaltedBy, Halts
from worker.stores.records import Ending, Records, Status, StoredEnd
from worker.stores.refusals import told
from worker.stores.rows import RowEnding, Rows
from worker.unlinking.attempts import as_json, noted
from worker.unlinking.attribution import NOTHING
from worker.unlinking.chunk import tally
from worker.unlinking.decisions import Decision, End, Park, Ticket
from worker.unlinking.job import Job
from worker.unlinking.outcome import EXPIRED, Outcome, attributed

log = structlog.get_logger(__name__)
SURPLUS = "its account has more at hand than it may send; other accounts go first"
ENDINGS_AT_ONCE = 200
ROWS_AT_ONCE = 2000
REDIS_PAUSE = 0.5  # seconds between tries while Redis does not answer
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Books:
    """Where outcomes are written."""

    records: Records
    rows: Rows
    halts: Halts


class Settler:
    """Ends jobs, or lets them wait."""

    def __init__(self, books: Books, claims: Claims, random: Random, clock: ServerClock) -> None:
        self.books = books
        self.clock = clock
        self._records = books.records
        self._rows = books.rows
        self._halts = books.halts
        self._finish = GroupCommit(self._finish_now, ENDINGS_AT_ONCE)
        self._finish_rows = GroupCommit(books.rows.finish, ROWS_AT_ONCE)
        self._claims = claims
        self._random = random
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def _deliveries(self) -> Deliveries:
        return self._claims.deliveries

    async def _finish_now(self, endings: Sequence[Ending]) -> Sequence[tuple[bool, str]]:
        return await self._records.finish(endings, as_stored(EXPIRED, time.time()))

    async def stored_end(self, job_id: str) -> Settled | None:
        """How a job has ended, as its record tells; None if it has not."""
        end = await insist(lambda: self._records.end_of(job_id))
        return None if end is None else as_settled(*end)

    async def end(self, endings: Sequence[tuple[Entry, Outcome]]) -> None:
        """Write outcomes, once and for all, in one round trip, however long Redis is away; only then the ack.

        What was ended before stands, and is what its callbacks are told.
        """
        endings = [(entry, _with_by(entry, how)) for entry, how in endings]
        rows = [
            RowEnding(e.chunk.chunk, e.row, e.ticket.job, how, _history(e, how))
            for e, how in endings
            if e.chunk is not None
        ]
        await self.end_rows(rows)
        stands = await self._end_jobs([(entry, how) for entry, how in endings if entry.chunk is None])
        for entry, outcome in endings:
            entry.settle(stands.get(entry.id, outcome) if entry.chunk is None else outcome)

    async def end_rows(self, endings: Sequence[RowEnding]) -> None:
        """The same for rows of chunks; the chunk is acked when it has no open row."""
        if endings:
            await insist(lambda: self._finish_rows(endings))

    async def _end_jobs(self, endings: Sequence[tuple[Entry, Outcome]]) -> dict[str, Settled]:
        """Ends that stand instead, of jobs that had ended before and whose callbacks are still to be sent."""
        if not endings:
            return {}
        now = time.time()
        alike = {outcome for _, outcome in endings}  # most jobs of a batch end alike
        ends = {outcome: as_stored(outcome, now) for outcome in alike}
        wanted = [
            Ending(entry.id, _relation_key(entry.ticket.job), ends[outcome], _to_ack(entry), _history(entry, outcome))
            for entry, outcome in endings
        ]
        written = await self._write(wanted)
        before = [entry.id for (entry, _), is_ours in zip(endings, written, strict=True) if not (is_ours or entry.acks)]
        stands = {job_id: await self.stored_end(job_id) for job_id in before}
        return {job_id: end for job_id, end in stands.items() if end is not None}

    async def _write(self, endings: Sequence[Ending]) -> list[bool]:
        """Whether each was ended by this."""
        written = await insist(lambda: self._finish(endings))
        for ending in endings:
            if self._records.acks:
                self._claims.let_go(ending.claim)
            else:
                self._claims.done(ending.claim)
        return [is_ours for is_ours, _ in written]

    async def end_whole(self, held: Entry | OpenChunk, outcome: Outcome) -> None:
        """End a job, or a chunk as a whole: one that cannot be read, is poison, or was revoked."""
        if isinstance(held, Entry):
            await self.end([(held, outcome)])
            return
        (states,) = await insist(lambda: self._rows.states([held.chunk]))
        how = outcome if held.chunk.restore else attributed(outcome, NOTHING)
        await self.end_rows([RowEnding(held.chunk, row, job, how) for row, job in held.without_outcome(states)])
        await self._write([Ending(held.id, "", as_stored(outcome, time.time()), _to_ack(held))])
        held.settle(outcome)

    def close_soon(self, chunk: OpenChunk) -> None:
        """A chunk has no open row any more."""
        task = asyncio.get_running_loop().create_task(self._close(chunk))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def wait_for_closing(self) -> None:
        """Return when every chunk without open rows is written down."""
        await asyncio.gather(*self._closing)

    async def _close(self, chunk: OpenChunk) -> None:
        if chunk.left is Left.ELSEWHERE:
            await self._leave_behind(chunk)
        elif chunk.left is Left.GIVEN_BACK:
            await insist(lambda: self._give_chunk_back(chunk))
        elif chunk.waiting:
            await insist(lambda: self._let_chunk_wait(chunk))
        else:
            (states,) = await insist(lambda: self._rows.states([chunk.chunk]))
            if chunk.without_outcome(states):  # Redis has lost the ends of some rows; their chunk may come again
                self._claims.done(chunk.claim)
                chunk.settle(Left.ELSEWHERE)
                return
            result = {"outcome": "done", **tally(states), "run": chunk.chunk.run}
            end = chunk_as_stored(result, time.time())
            await self._write([Ending(chunk.id, "", end, _to_ack(chunk))])
            chunk.settle(result)

    async def _give_chunk_back(self, chunk: OpenChunk) -> None:
        waiting = chunk.waiting_json()
        await self._records.defer_chunk(chunk.id, chunk.claim, Status.QUEUED, "its worker was stopped", waiting)
        await self._claims.give_back_all([chunk.claim])
        chunk.settle(Left.GIVEN_BACK)

    async def _let_chunk_wait(self, chunk: OpenChunk) -> None:
        waiting = chunk.waiting_json()
        if not await self._records.defer_chunk(chunk.id, chunk.claim, chunk.status, chunk.why, waiting):
            await self._leave_behind(chunk)
            return
        if chunk.waits_with_run:
            await self._deliveries.park_with_run(chunk.claim, chunk.chunk.run)
            self._claims.let_go(chunk.claim)
        else:
            await self._move(chunk.claim, chunk.status, chunk.account, chunk.seconds)
        chunk.settle(Left.WAITING)

    async def leave(self, entry: Entry) -> None:
        """The job ended before, or another worker has it: this copy is acked."""
        if entry.chunk is None:
            await self._leave_behind(entry)
        else:
            entry.settle(Left.ELSEWHERE)

    async def _leave_behind(self, held: Entry | OpenChunk) -> None:
        """Celery has to send the callbacks of one that has ended, and acks it then."""
        end = None if held.acks else await self.stored_end(held.id)
        if end is None:
            self._claims.done(held.claim)
        held.settle(Left.ELSEWHERE if end is None else end)

    async def carry_out(self, account: str, decisions: Sequence[tuple[Entry, Decision]]) -> None:
        """One decision per job of one account."""
        await self.end([(entry, found.outcome) for entry, found in decisions if isinstance(found, End)])
        parks = [found for _, found in decisions if isinstance(found, Park)]
        if parks:
            await self.halt(account, parks[0])
        for entry, found in decisions:
            if not isinstance(found, End):
                await insist(lambda entry=entry, found=found: self._wait(account, entry, found))  # type: ignore[misc]  # mypy cannot type lambda defaults

    async def note_success(self, entries: Sequence[Entry]) -> None:
        """Deletes that were clearly answered and are to be read back all the same."""
        noted = [
            (entry.id, entry.claim, "") if entry.chunk is None else (entry.chunk.id, entry.claim, str(entry.row))
            for entry in entries
        ]
        await insist(lambda: self._records.note_success(noted))

    async def halt(self, account: str, park: Park) -> None:
        """Stop an account, unless it is stopped already."""
        if not park.new:
            return
        by = HaltedBy.OUTAGE if park.outage else HaltedBy.CREDENTIALS
        halt = Halt(by=by, why=park.why[:300], since=time.time(), code=park.code)
        if await insist(lambda: self._halts.halt(account, halt)):
            log.error("account halted", account=account, by=str(by), why=halt.why, code=halt.code)

    async def _wait(self, account: str, entry: Entry, decision: Decision) -> None:
        before = noted(entry.ticket, decision, entry.request)
        ticket, status, seconds = next_ticket(before, decision, self._random)
        if entry.chunk is not None:
            entry.chunk.waiting[entry.row] = WaitingRow(ticket, status, seconds, why_of(decision))
            entry.settle(Left.WAITING)
            return
        if not await self._records.defer(entry.claim, status, ticket, why_of(decision)):
            await self.leave(entry)
            return
        await self._move(entry.claim, status, account, seconds)
        entry.settle(Left.WAITING)

    async def _move(self, claim: str, status: Status, account: str, seconds: float) -> None:
        if status is Status.PARKED:
            await self._deliveries.park(claim, account)
        else:
            await self._deliveries.delay(claim, seconds)
        self._claims.let_go(claim)

    async def park(self, account: str, entries: Sequence[Entry]) -> None:
        """Jobs whose account is halted leave the window, so that they hold up no other account."""
        await self.carry_out(account, [(entry, Park(why="the account is halted", new=False)) for entry in entries])

    def pause(self, entries: Sequence[Entry]) -> None:
        """Rows whose run is paused leave the window, their doubts kept, and come back when it is resumed."""
        for entry in entries:
            if entry.chunk is not None:
                paused = WaitingRow(entry.ticket, Status.PARKED, 0.0, "its run is paused", with_run=True)
                entry.chunk.waiting[entry.row] = paused
                entry.settle(Left.WAITING)

    async def park_surplus(self, account: str, entries: Sequence[Entry]) -> None:
        """Jobs over their account's share of the window leave it, so that they hold up no other account."""
        if not self._records.acks:  # records elsewhere: one by one
            await self.park(account, entries)
            return
        jobs = [(entry.claim, entry.id) for entry in entries]
        await insist(lambda: self._deliveries.park_many(account, jobs, SURPLUS))
        for entry in entries:
            self._claims.let_go(entry.claim)
            entry.settle(Left.WAITING)

    async def give_back(self, entries: Sequence[Entry], *, sent: bool = False) -> None:
        """The worker stops: jobs go back to the queue at once. `sent`: their requests may have been carried out."""
        jobs = [entry for entry in entries if entry.chunk is None]
        for entry in jobs:
            if sent:
                ticket = self._after_loss(entry.ticket)
                await self._records.defer(entry.claim, Status.QUEUED, ticket, "its worker was stopped")
        await self._claims.give_back_all([entry.claim for entry in jobs])
        for entry in entries:
            if entry.chunk is not None:
                ticket = self._after_loss(entry.ticket) if sent else entry.ticket
                entry.chunk.waiting[entry.row] = WaitingRow(ticket, Status.DELAYED, 0.0, "its worker was stopped")
            entry.settle(Left.GIVEN_BACK)

    def _after_loss(self, ticket: Ticket) -> Ticket:
        return replace(ticket, known=ticket.known.after_loss(self.clock()))

    def abandon(self, entries: Sequence[Entry]) -> None:
        """Jobs nobody works at any more: their leases run out, and whoever gets them next looks before it deletes."""
        for entry in entries:
            if not entry.is_settled:
                self._claims.let_go(entry.claim)
                entry.settle(Left.ELSEWHERE)


def _with_by(entry: Entry, outcome: Outcome) -> Outcome:
    """Every end of a deletion says who removed the link, however it was come to."""
    if outcome.by is not None or entry.ticket.job.restore:
        return outcome
    return attributed(outcome, entry.ticket.known)


def _history(entry: Entry, outcome: Outcome) -> str:
    """Of a job that did not come true, for its dead letter."""
    return "" if outcome.succeeded else as_json(noted(entry.ticket, End(outcome), entry.request).history)


def _to_ack(held: Entry | OpenChunk) -> str:
    """The claim that is acked together with the outcome; "" if Celery acks it."""
    return held.claim if held.acks else ""


def _relation_key(job: Job) -> str:
    relation = job.relation
    return keys.relation(job.account, relation.relationtype, relation.parentid, relation.childid)


def chunk_as_stored(result: Mapping[str, object], now: float) -> StoredEnd:
    """A chunk's end as the records keep it. `now`: Unix seconds."""
    return StoredEnd("done", json.dumps(result, separators=(",", ":")), json.dumps(success(result, now)))


def as_stored(outcome: Outcome, now: float) -> StoredEnd:
    """An outcome as the records keep it. `now`: Unix seconds."""
    evidence = json.dumps(outcome.as_evidence(), separators=(",", ":"))
    return StoredEnd(str(outcome.kind), evidence, json.dumps(celery_result(outcome, now)))


def as_settled(outcome: str, evidence: str) -> Settled:
    """Read what `as_stored` and `chunk_as_stored` wrote."""
    fields: dict[str, Any] = json.loads(evidence)
    return fields if outcome == "done" else Outcome.from_evidence(outcome, fields)


async def insist(step: Callable[[], Awaitable[T]]) -> T:
    """Do a step that Redis must hear, however long it is away; only the end of the process ends it."""
    while True:
        try:
            return await step()
        except RedisError as error:
            log.warning("an outcome waits for Redis", **told(error))
            await asyncio.sleep(REDIS_PAUSE)
