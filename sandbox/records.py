"""Estates and addresses with a few fields, and the call that reads them (pages Read Estates, Read Addresses)."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

RESOURCES = ("estate", "address")
FIELDS: Mapping[str, frozenset[str]] = {  # which exist without any record that has them
    "estate": frozenset({"Id", "objektnr_extern", "status", "verkauft", "vermarktungsart", "ort", "geaendert_am"}),
    "address": frozenset({"id", "KdNr", "Name", "Vorname", "Ort", "Status", "Aenderung"}),
}
ID_FIELD = {"estate": "Id", "address": "id"}
DEFAULT_LIMIT, MAX_LIMIT = 20, 500
Value = str | int | float
Fields = dict[str, Value]


class BadRead(Exception):
    """A read that the API refuses."""

    def __init__(self, code: int, value: object) -> None:
        self.code = code
        self.value = value
        super().__init__(code, value)


@dataclass(slots=True)
class Records:
    """All records, and which of them this account may not see."""

    known: dict[str, dict[int, Fields]] = field(default_factory=lambda: {name: {} for name in RESOURCES})
    hidden: dict[str, set[int]] = field(default_factory=lambda: {name: set() for name in RESOURCES})

    def put(self, resource: str, record_id: int, fields: Fields) -> None:
        """Add or replace one."""
        numbered: Fields = {"KdNr": record_id} if resource == "address" else {}
        self.known[resource][record_id] = {**numbered, **fields, ID_FIELD[resource]: record_id}

    def clear(self) -> None:
        """None left."""
        for resource in RESOURCES:
            self.known[resource].clear()
            self.hidden[resource].clear()

    def fields(self, resource: str) -> frozenset[str]:
        """Every field there is."""
        return FIELDS[resource].union(*self.known[resource].values())


@dataclass(frozen=True, slots=True)
class Page:
    """What a read came to."""

    total: int  # of all that fit
    records: list[tuple[int, Fields]]  # on this page, with the fields that were asked for


def read(records: Records, resource: str, parameters: Mapping[str, Any]) -> Page:
    """One page. Raises BadRead."""
    known = records.fields(resource)
    names = parameters.get("data")
    if not isinstance(names, list):
        raise BadRead(167, "data")
    conditions = _conditions(parameters.get("filter", {}), known)
    sort_by = parameters.get("sortby") or ID_FIELD[resource]
    for name in [*names, sort_by]:
        if name not in known:
            raise BadRead(75, name)
    visible = ((n, fields) for n, fields in records.known[resource].items() if n not in records.hidden[resource])
    found = [(n, fields) for n, fields in visible if all(_fits(fields, condition) for condition in conditions)]
    found.sort(key=lambda pair: (_sortable(pair[1].get(sort_by, "")), pair[0]))
    if parameters.get("sortorder", "ASC") == "DESC":
        found.reverse()
    start = _whole(parameters.get("listoffset", 0), "listoffset")
    limit = _whole(parameters.get("listlimit", DEFAULT_LIMIT), "listlimit")
    if not 0 < limit <= MAX_LIMIT:  # silently, as somebody saw it (facts 4)
        limit = DEFAULT_LIMIT
    page = [(n, {name: fields.get(name, "") for name in names}) for n, fields in found[start : start + limit]]
    return Page(len(found), page)


@dataclass(frozen=True, slots=True)
class _Condition:
    name: str
    operator: str
    value: Any


def _conditions(wish: object, known: Iterable[str]) -> list[_Condition]:
    if wish == []:  # PHP's empty map
        return []
    if not isinstance(wish, dict):
        raise BadRead(257, "filter")
    conditions: list[_Condition] = []
    for name, expressions in wish.items():
        if name not in known:
            raise BadRead(75, name)
        if not isinstance(expressions, list) or not all(isinstance(each, dict) for each in expressions):
            raise BadRead(257, name)
        conditions += [_condition(name, each) for each in expressions]
    return conditions


def _condition(name: str, expression: Mapping[str, Any]) -> _Condition:
    operator = str(expression.get("op", "")).casefold()
    value: Any = expression.get("val")
    many = operator in ("in", "not in", "between")
    right = isinstance(value, list) if many else isinstance(value, str | int | float)
    if operator not in _OPERATORS or not right or (operator == "between" and len(value) != 2):
        raise BadRead(257, name)
    return _Condition(name, operator, value)


def _fits(fields: Fields, condition: _Condition) -> bool:
    return _OPERATORS[condition.operator](fields.get(condition.name, ""), condition.value)


def _order(left: Value, right: Value) -> int:
    """-1, 0 or 1; as numbers if both are, else as text without case, as MySQL does."""
    one, other = _sortable(left), _sortable(right)
    if one[0] != other[0]:
        one, other = (1, 0.0, str(left).casefold()), (1, 0.0, str(right).casefold())
    return (one > other) - (one < other)


def _sortable(value: Value) -> tuple[int, float, str]:
    try:
        return (0, float(value), "")
    except ValueError:
        return (1, 0.0, str(value).casefold())


def _like(value: Value, pattern: Value) -> bool:
    parts = (".*" if part == "%" else re.escape(part) for part in re.split("(%)", str(pattern)))
    return re.fullmatch("".join(parts), str(value), re.IGNORECASE | re.DOTALL) is not None


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "is": lambda a, b: _order(a, b) == 0,
    "=": lambda a, b: _order(a, b) == 0,
    "!=": lambda a, b: _order(a, b) != 0,
    "<>": lambda a, b: _order(a, b) != 0,
    ">": lambda a, b: _order(a, b) > 0,
    "<": lambda a, b: _order(a, b) < 0,
    ">=": lambda a, b: _order(a, b) >= 0,
    "<=": lambda a, b: _order(a, b) <= 0,
    "like": _like,
    "not like": lambda a, b: not _like(a, b),
    "in": lambda a, b: any(_order(a, each) == 0 for each in b),
    "not in": lambda a, b: all(_order(a, each) != 0 for each in b),
    "between": lambda a, b: _order(a, b[0]) >= 0 and _order(a, b[1]) <= 0,
}


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadRead(228, name)
    return value
