"""A bulk run: how its rows are cut into chunks, what state it is in, and what stops it. Pure.

loading -> running -> done
running -> paused, stopped -> running      an operator pauses, a brake stops; an operator resumes
running, paused, stopped -> cancelled      what was not sent stays as it is
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from worker.unlinking.chunk import MAX_ROWS

CHUNK_MARK = "."  # between a run's id and the number of one of its chunks


class RunState(StrEnum):
    """Where a run is."""

    LOADING = "loading"  # its rows are being stored; nothing is sent
    RUNNING = "running"
    PAUSED = "paused"  # by an operator
    STOPPED = "stopped"  # by a brake
    CANCELLED = "cancelled"  # rows that were not sent never will be
    DONE = "done"  # every row has its outcome


class Steering(StrEnum):
    """What an operator may do to a run."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


MOVES: Mapping[Steering, tuple[frozenset[RunState], RunState]] = {
    Steering.PAUSE: (frozenset({RunState.RUNNING}), RunState.PAUSED),
    Steering.RESUME: (frozenset({RunState.PAUSED, RunState.STOPPED}), RunState.RUNNING),
    Steering.CANCEL: (frozenset({RunState.RUNNING, RunState.PAUSED, RunState.STOPPED}), RunState.CANCELLED),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a run are cut: a first small chunk that must go well, then equal ones."""

    rows: int
    canary: int = 10  # rows of the first chunk; 0: none, all are alike
    size: int = MAX_ROWS

    @property
    def first(self) -> int:
        """Rows of the first chunk."""
        return min(self.canary or self.size, self.rows)

    @property
    def chunks(self) -> int:
        """How many there are."""
        return 0 if self.rows == 0 else 1 + -(-(self.rows - self.first) // self.size)

    def span(self, number: int) -> tuple[int, int]:
        """First row of a chunk, and how many it has."""
        begin = 0 if number == 0 else self.first + (number - 1) * self.size
        return begin, min(self.first if number == 0 else self.size, self.rows - begin)

    def place(self, row: int) -> tuple[int, int]:
        """The chunk of a row, and its place in it."""
        if row < self.first:
            return 0, row
        number, place = divmod(row - self.first, self.size)
        return number + 1, place


def chunk_id(run: str, number: int) -> str:
    """The id of a run's chunk: always the same, so that a chunk that is fed twice runs once."""
    return f"{run}{CHUNK_MARK}{number}"


def is_chunk_of(run: str, chunk: str) -> bool:
    """Whether a chunk was fed by this run, and does not just name it."""
    before, mark, number = chunk.rpartition(CHUNK_MARK)
    return bool(mark) and before == run and number.isdigit()
