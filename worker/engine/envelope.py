"""A message in the queue: reading what anybody may have put there, and writing our own (Celery's protocol 2).

Celery's protocols 1 and 2 are read, plain or compressed, as kombu puts them into Redis. Reading never raises: what is
no job comes back as Rejection with a sentence, and what a newer worker must read as Newer.
"""

import base64
import difflib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from kombu.utils.json import dumps as kombu_dumps

from worker.engine.bodies import JSON_TYPE, open_body, parse
from worker.stores import keys
from worker.stores.deliveries import CUT, MAX_MESSAGE_BYTES

VERSION_HEADER = "unlinker_version"  # of the job's payload; the header is ours, strangers leave it out
WRITTEN_VERSION = 1
HIGHEST_VERSION = 1_000_000  # more is no version, whoever writes it
ORIGIN = "unlinker"
LONGEST_ID = 200  # characters
END_OF_TIME = 253_402_300_800  # Unix seconds: the year 10000
PROTOCOL_1 = ("id", "task", "eta", "expires", "retries", "timelimit", "group", "group_index")  # in the body
EMBEDDED = ("callbacks", "errbacks", "chord")  # in the body, too
_ID = re.compile(rb'"(?:correlation_id|id)"\s*:\s*("(?:[^"\\\x00-\x1f]|\\.){1,1200}")')


@dataclass(frozen=True, slots=True)
class Envelope:
    """A readable message."""

    payload: dict[str, Any]  # the whole message as kombu wants it: protocol 2, not compressed
    id: str
    task: str
    arguments: dict[str, Any]  # the task's kwargs
    positional: list[Any]
    eta: float | None  # Unix seconds
    expires: float | None  # Unix seconds
    ignore_result: bool
    plain: bool  # nothing in it is for Celery to do: no callbacks, chain, chord, group, stamps or time limit


@dataclass(frozen=True, slots=True)
class Rejection:
    """What is no job, and why."""

    why: str
    id: str = ""  # whose producer waits, as far as that can be told
    task: str = ""
    cut: bool = False  # it was too large to be kept whole


@dataclass(frozen=True, slots=True)
class Newer:
    """A job for a worker that reads newer payloads."""

    version: int
    id: str


Content = tuple[list[Any], dict[str, Any], object]  # args, kwargs, what is for Celery


class _NotAJobError(ValueError):
    """Says why."""


def read(message: bytes, known_tasks: Collection[str]) -> Envelope | Rejection | Newer:
    """Take a message from the queue apart."""
    try:
        payload = parse(message)
    except (ValueError, RecursionError):
        return _unparsable(message)
    if not isinstance(payload, dict):
        return Rejection("no Celery message: JSON, but no object")
    try:
        return _read(payload, known_tasks)
    except _NotAJobError as error:
        return Rejection(str(error), *_names(payload))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, AttributeError) as error:
        return Rejection(f"unreadable body or times: {str(error)[:300]}", *_names(payload))


def _read(payload: dict[str, Any], known_tasks: Collection[str]) -> Envelope | Newer:
    headers, properties = _mapping(payload.get("headers")), _mapping(payload.get("properties"))
    body: Any = None
    zone: tzinfo | None = UTC  # of times that name none; protocol 2 sends UTC
    of_protocol_1 = "task" not in headers
    if of_protocol_1:
        body = _mapping(parse(open_body(payload, headers, properties)))
        zone = UTC if body.get("utc", True) else None
        headers, body = _as_protocol_2(headers, body)
    task, job_id = headers["task"], headers.get("id")
    if not isinstance(task, str) or not isinstance(job_id, str) or not 0 < len(job_id) <= LONGEST_ID:
        raise _NotAJobError(f"the names of task and id must be text, and the id 1 to {LONGEST_ID} characters")
    if task not in known_tasks:
        raise _NotAJobError(f"unknown task {task[:100]!r}{_nearest(task, known_tasks)}")
    version = _version(headers)
    if version > newest_version():
        return Newer(version, job_id)
    if not of_protocol_1:
        body = parse(open_body(payload, headers, properties))
    positional, arguments, embed = READERS[version](body)
    if of_protocol_1 or headers.get("compression"):
        payload = _rewritten(headers, properties, body)
    payload["headers"], payload["properties"] = headers, properties
    return Envelope(
        payload,
        job_id,
        task,
        arguments,
        positional,
        _moment(headers.get("eta"), zone),
        _moment(headers.get("expires"), zone),
        ignore_result=bool(headers.get("ignore_result")),
        plain=_is_plain(headers, embed),
    )


def _mapping(value: object) -> dict[str, Any]:
    """An object; what has nothing in it may be left out, and PHP writes it as a list. Raises TypeError."""
    if isinstance(value, dict):
        return value
    if value in (None, []):
        return {}
    raise TypeError("headers, properties and kwargs must be objects")


