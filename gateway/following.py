"""Watching a run: a bar in a terminal, a line now and then elsewhere; left and rejoined at any time."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from gateway.exits import CommandError, Exit
from gateway.output import note
from worker.stores.dead_letters import DeadLetters
from worker.stores.letter import Filter
from worker.stores.runs import Pace, Run, Runs
from worker.unlinking.errors import REASONS
from worker.unlinking.runs import RunState

LOOK_EVERY = 0.3  # seconds
LINE_EVERY = 10.0  # seconds, where there is no terminal
REASONS_EVERY = 3.0  # seconds; each costs a count per reason
RATE_OVER = 10.0  # seconds
REDIS_PATIENCE = 60.0  # seconds
LOST = "run {run}: its records are gone: Redis has lost its data. Apply the plan again: what is gone is found absent"
QUIET = 15.0  # seconds without anything done, after which the person is told what may be wrong


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the run's account allows."""

    rows_per_second: float  # requests a second times actions a request


def rate(pace: Sequence[Pace], done: int, now: float) -> float:
    """Rows a second, lately. Pure; `now`: Unix seconds."""
    recent = [each for each in pace if each.at >= now - RATE_OVER] or list(pace[-1:])
    if not recent or now <= recent[0].at:
        return 0.0
    return max(0.0, (done - recent[0].done) / (now - recent[0].at))


def eta(left: int, per_second: float) -> str:
    """How long `left` rows will take, for people."""
    if per_second <= 0:
        return "?"
    seconds = left / per_second
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def failures(letters: DeadLetters, run_id: str) -> dict[str, int]:
    """How many rows of a run are dead letters now, by reason."""
    counts = {reason: letters.count(Filter(reason=reason, run=run_id)) for reason in REASONS}
    return {reason: count for reason, count in counts.items() if count}


class Follower:
    """Follows one run to its end, or to where somebody has to decide."""

    def __init__(self, runs: Runs, letters: DeadLetters, capacity: Capacity | None) -> None:
        self._runs = runs
        self._letters = letters
        self._capacity = capacity
        self._reasons: dict[str, int] = {}
        self._reasons_at = 0.0

    def follow(self, run_id: str) -> Run:
        """The run once it is over or stopped. Ctrl-C leaves it running, and raises KeyboardInterrupt."""
        with _bar() as show:
            watch = _Watch()
            while True:
                try:
                    run = self._look(run_id, show)
                except CommandError:
                    if watch.has_seen:
                        raise CommandError(Exit.UNREACHABLE, LOST.format(run=run_id)) from None
                    raise
                if run.is_over or run.state is RunState.STOPPED:
                    return run
                if watch.is_quiet(run, time.monotonic()):
                    note("nothing happens: does a worker run, and is the account halted? `unlinker accounts list`")
                time.sleep(LOOK_EVERY)

    def _look(self, run_id: str, show: "_Show") -> Run:
        """Redis may be away for a while: the run is in no danger. Raises RedisError when patience ends."""
        patience_ends = time.monotonic() + REDIS_PATIENCE
        while True:
            try:
                run = found_run(self._runs, run_id)
                show.update(run, self._line(run))
                return run
            except redis.exceptions.RedisError:
                if time.monotonic() > patience_ends:
                    raise
                time.sleep(LOOK_EVERY)

    def _line(self, run: Run) -> str:
        now = time.time()
        per_second = rate(self._runs.pace(run.id), run.done, now)
        parts = [str(run.state)]
        if run.state is RunState.RUNNING:
            parts.append(f"{per_second:,.0f}/s")
            if self._capacity is not None:
                parts.append(f"{min(1.0, per_second / self._capacity.rows_per_second):.0%} of the limit")
            parts.append(f"{eta(run.layout.rows - run.done, per_second)} left")
        if run.failed and time.monotonic() - self._reasons_at > REASONS_EVERY:
            self._reasons, self._reasons_at = failures(self._letters, run.id), time.monotonic()
        if run.failed:
            parts.append("failed: " + ", ".join(f"{name} {count}" for name, count in self._reasons.items()))
        return " | ".join(parts)


class _Watch:
    """Notices, once, when nothing gets done for a while."""

    def __init__(self) -> None:
        self._done = -1
        self._since: float | None = None  # None: it was said

    @property
    def has_seen(self) -> bool:
        """Whether the run was there once."""
        return self._done >= 0

    def is_quiet(self, run: Run, now: float) -> bool:
        """`now`: seconds of any clock that only rises."""
        if run.done != self._done or run.state is not RunState.RUNNING:
            self._done, self._since = run.done, now
        elif self._since is not None and now - self._since > QUIET:
            self._since = None
            return True
        return False


def found_run(runs: Runs, run_id: str) -> Run:
    """Raises CommandError for one that nobody knows."""
    run = runs.get(run_id)
    if run is None:
        raise CommandError(Exit.BAD_INPUT, f"no run {run_id!r} is known; `unlinker bulk status` lists the last ones")
    return run


class _Show:
    """A bar, or lines."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._line_at = 0.0

    def update(self, run: Run, line: str) -> None:
        """Show where it is."""
        if not self._progress.disable:
            self._progress.update(self._task, total=run.layout.rows, completed=run.done, description=line)
        elif time.monotonic() - self._line_at >= LINE_EVERY:
            self._line_at = time.monotonic()
            note(f"{run.done} of {run.layout.rows} | {line}")


@contextmanager
def _bar() -> Iterator[_Show]:
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield _Show(progress, progress.add_task("", total=None))
