"""Documents to CSV or JSONL with stable columns."""

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from config.visible import json_text, tame
from gateway.exits import CommandError, Exit
from worker.stores.private_files import open_private

if TYPE_CHECKING:
    import _csv  # the type of csv.writer has no other name before Python 3.13

# what spreadsheets would run; some take the full-width signs for the others
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"  # one header line; what is no plain value stands as JSON
    JSONL = "jsonl"  # one JSON object a line


@dataclass(frozen=True, slots=True)
class Sink:
    """Where documents go. `path`: None for standard output."""

    path: Path | None
    format: Format


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """A file appears under its name only when it is whole."""
    if path is None:
        yield sys.stdout
        return
    part = path.with_name(path.name + ".part")
    try:
        with open_private(part) as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise CommandError(Exit.BAD_INPUT, f"{path} cannot be written: {error}") from None


def write_documents(sink: Sink, columns: Sequence[str], documents: Iterable[Mapping[str, object]]) -> int:
    """Write them; returns how many. Raises CommandError when the file cannot be written."""
    count = 0
    with _opened(sink.path) as file:
        table = csv_writer(file)
        if sink.format is Format.CSV:
            table.writerow(columns)
        for document in documents:
            count += 1
            if sink.format is Format.CSV:
                table.writerow([cell(document.get(name)) for name in columns])
            else:
                file.write(json_text({name: document.get(name) for name in columns}) + "\n")
    return count


def csv_writer(file: TextIO) -> "_csv.Writer":
    """Lines end as RFC 4180 has it; else Python quotes no carriage return, and what follows one would begin a row."""
    return csv.writer(file, lineterminator="\r\n")


def cell(value: object) -> object:
    """A value as CSV files have it; texts come from outside, and neither spreadsheet nor terminal shall obey them.

    Done twice it is as done once, so that a row can be planned from our file, fail again, and be written again.
    """
    if isinstance(value, list | dict):
        return json_text(value)
    if not isinstance(value, str):
        return value
    return "'" + tame(value) if value.startswith(FORMULA) else tame(value)
