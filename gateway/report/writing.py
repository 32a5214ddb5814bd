"""Writing a report's files: one pass over the rows of a run, each into the file of its part, counted on the way."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import tzinfo
from pathlib import Path

from config.visible import json_text, tame
from gateway.exits import CommandError, Exit
from gateway.export import csv_writer
from gateway.report.folder import SUMMARY
from gateway.report.given import Given
from gateway.report.page import render
from gateway.report.summary import Summary
from gateway.report.table import header, line
from worker.stores.private_files import open_private, write_private
from worker.unlinking.plan import Action
from worker.unlinking.report import PARTS, Part, RowEnd, left_out_end, planned_end
from worker.unlinking.report_counts import Counts

PAGE = "report.html"
TOLD_EVERY = 10_000  # rows
WriteLine = Callable[[list[object]], object]
Told = Callable[[int], None]  # hears how many rows are through


def write_rows(folder: Path, given: Given, ends: Iterable[RowEnd], action: Action, told: Told) -> Counts:
    """Write every row into one file. `ends`: one for each row that is sent; `told`: hears how many rows are through.

    Raises PlanRefused when the plan turns out to be edited, CommandError, and OSError.
    """
    counts, width, of_run = Counts(action), len(given.columns), iter(ends)
    with _opened(folder, given, action) as files:
        for number, row in enumerate(given.rows):
            sent = number < given.sent
            end = planned_end(next(of_run), row) if sent else left_out_end(action, row)
            files[end.part](line(width, number if sent else None, row, end))
            counts.add(end)
            if number % TOLD_EVERY == 0:
                told(number)
    if counts.rows != given.sent + given.left_out:
        raise CommandError(Exit.BAD_INPUT, f"{counts.rows} of {given.sent} rows are stored; name the plan with --plan")
    return counts


@contextmanager
def _opened(folder: Path, given: Given, action: Action) -> Iterator[Mapping[Part, WriteLine]]:
    """A writer for each part, its header written."""
    with ExitStack() as files:
        writers: dict[Part, WriteLine] = {}
        for part in PARTS[action]:
            file = files.enter_context(open_private(folder / f"{part}.csv"))
            writers[part] = csv_writer(file).writerow
            writers[part](list(header(given.columns)))
        yield writers


def write_summary(folder: Path, summary: Summary, zone: tzinfo | None) -> None:
    """The summary as JSON, and the page. Raises OSError."""
    write_private(folder / PAGE, tame(render(summary, zone)))
    write_private(folder / SUMMARY, json_text(summary.document(), indent=2) + "\n")
