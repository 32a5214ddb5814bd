"""Ids from a text file: one row a line, with or without a header."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from gateway.reconciling.source_errors import SourceUnusable
from worker.unlinking.policies import FileSource


def read_file(source: FileSource) -> Iterator[tuple[int, Sequence[object]]]:
    """Line numbers with the values of each row. Raises SourceUnusable."""
    path = Path(source.path)
    try:
        before = path.stat()
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.reader(file, delimiter=source.delimiter, strict=True)
            yield from _rows(((table.line_num, row) for row in table), source)
        after = path.stat()
    except OSError as error:
        raise SourceUnusable(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise SourceUnusable(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    except csv.Error as error:
        raise SourceUnusable(f"{path} is no such table: {error}") from None
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise SourceUnusable(f"{path} was written to while it was read, so rows may be missing")


def _rows(table: Iterable[tuple[int, list[str]]], source: FileSource) -> Iterator[tuple[int, Sequence[object]]]:
    places: list[int] | None = None
    for number, row in table:
        if not any(cell.strip() for cell in row):
            continue
        if source.columns and places is None:
            places = _places([cell.strip() for cell in row], source)
        elif places is None:
            yield number, row
        elif len(row) <= max(places):
            raise SourceUnusable(f"{source.path}: line {number} has {len(row)} values, fewer than the header")
        else:
            yield number, [row[place] for place in places]
    if source.columns and places is None:
        raise SourceUnusable(f"{source.path} is empty; not even its header is there")


def _places(header: Sequence[str], source: FileSource) -> list[int]:
    for name in source.columns:
        if header.count(name) != 1:
            told = "not in" if name not in header else "twice in"
            raise SourceUnusable(f"{source.path}: column {name!r} is {told} its header: {', '.join(header)[:200]}")
    return [header.index(name) for name in source.columns]
