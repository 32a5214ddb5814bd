"""Reading an answer. Pure, and suspicious: what is not clearly the answer to an action is Missing, never success.

Rule 1: answers are matched by place and identifier. Either alone can lie (API facts 1.5, 7.2). A server that echoes no
        identifier is believed by place only if there are as many results as actions.
Rule 2: the top level speaks only for actions that have no result (API facts 2.3).
Rule 3: whatever the bytes, the caller gets one Answer or Missing per action, or an UnreadableReply.
Rule 4: texts are redacted as they are read, so that nothing that keeps them ever holds our credentials.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.onoffice.errors import EmptyReply, MalformedRelatedIds, NotJson, WrongShape
from worker.onoffice.protocol import Action
from worker.onoffice.redacting import PIECE, Redact, unchanged

UNREADABLE_CODE = -1  # an errorcode that is text, as very old fixtures have it
MAX_TEXT = 300  # characters of a vendor's message that are kept
MAX_CODE_DIGITS = 10  # the vendor's codes have three
ECHOED = frozenset({"actionid", "identifier", "resourceid", "resourcetype"})  # only compared with what was sent
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Answer:
    """What one action was answered."""

    errorcode: int  # 0 = OK
    message: str  # the vendor's text
    records: tuple[Mapping[str, object], ...]
    success: str | None  # records[0].elements.success, if there is one; "<type>" for what is no text
    total: int | None = None  # meta.cntabsolute: how many records there are on all pages, where the API says so


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


def parse_reply(body: bytes, sent: Sequence[Action], redact: Redact = unchanged) -> Reply:
    """Read an answer. `redact`: for every text in it. Raises EmptyReply, NotJson or WrongShape, and nothing else."""
    document = _load(body, redact)
    status = _mapping(document.get("status"))
    results = _mapping(document.get("response")).get("results")
    return Reply(
        code=_code(status.get("code") or 0),
        errorcode=_code(status.get("errorcode") or 0),
        message=_text(status.get("message")),
        answers=_match(results if isinstance(results, list) else [], sent),
    )


def _object(pairs: list[tuple[str, Any]], redact: Redact) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):  # which of the two would be meant?
        raise ValueError("a key repeats")
    for name, value in pairs:  # objects in it have been read before; shorter texts hold no piece of a secret
        if isinstance(value, str):
            if len(value) >= PIECE and name not in ECHOED:
                document[name] = redact(value)
        elif isinstance(value, list):
            document[name] = [redact(each) if isinstance(each, str) else each for each in value]
    return document


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _load(body: bytes, redact: Redact) -> dict[str, Any]:
    decoder = json.JSONDecoder(object_pairs_hook=lambda pairs: _object(pairs, redact), parse_constant=_refuse_constant)
    try:
        text = body.decode("utf-8-sig").strip()
        document = decoder.decode(text) if text else None
    except (ValueError, RecursionError):
        # never the body itself: a proxy's error page may repeat our request, token and all
        kind = "an HTML page" if body.lstrip()[:1] == b"<" else "truncated, or not onOffice's"
        raise NotJson(f"the answer is not JSON but {kind} ({len(body)} bytes)") from None
    if not text:
        raise EmptyReply("the answer is empty")
    if not isinstance(document, dict):
        raise WrongShape("the answer is JSON, but not an object")
    return document


def _mapping(value: object) -> dict[str, Any]:
    """PHP writes an empty map as []; anything that is no object counts as empty."""
    return value if isinstance(value, dict) else {}


def _code(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < MAX_CODE_DIGITS:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**MAX_CODE_DIGITS:
        return value
    return UNREADABLE_CODE


def _text(value: object) -> str:
    return printable(value[:MAX_TEXT]) if isinstance(value, str) else ""


def printable(text: str) -> str:
    """Without what a terminal obeys: control characters, changes of direction, line separators."""
    return "".join(character if character.isprintable() else " " for character in text)


def _match(results: Sequence[object], sent: Sequence[Action]) -> tuple[Answer | Missing, ...]:
    """One Answer or Missing per sent action; no result serves two of them."""
    echoed = [_identifier(result) for result in results]
    silent = not any(echoed)  # a server that echoes nothing at all; then only the place is left
    times_sent = Counter(action.identifier for action in sent)
    times_echoed = Counter(echoed)
    places = {identifier: place for place, identifier in enumerate(echoed)}

    def by_place(place: int, action: Action) -> Answer | Missing:
        if len(results) != len(sent):  # one was left out, and nobody knows which
            return Missing("no result" if place >= len(results) else "no identifier")
        return Missing("foreign identifier") if echoed[place] else _read(results[place], action)

    def by_identifier(place: int, action: Action) -> Answer | Missing:
        wanted = action.identifier
        if times_sent[wanted] > 1 or times_echoed[wanted] > 1:
            return Missing("repeated identifier")
        if wanted in places:  # at its place, or swapped
            return _read(results[places[wanted]], action)
        if place >= len(results):
            return Missing("no result")
        return Missing("foreign identifier" if echoed[place] else "no identifier")

    return tuple(
        (by_place if silent or not action.identifier else by_identifier)(place, action)
        for place, action in enumerate(sent)
    )


def _identifier(result: object) -> str:
    value = _mapping(result).get("identifier")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _read(result: object, action: Action) -> Answer | Missing:
    if not isinstance(result, dict):
        return Missing("malformed result")
    for name, wanted in (("actionid", action.actionid), ("resourcetype", action.resourcetype)):
        if result.get(name) not in (None, "", wanted):
            return Missing("answer to another action")
    status = _mapping(result.get("status"))
    if status.get("errorcode") is None:
        return Missing("malformed result")
    errorcode = _code(status["errorcode"])
    records = _records(result.get("data"))
    if records is None and errorcode == 0:  # what is not understood may be what denies the success
        return Missing("malformed result")
    kept = records or ()
    return Answer(errorcode, _text(status.get("message")), kept, _success(kept), _total(result.get("data")))


def _total(data: object) -> int | None:
    total = _mapping(_mapping(data).get("meta")).get("cntabsolute")
    count = UNREADABLE_CODE if total is None else _code(total)
    return None if count < 0 else count


def _records(data: object) -> tuple[Mapping[str, Any], ...] | None:
    """The records; () for all that PHP may write for nothing (API facts 7.1), None for what is not understood."""
    if data is None or data == []:
        return ()
    if not isinstance(data, dict):
        return None
    records = data.get("records")
    if isinstance(records, dict):  # PHP turns a list with gaps into a map; or it is the one record
        records = [records] if "elements" in records else list(records.values())
    if records is None:
        return ()
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        return None
    return tuple(records)


def _success(records: Sequence[Mapping[str, Any]]) -> str | None:
    """The success element as text; None only if it is not there. What is no text never reads "success"."""
    elements = records[0].get("elements") if records else None
    if elements is None or elements == []:
        return None
    value = elements.get("success", _ABSENT) if isinstance(elements, dict) else elements
    if value is _ABSENT:
        return None
    return _text(value) if isinstance(value, str) and isinstance(elements, dict) else f"<{type(value).__name__}>"


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
    found = {_id(queried): frozenset(map(_id, _list(related))) for queried, related in elements.items()}
    if len(found) != len(elements):  # "15" and "015"
        raise MalformedRelatedIds("an id was answered twice")
    return found


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
