"""Reading an answer. Pure, and suspicious: what is not clearly the answer to an action is Missing, never success.

Rule 1: answers are matched by place and identifier. Either alone can lie (API facts 1.5, 7.2).
Rule 2: the top level speaks only for actions that have no result (API facts 2.3).
Rule 3: whatever the bytes, the caller gets one Answer or Missing per action, or an UnreadableReply.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.onoffice.errors import EmptyReply, MalformedRelatedIds, NotJson, WrongShape
from worker.onoffice.protocol import Action

UNREADABLE_CODE = -1  # an errorcode that is text, as very old fixtures have it
MAX_TEXT = 300  # characters of a vendor's message that are kept


@dataclass(frozen=True, slots=True)
class Answer:
    """What one action was answered."""

    errorcode: int  # 0 = OK
    message: str  # the vendor's text
    records: tuple[Mapping[str, object], ...]
    success: str | None  # records[0].elements.success, if there is one


@dataclass(frozen=True, slots=True)
class Missing:
    """No usable result for an action: its outcome is unknown."""

    why: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer per sent action, in the order sent, and what the top level says."""

    code: int  # status.code of the body, 0 when missing
    errorcode: int
    message: str
    answers: tuple[Answer | Missing, ...]


def parse_reply(body: bytes, sent: Sequence[Action]) -> Reply:
    """Read an answer. Raises EmptyReply, NotJson or WrongShape, and nothing else."""
    document = _load(body)
    status = _mapping(document.get("status"))
    results = _mapping(document.get("response")).get("results")
    found = [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []
    return Reply(
        code=_code(status.get("code", 0)),
        errorcode=_code(status.get("errorcode", 0)),
        message=_text(status.get("message")),
        answers=_match(found, sent),
    )


def _load(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise EmptyReply("the answer is empty")
    try:
        document = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        start = body[:60].decode("ascii", errors="replace")
        raise NotJson(f"the answer is not JSON: {_text(start)!r}") from None
    if not isinstance(document, dict):
        raise WrongShape("the answer is JSON, but not an object")
    return document


def _mapping(value: object) -> dict[str, Any]:
    """PHP writes an empty map as []; anything that is no object counts as empty."""
    return value if isinstance(value, dict) else {}


def _code(value: object) -> int:
    if isinstance(value, bool) or value is None:
        return UNREADABLE_CODE
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return UNREADABLE_CODE


def _text(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else " " for character in text[:MAX_TEXT])


def _match(results: Sequence[dict[str, Any]], sent: Sequence[Action]) -> tuple[Answer | Missing, ...]:
    echoed = [_identifier(result) for result in results]
    counts = Counter(echoed)
    silent = not any(echoed)  # a server that echoes nothing at all; then only the place is left
    places = {identifier: place for place, identifier in enumerate(echoed)}

    def answer(place: int, action: Action) -> Answer | Missing:
        wanted = action.identifier
        if silent:
            return _read(results[place], action) if len(results) == len(sent) else Missing("no identifier, no place")
        if counts[wanted] > 1:
            return Missing("several results with its identifier")
        if wanted in places:  # at its place, or swapped
            return _read(results[places[wanted]], action)
        return Missing("a result with a foreign identifier" if place < len(results) else "no result")

    return tuple(answer(place, action) for place, action in enumerate(sent)) if results else _none(sent)


def _none(sent: Sequence[Action]) -> tuple[Missing, ...]:
    return tuple(Missing("no result") for _ in sent)


def _identifier(result: Mapping[str, Any]) -> str:
    value = result.get("identifier")
    return "" if value is None or isinstance(value, dict | list) else str(value)[:1000]


def _read(result: Mapping[str, Any], action: Action) -> Answer | Missing:
    for name, wanted in (("actionid", action.actionid), ("resourcetype", action.resourcetype)):
        if result.get(name) not in (None, "", wanted):
            return Missing("the answer to another action")
    status = result.get("status")
    if not isinstance(status, dict) or "errorcode" not in status:
        return Missing("a result without a status")
    records = _mapping(result.get("data")).get("records")
    kept = tuple(record for record in records if isinstance(record, dict)) if isinstance(records, list) else ()
    return Answer(_code(status["errorcode"]), _text(status.get("message")), kept, _success(kept))


def _success(records: Sequence[Mapping[str, Any]]) -> str | None:
    value = _mapping(records[0].get("elements")).get("success") if records else None
    return None if value is None else _text(value) if isinstance(value, str) else repr(value)[:MAX_TEXT]


def related_ids(answer: Answer) -> dict[int, frozenset[int]]:
    """Of an idsfromrelation: queried id -> related ids; ids without links may be left out (API facts 6.1).

    Raises MalformedRelatedIds when the shape is not understood, so that absence is never guessed from garbage.
    """
    if len(answer.records) != 1 or "elements" not in answer.records[0]:
        raise MalformedRelatedIds(f"{len(answer.records)} records where one with elements is documented")
    elements = answer.records[0]["elements"]
    if elements == []:  # PHP's empty map
        return {}
    if not isinstance(elements, dict):
        raise MalformedRelatedIds("the elements are no map")
    return {_id(queried): frozenset(map(_id, _list(related))) for queried, related in elements.items()}


def _list(value: object) -> list[object]:
    if isinstance(value, dict):  # PHP turns a list with gaps into a map
        return list(value.values())
    if isinstance(value, list):
        return value
    raise MalformedRelatedIds("the related ids are no list")


def _id(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    raise MalformedRelatedIds("a related id is no number")
