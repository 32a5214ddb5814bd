"""Relations from JSON lines: an object with the API's names, or an array of type, parent and child."""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from gateway.planning.columns import HeaderError, read_header
from gateway.planning.rows import NEEDED, SHOWN, Fault, Given, Rejected, RowReader
from gateway.planning.text import BadLine, Text


class JsonlSource:
    """Rows of a JSONL file. A row is kept as it came, in one column."""

    columns: tuple[str, ...] = ("json",)

    def __init__(self, text: Text, one_type: str | None) -> None:
        self.name = text.name
        self._lines = text.lines
        self._type = one_type
        self._order = lru_cache(1000)(lambda names: read_header(names, one_type is not None).order)  # keys of an object
        self.notes = text.notes

    def __iter__(self) -> Iterator[Given | Rejected]:
        """All rows; blank lines are passed over."""
        rows, lines = RowReader(), self._lines
        while True:
            try:
                line = next(lines).strip()
            except StopIteration:
                return
            except BadLine as error:
                yield Rejected(str(lines.number), (Fault("", "", f"the line {error}"),))
                continue
            if line:
                yield self._row(rows, str(lines.number), line)

    def _row(self, rows: RowReader, number: str, line: str) -> Given | Rejected:
        try:
            values = self._values(_DECODER.decode(line))
        except (ValueError, RecursionError):
            hint = "; write one object a line" if line in ("[", "[{", "{") else ""
            return Rejected(number, (Fault("", line[:SHOWN], f"is no JSON{hint}"),))
        except HeaderError as error:
            return Rejected(number, (Fault("", line[:SHOWN], str(error)),))
        odd = tuple(
            Fault(name, json.dumps(value)[:SHOWN], f"must be {wanted}, not {_KINDS[type(value)]}")
            for name, value, wanted in zip(NEEDED, values, ("text", "a whole number", "a whole number"), strict=True)
            if type(value) is not str and (type(value) is not int or wanted == "text")
        )
        if odd:
            return Rejected(number, odd)
        return rows.read(number, (str(values[0]), str(values[1]), str(values[2])), (line,))

    def _values(self, document: object) -> Sequence[Any]:
        """Type, parent, child. Raises HeaderError."""
        if isinstance(document, list):
            if len(document) != (3 if self._type is None else 2):
                raise HeaderError("must be [relationtype, parentid, childid], or [parentid, childid] with --type")
            return document if self._type is None else [self._type, *document]
        if not isinstance(document, dict):
            raise HeaderError("must be an object or an array")
        kind, parent, child = self._order(tuple(document))
        cells = list(document.values())
        return [self._type if kind is None else cells[kind], cells[parent], cells[child]]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):  # which of the two would be meant?
        raise ValueError("a key repeats")
    return document


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
_KINDS: dict[type, str] = {
    float: "a decimal number",
    int: "a number",
    bool: "true or false",
    type(None): "null",
    dict: "an object",
    list: "an array",
}
