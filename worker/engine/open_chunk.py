"""A chunk that this process holds: which rows are on their way, which wait, and what becomes of it after them."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from worker.engine.entry import Entry, Left, Settled
from worker.stores import keys
from worker.stores.records import Admitted, Status
from worker.unlinking.attempts import as_json, from_json
from worker.unlinking.attribution import By, Known, pack, unpack
from worker.unlinking.chunk import Chunk, RowState, Unreadable
from worker.unlinking.decisions import Ticket
from worker.unlinking.job import Job
from worker.unlinking.outcome import Outcome, dead

# the most patient status wins: a chunk with a parked row is parked, one with an open question is unverified
BULK = keys.QUEUES[2]  # rows ride after single jobs, whatever queue their chunk came from
PATIENCE = (Status.DELAYED, Status.UNVERIFIED, Status.PARKED)


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A row that is to be tried again."""

    ticket: Ticket
    status: Status
    seconds: float
    why: str
    with_run: bool = False  # parked with its run, rather than with its account


@dataclass(eq=False)
class OpenChunk:
    """Settled once none of its rows is open any more; then `closing` is told."""

    chunk: Chunk
    claim: str
    closing: Callable[["OpenChunk"], None]
    admitted: Admitted  # what earlier passes left behind
    waiting: dict[int, WaitingRow] = field(default_factory=dict)
    acks: bool = True  # as of Entry
    left: Left | None = None  # GIVEN_BACK or ELSEWHERE, if that became of any row
    settled: "asyncio.Future[Settled]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _open: int = 0

    @property
    def id(self) -> str:
        """The chunk's id."""
        return self.chunk.id

    @property
    def is_settled(self) -> bool:
        """Whether it is through with this process."""
        return self.settled.done()

    @property
    def account(self) -> str:
        """Whose relations they are."""
        return self.chunk.terms.account

    def entries(self, states: bytes) -> list[Entry]:
        """The rows that have no outcome yet."""
        tickets = json.loads(self.admitted.waiting or "{}")
        entries = []
        for row, (job, byte) in enumerate(zip(self.chunk.rows, states, strict=True)):
            state = RowState.of(byte)
            if state.is_final or isinstance(job, Unreadable):
                continue
            ticket = self._ticket(job, row, state, tickets.get(str(row)))
            entries.append(Entry(ticket, self.claim, BULK, self.admitted.deaths, chunk=self, row=row))
        self._open = len(entries)
        return entries

    def _ticket(self, job: Job, row: int, state: RowState, left_behind: list[Any] | None) -> Ticket:
        """One row's. What an earlier pass left behind is all there is to know, unless a later one died."""
        ticket = Ticket(job=job, known=Known(seen=job.seen, forgotten=self.admitted.known.forgotten))
        if left_behind is not None:
            ticket = _ticket(ticket, left_behind)
        died_at = self.admitted.died_at
        if state is RowState.SENT and (died_at is not None or left_behind is None):
            sent_at = self.admitted.now if died_at is None else died_at
            answered = str(row) in self.admitted.succeeded.split(",")
            known = ticket.known.after_success(sent_at) if answered else ticket.known.after_loss(sent_at)
            ticket = replace(ticket, known=known)
        return ticket

    def without_outcome(self, states: bytes) -> list[tuple[int, Job | None]]:
        """Rows that have none yet."""
        return [
            (row, job if isinstance(job, Job) else None)
            for row, (job, byte) in enumerate(zip(self.chunk.rows, states, strict=True))
            if not RowState.of(byte).is_final
        ]

    def unreadable(self, states: bytes) -> list[tuple[int, Outcome]]:
        """Rows that cannot be read and have no outcome yet, with the outcome they get."""
        return [
            (row, dead(job.error.reason, job.error.code, job.error.text, by=None if self.chunk.restore else By.NOT_US))
            for row, (job, byte) in enumerate(zip(self.chunk.rows, states, strict=True))
            if isinstance(job, Unreadable) and not RowState.of(byte).is_final
        ]

    def row_settled(self, settled: Settled) -> None:
        """One row less is open."""
        if settled in (Left.GIVEN_BACK, Left.ELSEWHERE):
            self.left = Left(settled)
        self._open -= 1
        if self._open == 0:
            self.closing(self)

    def settle(self, settled: Settled) -> None:
        """Tell who waits."""
        if not self.settled.done():
            self.settled.set_result(settled)

    @property
    def status(self) -> Status:
        """What the chunk is while its waiting rows wait."""
        return max((row.status for row in self.waiting.values()), key=PATIENCE.index)

    @property
    def seconds(self) -> float:
        """When to try again."""
        return min(row.seconds for row in self.waiting.values())

    @property
    def waits_with_run(self) -> bool:
        """Whether it comes back when its run is resumed."""
        return any(row.with_run for row in self.waiting.values())

    @property
    def why(self) -> str:
        """Of one of them."""
        return next(iter(self.waiting.values())).why

    def waiting_json(self) -> str:
        """What the waiting rows must know, for the record."""
        known = {row: _known(waiting.ticket) for row, waiting in self.waiting.items()}
        return json.dumps(known)


def _known(ticket: Ticket) -> list[Any]:
    known = [ticket.attempts, pack(ticket.known), int(ticket.question), ticket.tries]
    return [*known, as_json(ticket.history)] if ticket.history else known


def _ticket(ticket: Ticket, known: list[Any]) -> Ticket:
    attempts, packed, question, tries, *history = known
    counts: Mapping[int, int] = {int(code): count for code, count in tries.items()}
    return Ticket(
        job=ticket.job,
        attempts=attempts,
        known=replace(unpack(packed), forgotten=ticket.known.forgotten),
        question=bool(question),
        tries=counts,
        history=from_json(history[0]) if history else (),
    )
