"""The lines of a plan's file. Pure.

Line 1 is the head, a JSON object. Then one JSON array a row, those to be sent first, those left out after them:
    [relationtype, parentid, childid, standing, source, [input, ...]]  and, if there is one, the confirmation
All ASCII, every line ended by a line feed. The head holds the sha256 of everything else, so no edit goes unnoticed; it
is no signature: who means to forge a plan can.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from worker.unlinking.job import MAX_ID, Relation
from worker.unlinking.plan import VERSION, Action, PlanHead, PlanRefused, PlanRow, Standing
from worker.unlinking.relation_types import RELATION_TYPES, Deletable

EDITED = "the plan was edited, or damaged"
MARK = "unlinker_plan"  # first key of a head; its value is the version
_encode = json.JSONEncoder(separators=(",", ":")).encode
_KINDS: Mapping[str, tuple[type, ...]] = {
    "account": (str,),
    "because": (str,),
    "columns": (list,),
    "counts": (dict,),
    "existing": (dict, type(None)),
    "expires_at": (int, float),
    "extents": (dict, type(None)),
    "id": (str,),
    "left_out": (int,),
    "made_at": (int, float),
    "made_by": (str,),
    "rows": (int,),
    "sha256": (str,),
    "source": (str,),
    "target": (str,),
    "action": (str,),
}


def head_line(head: PlanHead) -> bytes:
    """The first line."""
    document = {name: value for name, value in asdict(head).items() if name != "version"}
    return _line({MARK: head.version, **document})


def seal(head: PlanHead, rows: Iterable[bytes]) -> PlanHead:
    """The head with its sha256. `rows`: all that follows the head's line, in pieces of any size."""
    digest = new_digest(head)
    for piece in rows:
        digest.update(piece)
    return replace(head, sha256=digest.hexdigest())


def new_digest(head: PlanHead) -> "hashlib._Hash":
    """A sha256 that has seen the head, and has to see the rows."""
    return hashlib.sha256(head_line(replace(head, sha256="")))


def read_head(line: bytes) -> PlanHead:
    """Read what `head_line` wrote. Raises PlanRefused."""
    document = _load(line)
    if not isinstance(document, dict) or MARK not in document:
        raise PlanRefused("this is no plan of unlinker")
    version = document.pop(MARK)
    if version != VERSION:
        raise PlanRefused(f"the plan is of version {str(version)[:20]}, and this unlinker reads {VERSION}; plan again")
    if set(document) != set(_KINDS):
        raise PlanRefused(f"{EDITED}: the fields of its head are not those of a plan")
    for name, kinds in _KINDS.items():
        if type(document[name]) not in kinds:
            raise PlanRefused(f"{EDITED}: {name} in its head is no {kinds[0].__name__}")
    try:
        head = _head(document)
    except (ValueError, TypeError, AttributeError):
        raise PlanRefused(f"{EDITED}: its head cannot be understood") from None
    if head_line(head) != line:
        raise PlanRefused(f"{EDITED}: its head is not as it was written")
    return head


def _head(document: dict[str, Any]) -> PlanHead:
    counts = {kind: {Standing(word): int(n) for word, n in each.items()} for kind, each in document["counts"].items()}
    extents = document["extents"]
    if extents is not None:
        extents = {kind: {int(parent): int(n) for parent, n in each.items()} for kind, each in extents.items()}
    if not 0 <= document["made_at"] <= document["expires_at"] < math.inf:
        raise ValueError("no times")
    if not all(type(name) is str for name in document["columns"]):
        raise ValueError("no names")
    known = {"action": Action(document["action"]), "columns": tuple(document["columns"])}
    return PlanHead(**{**document, **known, "counts": counts, "extents": extents})


def row_line(row: PlanRow) -> bytes:
    """One row."""
    relation = row.relation
    parts: list[object] = [
        relation.relationtype,
        relation.parentid,
        relation.childid,
        row.standing.value,
        row.source,
        row.input,
    ]
    if row.confirmation is not None:
        parts.append(row.confirmation)
    return _line(parts)


def read_row(line: bytes) -> PlanRow:
    """Read what `row_line` wrote. Raises PlanRefused."""
    try:
        kind, parentid, childid, standing, source, given, *rest = _load(line)
        row = PlanRow(Relation(kind, parentid, childid), Standing(standing), source, tuple(given), *rest)
    except (ValueError, TypeError):
        raise PlanRefused(f"{EDITED}: a row cannot be read: {line[:100]!r}") from None
    if not _is_sound(row):
        raise PlanRefused(f"{EDITED}: a row is none that is ever planned: {line[:100]!r}")
    return row


def _is_sound(row: PlanRow) -> bool:
    relation = row.relation
    kind = RELATION_TYPES.get(relation.relationtype) if type(relation.relationtype) is str else None
    return (
        kind is not None
        and type(relation.parentid) is int
        and type(relation.childid) is int
        and 0 < relation.parentid <= MAX_ID
        and 0 < relation.childid <= MAX_ID
        and (kind.deletable is not Deletable.READ_ONLY or row.standing is Standing.REFUSED)
        and type(row.source) is str
        and all(type(value) is str for value in row.input)
        and (row.confirmation is None or type(row.confirmation) is str)
    )


def _line(document: object) -> bytes:
    return _encode(document).encode("ascii") + b"\n"


def _load(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
