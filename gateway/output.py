"""What commands print: one JSON document, or tables and lines for people. Plain when not a terminal."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.visible import json_text, visible

OUTCOME_STYLE = {
    "unlinked": "green",
    "already_absent": "green",
    "restored": "green",
    "already_present": "green",
    "dead": "red",
    "expired": "red",
    "cancelled": "yellow",
    "parked": "yellow",
    "unverified": "yellow",
}


def ago(moment: object, now: float) -> str:
    """How long ago, for people; "" for no moment. Both Unix seconds."""
    if not isinstance(moment, int | float):
        return ""
    seconds = max(0.0, now - moment)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def print_json(document: object) -> None:
    """One JSON document, and nothing else, on stdout."""
    sys.stdout.write(json_text(document, indent=2) + "\n")


def note(message: str) -> None:
    """A line for people, on stderr, so that stdout stays clean."""
    sys.stderr.write(f"{visible(message)}\n")


def print_table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; outcomes and statuses in their colours."""
    table = Table(
        title=title and Text(visible(title)), title_justify="left", box=None, pad_edge=False, header_style="bold"
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(text := _text(cell), style=OUTCOME_STYLE.get(text, "")) for cell in row))
    console = Console(soft_wrap=not sys.stdout.isatty())
    if not sys.stdout.isatty():
        console = Console(width=200)
    console.print(table)


def _text(cell: object) -> str:
    return "" if cell is None else visible(str(cell))


JOB_COLUMNS = (
    *("id", "relationtype", "parentid", "childid", "rows", "status", "outcome", "by", "reason", "code", "message"),
    *("unlinked", "already_absent", "dead", "expired"),
)


def print_jobs(jobs: Sequence[dict[str, object]], title: str | None = None) -> None:
    """Jobs as a table, without columns that are empty for all."""
    columns = [name for name in JOB_COLUMNS if any(job.get(name) not in (None, "") for job in jobs)]
    print_table(title, columns, [[job.get(name) for name in columns] for job in jobs])
