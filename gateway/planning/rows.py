"""What a source says, row by row: a relation, or what is wrong with the row. Pure."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from worker.unlinking.job import MAX_ID, Relation
from worker.unlinking.relation_types import RelationTypeError, parse_relationtype

NEEDED = ("relationtype", "parentid", "childid")
SHOWN = 80  # characters of a value that a report repeats
_WHOLE = re.compile(r"[0-9]+")
_DECIMAL = re.compile(r"-?[0-9]+[.,][0-9]*")
_GROUPED = re.compile(r"[0-9]{1,3}([., '\u00a0\u202f][0-9]{3})+")
_SCIENTIFIC = re.compile(r"-?[0-9]+([.,][0-9]+)?[eE][+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Given:
    """A row that names a relation."""

    source: str  # its line; "" when a rule found it
    relation: Relation
    input: tuple[str, ...] = ()  # as it came, by the source's columns


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one field; `field` is "" when it is the row itself."""

    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot be planned."""

    source: str
    faults: tuple[Fault, ...]


class Source(Protocol):
    """Rows of one file."""

    name: str  # of the file
    columns: tuple[str, ...]
    notes: tuple[str, ...]  # what an operator should know of how it was read

    def __iter__(self) -> Iterator[Given | Rejected]:
        """All rows, in order."""


class RowReader:
    """Reads relations from texts; remembers the types it has met."""

    def __init__(self) -> None:
        self._types: dict[str, str] = {}

    def read(self, source: str, cells: tuple[str, str, str], given: tuple[str, ...]) -> Given | Rejected:
        """`cells`: relation type, parent, child, as they came."""
        kind, parent, child = (cell.strip() for cell in cells)
        short = self._types.get(kind)
        if short is None or not is_id(parent) or not is_id(child):
            faults = tuple(self._faults(kind, parent, child))
            if faults:
                return Rejected(source, faults)
            short = self._types[kind] = parse_relationtype(kind).short
        return Given(source, Relation(short, int(parent), int(child)), given)

    def _faults(self, kind: str, parent: str, child: str) -> Iterable[Fault]:
        try:
            parse_relationtype(kind)
        except RelationTypeError as error:
            yield Fault(NEEDED[0], kind[:SHOWN], str(error) if kind else "is empty")
        for name, text in zip(NEEDED[1:], (parent, child), strict=True):
            if not is_id(text):
                yield Fault(name, text[:SHOWN], why_no_id(text))


def is_id(text: str) -> bool:
    """Whether it is a record id, written as one."""
    return text.isdigit() and text.isascii() and len(text) < 20 and 0 < int(text) <= MAX_ID


def why_no_id(text: str) -> str:
    """What is wrong with a text that `is_id` refuses."""
    if not text:
        return "is empty"
    if _WHOLE.fullmatch(text):
        return "is too large for a record id" if text.strip("0") else "must be a positive record id"
    if _SCIENTIFIC.fullmatch(text):
        return "is in scientific notation, so digits may be lost; export the column as text or as a number without it"
    if _GROUPED.fullmatch(text):
        return "has thousands separators or decimals; write digits only"
    if _DECIMAL.fullmatch(text):
        return "is a decimal number; write digits only"
    if _WHOLE.fullmatch(text.removeprefix("-").removeprefix("\N{MINUS SIGN}")):
        return "is negative; must be a positive record id"
    return "is no whole number"
