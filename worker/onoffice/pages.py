"""Reading records page by page, and the proof that none was missed. Pure.

Source: apidoc.onoffice.de, pages Read Estates and Read Addresses: filter, listlimit (500 at most; more silently gives
20, API facts 4), listoffset, sortby, sortorder, and cntabsolute in the answer. What to sort by is inferred; it only
keeps pages from shifting, and pages that shift all the same are noticed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from worker.onoffice.errors import UnreadableReply
from worker.onoffice.protocol import READ, Action
from worker.onoffice.replies import Answer

PAGE = 500  # records
OPERATORS = ("is", "=", ">", "<", ">=", "<=", "!=", "<>", "between", "like", "not like", "in", "not in")
LIST_OPERATORS = frozenset({"between", "in", "not in"})  # whose value is a list
SORTED_BY: Mapping[str, str] = {"estate": "Id", "address": "KdNr"}  # as others' clients do (O), and by their readers


class PagesMisfit(UnreadableReply):
    """The pages are not all the records there are: nothing may be concluded from them."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a field must be. Several conditions must all hold."""

    field: str  # the API's name, as in enterprise's administration
    operator: str  # one of OPERATORS
    value: object  # text or number; a list of them for LIST_OPERATORS


@dataclass(frozen=True, slots=True)
class Query:
    """Which records, and what of them."""

    resource: str  # estate or address
    conditions: Sequence[Condition] = ()
    fields: Sequence[str] = ()

    def action(self, identifier: str, offset: int) -> Action:
        """The API call of one page."""
        chosen: dict[str, list[object]] = {}
        for each in self.conditions:
            chosen.setdefault(each.field, []).append({"op": each.operator, "val": each.value})
        sort_by = SORTED_BY[self.resource]
        parameters = {
            "data": list(self.fields) or [sort_by],
            "filter": chosen,
            "listlimit": PAGE,
            "listoffset": offset,
            "sortby": sort_by,
            "sortorder": "ASC",
        }
        return Action(identifier, READ, self.resource, parameters)


@dataclass(frozen=True, slots=True)
class Record:
    """One estate or address, with the fields that were asked for."""

    id: int
    fields: Mapping[str, object]


@dataclass(slots=True)
class Pages:
    """Takes the answers to one query in order, and stands up for their being all of them."""

    total: int | None = None  # of all pages; None before the first
    _ids: set[int] = field(default_factory=set)

    @property
    def offset(self) -> int:
        """Where the next page begins."""
        return len(self._ids)

    @property
    def complete(self) -> bool:
        """Whether all are there."""
        return self.total == len(self._ids)

    def take(self, answer: Answer) -> list[Record]:
        """The records of the next page. Raises PagesMisfit for a short page, a repeated record, or a wrong count."""
        if answer.total is None:
            raise PagesMisfit("the API does not say how many records there are, so any may be missing")
        if self.total is not None and answer.total != self.total:
            raise PagesMisfit(f"there were {self.total} records, now {answer.total}: they change meanwhile")
        self.total = answer.total
        records = [Record(_record_id(each), _elements(each)) for each in answer.records]
        expected = min(PAGE, self.total - self.offset)
        if len(records) != expected:
            raise PagesMisfit(f"the page at {self.offset} has {len(records)} records where {expected} are due")
        fresh = {record.id for record in records}
        if len(fresh) != len(records) or fresh & self._ids:
            raise PagesMisfit("a record came twice, so another one may have been missed")
        self._ids |= fresh
        return records


def _record_id(record: Mapping[str, object]) -> int:
    value = record.get("id")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PagesMisfit(f"a record without an id: {str(value)[:30]!r}")
    return value


def _elements(record: Mapping[str, object]) -> Mapping[str, object]:
    elements = record.get("elements")
    return elements if isinstance(elements, dict) else {}
