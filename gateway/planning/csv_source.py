"""Relations from a CSV file with a header."""

import csv
import re
from collections.abc import Iterator

from gateway.exits import CommandError, Exit
from gateway.planning.columns import HeaderError, read_header, understood
from gateway.planning.rows import Fault, Given, Rejected, RowReader
from gateway.planning.text import BadLine, Lines, Text
from worker.unlinking.sent import as_sent

DELIMITERS = (",", ";", "\t", "|")
NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}
_EXCEL_HINT = re.compile(r"sep=(.)\r?\n?")


def read_delimiter(value: str | None) -> str | None:
    """A character or its name. Raises CommandError."""
    if value is None:
        return None
    found = NAMES.get(value.casefold(), value)
    if len(found) != 1 or found in '"\r\n\0':
        raise CommandError(Exit.BAD_INPUT, f"--delimiter {value!r}: give one character, or one of {', '.join(NAMES)}")
    return found


class CsvSource:
    """Rows of a CSV file. Raises CommandError when the header cannot be used."""

    def __init__(self, text: Text, delimiter: str | None, one_type: str | None) -> None:
        self.name = text.name
        self._lines = text.lines
        self._type = one_type
        line = self._first_line()
        hint = _EXCEL_HINT.fullmatch(line)
        if hint:
            line, delimiter = self._first_line(), delimiter or hint[1]
        self._delimiter = delimiter or _sniff(line)
        try:
            names = next(csv.reader([line], delimiter=self._delimiter, strict=True))
            self._columns = read_header([name.strip() for name in names], one_type is not None)
        except (HeaderError, csv.Error) as error:
            raise CommandError(Exit.BAD_INPUT, f"{self.name}: {error} (delimiter {self._delimiter!r})") from None
        self.columns = self._columns.names
        self.notes = text.notes

    def _first_line(self) -> str:
        """The next one that is not blank."""
        try:
            for line in self._lines:
                if line.strip():
                    return line
        except BadLine as error:
            raise CommandError(Exit.BAD_INPUT, f"{self.name}: line {self._lines.number} {error}") from None
        raise CommandError(Exit.BAD_INPUT, f"{self.name} is empty; it needs a line that names the columns, and rows")

    def __iter__(self) -> Iterator[Given | Rejected]:
        """All rows; blank ones are passed over."""
        reader, lines = csv.reader(self._lines, delimiter=self._delimiter, strict=True), self._lines
        rows = RowReader()
        while True:
            first = lines.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except BadLine as error:
                yield _rejected(first, f"the line {error}")
            except csv.Error as error:
                yield _rejected(first, _explain(error, first, lines))
            else:
                if any(cells) and "".join(cells).strip():
                    yield self._row(rows, first, cells)

    def _row(self, rows: RowReader, line: int, cells: list[str]) -> Given | Rejected:
        width = len(self.columns)
        if len(cells) != width:
            if len(cells) < width or any(cell.strip() for cell in cells[width:]):
                return _rejected(line, f"has {len(cells)} fields where the header has {width}", as_sent(cells))
            del cells[width:]
        kind, parent, child = self._columns.order
        relationtype = cells[kind] if kind is not None else self._type or ""
        return rows.read(str(line), (relationtype, cells[parent], cells[child]), tuple(cells))


def _rejected(line: int, reason: str, value: str = "") -> Rejected:
    return Rejected(str(line), (Fault("", value, reason),))


def _explain(error: csv.Error, first: int, lines: Lines) -> str:
    """The reader's words mean little to people."""
    text = str(error)
    if "field larger" in text:
        return f"a field is longer than {csv.field_size_limit():,} characters (to line {lines.number}): an open quote?"
    if "unexpected end" in text:
        return f"a quote is opened and never closed (the file ends in line {lines.number})"
    return f"is no CSV with this delimiter: {text}"


def _sniff(line: str) -> str:
    """The delimiter that makes most sense of the header."""

    def score(delimiter: str) -> tuple[int, int]:
        try:
            names = next(csv.reader([line], delimiter=delimiter, strict=True))
        except csv.Error:
            return (-1, 0)
        return (understood(names), len(names))

    return max(DELIMITERS, key=score)
