"""A claimed job on its way through this process."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from worker.unlinking.attempts import RequestNote
from worker.unlinking.decisions import Ticket
from worker.unlinking.outcome import Outcome

if TYPE_CHECKING:
    from worker.engine.open_chunk import OpenChunk


class Left(Enum):
    """How a job left this process without an outcome of ours."""

    WAITING = "waiting"  # delayed or parked
    GIVEN_BACK = "given back"  # the worker stops
    ELSEWHERE = "elsewhere"  # it ended before, or another worker has it
    ENDED = "ended"  # of a row: whoever had its chunk before has written its outcome


Settled = Outcome | Left | Mapping[str, object]  # the mapping is a chunk's result


@dataclass(eq=False, slots=True)
class Entry:
    """One claimed job."""

    ticket: Ticket
    claim: str
    queue: str
    deaths: int = 0  # workers that died while its request was out
    chunk: "OpenChunk | None" = None  # whose row it is
    row: int = -1
    request: RequestNote | None = None  # the last request that was sent for it by this process
    acks: bool = True  # acked with its outcome; False: by Celery, once its callbacks were sent
    began: float | None = None  # Unix seconds when its request was made up
    _settled: "asyncio.Future[Settled] | None" = None
    _how: Settled | None = None

    @property
    def id(self) -> str:
        """The job's id."""
        return self.ticket.job.id

    @property
    def account(self) -> str:
        """Whose relation it is."""
        return self.ticket.job.account

    @property
    def suspect(self) -> bool:
        """Whether it may have killed workers: it runs alone."""
        return self.deaths >= SUSPECT_DEATHS

    @property
    def may_be_taken_back(self) -> bool:
        """Whether nothing was sent for it that may have been carried out."""
        return not (self.ticket.known.in_doubt or self.ticket.question)

    @property
    def is_settled(self) -> bool:
        """Whether it is through with this process."""
        return self._how is not None

    @property
    def settled(self) -> "asyncio.Future[Settled]":
        """Done once the job is through with this process; made only for who asks."""
        if self._settled is None:
            self._settled = asyncio.get_running_loop().create_future()
            if self._how is not None:
                self._settled.set_result(self._how)
        return self._settled

    def settle(self, settled: Settled) -> None:
        """Tell who waits: Celery's task, or the chunk whose row it is."""
        if self._how is not None:
            return
        self._how = settled
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(settled)
        if self.chunk is not None:
            self.chunk.row_settled(settled)


SUSPECT_DEATHS = 2  # in whatever company; from here on it runs alone
POISON_DEATHS = 3  # alone: deaths in company prove nothing, and one or two may be chance
