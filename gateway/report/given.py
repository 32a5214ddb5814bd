"""What a run was given to do: from its plan's file, or, where that is not at hand, from what Redis keeps of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.exits import CommandError, Exit
from gateway.plan_file import read_head, rows
from worker.stores.runs import Row, RowsMissing, Run, Runs
from worker.unlinking.job import Relation
from worker.unlinking.plan import PlanHead, PlanRefused, PlanRow, Standing


@dataclass(frozen=True, slots=True)
class Given:
    """The rows of a run, those to be sent first, in the run's order."""

    columns: Sequence[str]  # of the input
    sent: int
    left_out: int
    rows: Iterator[PlanRow]
    plan: Path | None
    note: str = ""  # what is missing, and what would help


def from_plan(run: Run, path: Path) -> Given:
    """From the plan's file. Raises PlanRefused for one that is not this run's; so do the rows, once it shows."""
    head = read_head(path)
    if not _is_of(head, run):
        raise PlanRefused(f"{path} is plan {head.id[:60]!r}, and not the one that run {run.id} was started from")
    return Given(head.columns, head.rows, head.left_out, rows(path), path)


def _is_of(head: PlanHead, run: Run) -> bool:
    sha256 = run.fields.get("plan_sha256", "")
    return head.id == run.id and head.sha256 == sha256 and head.rows == run.layout.rows


def from_redis(run: Run, runs: Runs, why: str) -> Given:
    """From the rows that were stored for the workers. `why` the plan's file is not used. Raises CommandError."""
    note = (
        f"{why}; without the plan's file the input's columns and the rows that the plan left out are missing "
        "(--plan FILE names it)"
    )
    return Given((), run.layout.rows, 0, _stored(run, runs), None, note)


def _stored(run: Run, runs: Runs) -> Iterator[PlanRow]:
    try:
        for row in runs.rows(run):
            yield PlanRow(_relation(row), Standing.PRESENT if row[3:] == [True] else Standing.UNCHECKED)
    except RowsMissing as missing:
        raise CommandError(Exit.BAD_INPUT, f"{missing}; name the plan's file with --plan FILE") from None


def _relation(row: Row) -> Relation:
    """Rows are as plans have them, and those are checked."""
    relationtype, parentid, childid, *_ = row
    return Relation(relationtype, parentid, childid)
