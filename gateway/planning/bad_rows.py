"""Rows that cannot be planned, all of them, in a CSV file that a spreadsheet opens."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO, cast

from gateway.exits import CommandError, Exit
from gateway.export import cell
from gateway.planning.rows import Rejected
from gateway.planning.text import STDIN
from worker.stores.private_files import open_private

COLUMNS = ("file", "row", "field", "value", "reason")
FIRST_LINE = ",".join(COLUMNS) + "\n"
SHOWN = 5  # in the summary


class BadRows:
    """Takes them one by one; `save` writes the file if there are any."""

    def __init__(self, file: TextIO, name: str) -> None:
        self._file = file
        self._table = csv.writer(file, lineterminator="\n")
        self._name = name
        self.count = 0  # rows
        self.first: list[str] = []  # a few in words

    def add(self, row: Rejected) -> None:
        """One more. Raises CommandError."""
        self.count += 1
        for fault in row.faults:
            values = (self._name, row.source, fault.field, fault.value, fault.reason)
            try:
                self._table.writerow([cell(value) for value in values])
            except OSError as error:
                raise CommandError(Exit.BAD_INPUT, f"the bad rows cannot be written: {error.strerror}") from None
            if len(self.first) < SHOWN:
                what = f"{fault.field} {fault.value!r} {fault.reason}" if fault.field else fault.reason
                self.first.append(f"line {row.source}: {what}")

    def save(self, path: Path) -> None:
        """Whole or not at all; replaces an earlier list of bad rows and nothing else. Raises CommandError."""
        self._file.seek(0)
        part = path.with_name(path.name + ".part")
        try:
            with open_private(part) as file:
                file.write(FIRST_LINE)
                while piece := self._file.read(1024 * 1024):
                    file.write(piece)
            part.replace(path)
        except OSError as error:
            raise CommandError(Exit.BAD_INPUT, f"{path} cannot be written: {error.strerror or error}") from None


@contextmanager
def collecting(name: str) -> Iterator[BadRows]:
    """Bad rows of the file of that name."""
    with TemporaryFile("w+", encoding="utf-8", errors="backslashreplace", newline="") as file:
        yield BadRows(cast("TextIO", file), name)


def place_for(name: str, wanted: Path | None) -> Path:
    """Where the bad rows of an input go: next to it. Never over the input, nor over anything else of the user's.

    Raises CommandError for a `wanted` place that is taken.
    """
    if wanted is not None:
        if not _is_free(wanted):
            raise CommandError(Exit.BAD_INPUT, f"--bad-rows {wanted}: there is another file; choose another name")
        return wanted
    stem = "stdin" if name == STDIN else name
    places = (Path(f"{stem}.bad{number}.csv") for number in chain([""], count(2)))
    return next(place for place in places if _is_free(place))


def _is_free(path: Path) -> bool:
    """Whether nothing is there, or an earlier list of bad rows."""
    try:
        with path.open("rb") as file:
            return file.read(len(FIRST_LINE)) == FIRST_LINE.encode()
    except FileNotFoundError:
        return True
    except OSError:
        return False
