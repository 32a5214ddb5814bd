"""One pass of housekeeping: dead letters of passing troubles are tried again, what is kept no longer is dropped."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import redis

from tasks.pacer import Pacer
from tasks.redriving import BECAUSE, BY, Redriver
from worker.stores import keys
from worker.stores.audit import Act, Audit
from worker.stores.clearing import Clearing
from worker.stores.letter import Letter

STEP = 10  # letters redriven in one round trip
LEASE = 120.0  # seconds after which another pass may begin though this one never said that it ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    """Safe to run twice at once, and to be killed anywhere: the scripts see to it; the lease only saves the work.

    Raises redis.exceptions.RedisError and ArchiveUnwritable.
    """

    client: "redis.Redis"
    redriver: Redriver
    clearing: Clearing
    redrives_per_second: float = 50.0
    may_go_on: Callable[[], bool]  # asked between steps

    def run(self, now: float) -> dict[str, object]:
        """What was done. `now`: Unix seconds."""
        with _turn(self.client) as mine:
            if not mine:
                return {"busy": True}
            redriven = self._redrive()
            return {
                "redriven": redriven,
                "letters_dropped": self.clearing.letters(now),
                "journal_dropped": self.clearing.journal(now),
            }

    def _redrive(self) -> int:
        audit, act = Audit(self.client), Act(action="redrive", by=BY, because=BECAUSE)
        pacer, redriven = Pacer(self.redrives_per_second), 0
        for some in self._steps():
            if redriven == 0:
                audit.note(act)
            redriven += len(self.redriver.move(some))
            pacer.keep(len(some))
        if redriven:
            audit.note(replace(act, count=redriven))
        return redriven

    def _steps(self) -> Iterator[Sequence[Letter]]:
        for portion in self.redriver.due():
            for start in range(0, len(portion), STEP):
                if not self.may_go_on():
                    return
                yield portion[start : start + STEP]


@contextmanager
def _turn(client: "redis.Redis") -> Iterator[bool]:
    """Whether it is our turn; nobody else's until this ends, or for LEASE seconds."""
    lock = client.lock(keys.HOUSEKEEPING, timeout=LEASE, blocking=False)
    mine = lock.acquire()
    try:
        yield mine
    finally:
        if mine and lock.owned():
            lock.release()


class Patience:
    """A bound on how long a pass may go on."""

    def __init__(self, seconds: float, stopping: Callable[[], bool]) -> None:
        self._end = time.monotonic() + seconds
        self._stopping = stopping

    def __call__(self) -> bool:
        """Whether it may go on."""
        return not self._stopping() and time.monotonic() < self._end
