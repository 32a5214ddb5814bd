"""Making a report: from the plan where it is at hand, else from what Redis keeps, in one pass and a few round trips."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.following import Capacity
from gateway.report.folder import new_folder
from gateway.report.given import Given, from_plan, from_redis
from gateway.report.summary import Summary
from gateway.report.writing import Told, write_rows, write_summary
from worker.stores.run_ends import RunEnds
from worker.stores.runs import Run, Runs
from worker.unlinking.plan import Action, PlanRefused
from worker.unlinking.report_counts import Counts


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes reports. Raises redis.exceptions.RedisError."""

    client: "redis.Redis"
    runs: Runs
    zone: tzinfo | None  # in which the page tells times

    def make(self, run: Run, folder: Path, plan: Path | None, capacity: Capacity | None) -> Summary:
        """Write the report of a run. `plan`: its file; None: where it was applied from.

        Raises CommandError, and PlanRefused for a `plan` that is not the run's.
        """
        with new_folder(folder, run.id) as part:
            counts, given = self._rows(part, run, plan)
            seconds, micros = self._now()
            summary = Summary(
                run=run,
                made_at=seconds + micros / 1_000_000,
                counts=counts,
                pace=self.runs.pace(run.id),
                capacity=capacity,
                plan=None if given.plan is None else str(given.plan),
                missing=given.note,
            )
            write_summary(part, summary, self.zone)
        return summary

    def _now(self) -> tuple[int, int]:
        found: Any = self.client.time()
        return int(found[0]), int(found[1])

    def _rows(self, part: Path, run: Run, plan: Path | None) -> tuple[Counts, Given]:
        if plan is not None:
            return self._write(part, run, from_plan(run, plan))
        try:
            return self._write(part, run, from_plan(run, Path(run.fields["plan"])))
        except PlanRefused as refused:
            return self._write(part, run, from_redis(run, self.runs, str(refused)))

    def _write(self, part: Path, run: Run, given: Given) -> tuple[Counts, Given]:
        action = Action(run.fields["action"])
        with _progress(given.sent + given.left_out) as told:
            return write_rows(part, given, RunEnds(self.client, run).ends(action), action, told), given


@contextmanager
def _progress(rows: int) -> Iterator[Told]:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("rows", total=rows)
        yield lambda done: progress.update(task, completed=done)
