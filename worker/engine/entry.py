"""A claimed job on its way through this process."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum

from worker.unlinking.decisions import Ticket
from worker.unlinking.outcome import Outcome


class Left(Enum):
    """How a job left this process without an outcome of ours."""

    WAITING = "waiting"  # delayed or parked
    GIVEN_BACK = "given back"  # the worker stops
    ELSEWHERE = "elsewhere"  # it ended before, or another worker has it


Settled = Outcome | Left


@dataclass(eq=False, slots=True)
class Entry:
    """One claimed job."""

    ticket: Ticket
    claim: str
    queue: str
    deaths: int = 0  # workers that died while its request was out
    settled: "asyncio.Future[Settled]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def id(self) -> str:
        """The job's id."""
        return self.ticket.job.id

    @property
    def suspect(self) -> bool:
        """Whether it may have killed workers: it runs alone."""
        return self.deaths >= SUSPECT_DEATHS

    @property
    def may_be_taken_back(self) -> bool:
        """Whether nothing was sent for it that may have been carried out."""
        return not (self.ticket.in_doubt or self.ticket.question)

    def settle(self, settled: Settled) -> None:
        """Tell who waits."""
        if not self.settled.done():
            self.settled.set_result(settled)


SUSPECT_DEATHS = 2  # in whatever company; from here on it runs alone
POISON_DEATHS = 3  # alone: deaths in company prove nothing, and one or two may be chance