def _as_protocol_2(headers: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """A message of protocol 1, which has in its body what protocol 2 has in the headers."""
    if "task" not in body:
        raise _NotAJobError("no Celery message: neither its headers (protocol 2) nor its body (protocol 1) name a task")
    named = {name: body.get(name) for name in PROTOCOL_1}
    root = {"lang": "py", "root_id": named["id"], "parent_id": None, "argsrepr": "()", "kwargsrepr": "{}"}
    group = {"group": body.get("taskset") or named["group"]}
    embed = {name: body.get(name) for name in EMBEDDED} | {"chain": None}
    return {**headers, **root, **named, **group}, [body.get("args") or [], body.get("kwargs"), embed]


def _rewritten(headers: dict[str, Any], properties: dict[str, Any], body: object) -> dict[str, Any]:
    """The message as protocol 2 has it, not compressed: what Celery's consumer gets. Changes headers and properties."""
    headers.pop("compression", None)
    properties["body_encoding"] = "base64"
    packed = base64.b64encode(kombu_dumps(body).encode()).decode()
    return {"body": packed, "content-type": JSON_TYPE, "content-encoding": "utf-8"}


def _version_1(body: Any) -> Content:
    positional, arguments, embed = body
    if not isinstance(positional, list):
        raise TypeError("the body must be [args, kwargs, embed]")
    return positional, _mapping(arguments), embed


READERS: dict[int, Callable[[Any], Content]] = {1: _version_1}  # by version of the payload


def newest_version() -> int:
    """The newest payload that is read here."""
    return max(READERS)


def _version(headers: Mapping[str, Any]) -> int:
    found = headers.get(VERSION_HEADER, 1)
    if type(found) is not int or not 1 <= found <= HIGHEST_VERSION:
        raise _NotAJobError(f"payload version {json.dumps(found)[:50]} is none: it must be 1 or a higher whole number")
    return found


def _nearest(task: str, known_tasks: Collection[str]) -> str:
    near = difflib.get_close_matches(task, known_tasks, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known_tasks))}"


def _names(payload: Mapping[str, Any]) -> tuple[str, str]:
    """Id and task of what may be no job, as far as they can be told; "" if not."""
    headers, properties = (payload.get(name) for name in ("headers", "properties"))
    headers = headers if isinstance(headers, dict) else {}
    properties = properties if isinstance(properties, dict) else {}
    job_id, task = headers.get("id") or properties.get("correlation_id"), headers.get("task")
    told_id = job_id if isinstance(job_id, str) and len(job_id) <= LONGEST_ID else ""
    return told_id, task[:LONGEST_ID] if isinstance(task, str) else ""


def _unparsable(message: bytes) -> Rejection:
    """What is no JSON, or only the two ends of what was too large; its id may still be legible."""
    cut = message.startswith(CUT)
    why = f"larger than {MAX_MESSAGE_BYTES} bytes" if cut else "not JSON, or not in UTF-8"
    return Rejection(why, _legible_id(message), cut=cut)


def _legible_id(message: bytes) -> str:
    for found in _ID.finditer(message):
        try:
            job_id = json.loads(found[1])
            job_id.encode()
        except ValueError:
            continue
        if len(job_id) <= LONGEST_ID:
            return str(job_id)
    return ""


def _is_plain(headers: Mapping[str, Any], embed: object) -> bool:
    wishes = [headers.get(name) for name in ("group", "group_index", "stamped_headers", "replaced_task_nesting")]
    limits = headers.get("timelimit") or ()
    return not any((*wishes, *limits, *(embed.values() if isinstance(embed, dict) else (embed,))))


def _moment(value: object, zone: tzinfo | None) -> float | None:
    """Unix seconds. `zone`: of a time that names none; None for this machine's, as Celery has it without UTC."""
    if value in (None, ""):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 < value < END_OF_TIME:  # and not Infinity or NaN, which Python reads from JSON
            raise ValueError(f"time {value!r} is out of reach")
        return float(value)
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone) if zone is not None else moment.astimezone()
    if not timedelta(0) < moment - datetime(1970, 1, 1, tzinfo=UTC):
        raise ValueError(f"time {value!r} is before 1970")
    return moment.timestamp()


def for_delivery(envelope: Envelope, claim: str, queue: str) -> dict[str, Any]:
    """The message as Celery's consumer gets it: tagged with our claim; eta and expires are ours to keep from here."""
    payload = envelope.payload
    payload["headers"] |= {"eta": None, "expires": None}
    payload["properties"]["delivery_tag"] = claim
    payload["properties"].setdefault("delivery_info", {"exchange": "", "routing_key": queue})
    return payload


def write(task: str, job_id: str, arguments: Mapping[str, object], queue: str = keys.QUEUES[0]) -> str:
    """A message as any Celery app would send it, with our version in the headers."""
    body = json.dumps([[], arguments, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": JSON_TYPE,
            "headers": {
                "lang": "py",
                "task": task,
                "id": job_id,
                "root_id": job_id,
                "parent_id": None,
                "group": None,
                "eta": None,
                "expires": None,
                "retries": 0,
                "timelimit": [None, None],
                "argsrepr": "()",
                "kwargsrepr": "{}",
                "origin": ORIGIN,
                "ignore_result": False,
                VERSION_HEADER: WRITTEN_VERSION,
            },
            "properties": {
                "correlation_id": job_id,
                "reply_to": "",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": job_id,
            },
        }
    )
