"""Lists of record ids as they come from outside: every row is an id, or a pair of ids, and stands there once. Pure."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from worker.unlinking.job import MAX_ID

MOST_ROWS = 2_000_000
SHOWN = 10  # faults that are told
EXACT = 2**53  # up to here a float is a whole number without loss
IdRow = tuple[int, ...]


class BadList(ValueError):
    """The list cannot be used. The text names the rows that are wrong."""


def read_rows(rows: Iterable[tuple[int, Sequence[object]]], width: int) -> frozenset[IdRow]:
    """The rows of a list, each given with its number as people count them. Raises BadList for any that is wrong.

    Nothing is mended: a row that is not understood may be the one that says what must stay.
    """
    places: dict[IdRow, int] = {}
    faults: list[str] = []
    wrong = 0
    for number, values in rows:
        found = _row(values, width)
        if isinstance(found, tuple) and found in places:
            found = f"{_told(found)} stands there already, in row {places[found]}"
        if isinstance(found, tuple):
            places[found] = number
        else:
            wrong += 1
            if len(faults) < SHOWN:
                faults.append(f"row {number}: {found}")
        if len(places) + wrong > MOST_ROWS:
            raise BadList(f"it has more than {MOST_ROWS:,} rows")
    if wrong:
        more = f"; and {wrong - len(faults)} more" if wrong > len(faults) else ""
        raise BadList("; ".join(faults) + more)
    return frozenset(places)


def _row(values: Sequence[object], width: int) -> IdRow | str:
    """The ids, or what is wrong."""
    if len(values) != width:
        return f"has {len(values)} values where {width} must be"
    ids = []
    for value in values:
        found = _record_id(value)
        if found is None:
            return f"{str(value)[:40]!r} is no record id" if value not in (None, "") else "an id is missing"
        ids.append(found)
    return tuple(ids)


def _record_id(value: object) -> int | None:
    """A positive whole number in whatever dress databases, JSON and text files give it."""
    match value:
        case bool():
            return None
        case int():
            number = value
        case str() if value.strip().isascii() and value.strip().isdigit() and len(value) < 30:
            number = int(value)
        case float() if value.is_integer() and abs(value) < EXACT:
            number = int(value)
        case Decimal() if value.is_finite() and value == value.to_integral_value():
            number = int(value)
        case _:
            return None
    return number if 0 < number <= MAX_ID else None


def _told(row: IdRow) -> str:
    return ", ".join(map(str, row))
