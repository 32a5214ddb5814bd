"""Moving many letters: how many at most, how fast, with progress, stopped and resumed at any moment."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway import operator
from gateway.exits import CommandError, Exit
from worker.stores.dead_letters import Letter

CAP = 500  # letters moved without --all or --max
FASTEST_STEP = 500  # letters moved in one round trip
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

    def check(self, action: str, count: int) -> str:
        """Why it is done. Raises CommandError when nothing may be done."""
        if not self.because:
            raise CommandError(
                Exit.BAD_INPUT, f"{count} letters; say why with --because TEXT (--dry-run only counts them)"
            )
        if count > self.most and not self.all:
            raise CommandError(
                Exit.BRAKE,
                f"{count} letters are more than {self.most}; nothing was done. Allow it with --max {count} or --all",
            )
        if count and not self.yes:
            operator.ask(f"{action} {count} letters?")
        return self.because


def read_order(
    because: Annotated[str | None, typer.Option("--because", help="Why you do this; kept in the audit.")] = None,
    most: Annotated[int, typer.Option("--max", min=1, help="Do nothing if there are more than this.")] = CAP,
    all_: Annotated[bool, typer.Option("--all", help="However many there are.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> Order:
    """The options of every command that moves letters."""
    return Order(because=because, most=most, all=all_, dry_run=dry_run, yes=yes)


@dataclass(slots=True)
class Moved:
    """What became of it."""

    count: int = 0  # moved by this call
    gone: int = 0  # somebody else had moved them before
    skipped: int = 0  # left out
    stopped: bool = False  # by Ctrl-C


def move(portions: Iterable[Sequence[Letter]], step: Step, rate: float | None, total: int) -> Moved:
    """Do `step` with all letters, at most `rate` a second. What is stopped goes on when it is called again."""
    moved = Moved()
    size = FASTEST_STEP if rate is None else max(1, min(FASTEST_STEP, int(rate / STEPS_A_SECOND)))
    with _progress() as progress:
        task = progress.add_task("letters", total=total)
        begin = time.monotonic()
        try:
            for some in _portioned(portions, size):
                count = len(step(some))
                moved.count += count
                moved.gone += len(some) - count
                progress.update(task, advance=len(some))
                if rate is not None:
                    time.sleep(max(0.0, begin + (moved.count + moved.gone) / rate - time.monotonic()))
        except KeyboardInterrupt:
            moved.stopped = True
    return moved


def _portioned(portions: Iterable[Sequence[Letter]], size: int) -> Iterable[Sequence[Letter]]:
    for portion in portions:
        for start in range(0, len(portion), size):
            yield portion[start : start + size]


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
