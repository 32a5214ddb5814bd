"""Moving many letters: how many at most, how fast, with progress, stopped and resumed at any moment."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import redis
import typer

from gateway import operator
from gateway.exits import CommandError, Exit
from gateway.interrupting import uninterrupted
from gateway.progress import progress
from tasks.pacer import Pacer
from worker.stores.letter import Letter
from worker.stores.refusals import explain

CAP = 500  # letters moved without --all or --max
FASTEST_STEP = 200  # letters moved in one script, so that a lost reply leaves no more than these in doubt
STEPS_A_SECOND = 5.0  # when a rate is given
Step = Callable[[Sequence[Letter]], Sequence[object]]  # moves letters; returns something for each that it moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What an operator said about how to move letters."""

    because: str | None
    most: int
    all: bool
    dry_run: bool
    yes: bool

    def check(self, action: str, count: int, what: str = "letters") -> str:
        """Why it is done. Raises CommandError when nothing may be done."""
        if not self.because:
            raise CommandError(
                Exit.BAD_INPUT, f"{count} {what}; say why with --because TEXT (--dry-run only counts them)"
            )
        if count > self.most and not self.all:
            raise CommandError(
                Exit.BRAKE,
                f"{count} {what} are more than {self.most}; nothing was done. Allow it with --max {count} or --all",
            )
        if count and not self.yes:
            operator.ask(f"{action} {count} {what}?")
        return self.because


def read_order(
    because: Annotated[str | None, typer.Option("--because", help="Why you do this; kept in the audit.")] = None,
    most: Annotated[int, typer.Option("--max", min=1, help="Do nothing if there are more than this.")] = CAP,
    all_: Annotated[bool, typer.Option("--all", help="However many there are.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> Order:
    """The options of every command that moves letters, or rejected messages."""
    return Order(because=because, most=most, all=all_, dry_run=dry_run, yes=yes)


@dataclass(frozen=True, slots=True)
class Means:
    """How a command moves letters, and tells of it."""

    step: Step
    takes: Callable[[Letter], bool]  # what is not taken is left out
    rate: float | None  # letters a second; None: as fast as it goes
    json: bool


@dataclass(slots=True)
class Moved:
    """What became of it."""

    count: int = 0  # moved by this call
    gone: int = 0  # somebody else had moved them before
    left_out: int = 0
    stopped: bool = False  # by Ctrl-C
    failed: str = ""  # why Redis did not answer; of the last step nobody knows how much it moved


def move(portions: Iterable[Sequence[Letter]], means: Means, total: int) -> Moved:
    """Move all letters. What is stopped goes on when it is called again."""
    moved = Moved()
    size = FASTEST_STEP if means.rate is None else max(1, min(FASTEST_STEP, int(means.rate / STEPS_A_SECOND)))
    pacer = None if means.rate is None else Pacer(means.rate)
    try:
        with progress("letters", total) as advance:
            for some in _portioned(portions, size):
                taken = [letter for letter in some if means.takes(letter)]
                with uninterrupted():
                    count = len(means.step(taken))
                    moved.count += count
                    moved.gone += len(taken) - count
                    moved.left_out += len(some) - len(taken)
                advance(len(some))
                if pacer is not None:
                    pacer.keep(len(taken))
    except KeyboardInterrupt:
        moved.stopped = True
    except redis.exceptions.RedisError as error:
        moved.failed = str(explain(error))
    return moved


def _portioned(portions: Iterable[Sequence[Letter]], size: int) -> Iterable[Sequence[Letter]]:
    for portion in portions:
        for start in range(0, len(portion), size):
            yield portion[start : start + size]
