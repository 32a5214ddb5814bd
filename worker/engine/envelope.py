"""A message in the queue: reading what anybody may have put there, and writing our own (Celery's protocol 2).

Reading never raises: what is no message for us comes back as Junk with a sentence.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.stores import keys

VERSION = 1  # of the job's payload; the header is ours, strangers leave it out
VERSION_HEADER = "unlinker_version"
ORIGIN = "unlinker"
END_OF_TIME = 253_402_300_800  # Unix seconds: the year 10000
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A readable message."""

    payload: dict[str, Any]  # the whole message as kombu wants it
    id: str
    task: str
    arguments: dict[str, Any]  # the task's kwargs
    positional: list[Any]
    eta: float | None  # Unix seconds
    expires: float | None  # Unix seconds
    ignore_result: bool
    plain: bool  # nothing in it is for Celery to do: no callbacks, chain, chord, group, stamps or time limit


@dataclass(frozen=True, slots=True)
class Junk:
    """No message for us, and why."""

    why: str


def read(message: bytes, known_tasks: frozenset[str] | set[str]) -> Envelope | Junk:
    """Take a message from the queue apart."""
    try:
        payload = json.loads(message)
        _require_utf8(message, payload)
        headers, body = payload["headers"], payload["body"]
        task, job_id = headers["task"], headers["id"]
        payload["properties"]["delivery_info"]["routing_key"]
    except (ValueError, RecursionError):
        return Junk("not JSON, or not in UTF-8")
    except (KeyError, TypeError):
        return Junk("not a Celery message of protocol 2: body, headers.task, headers.id or properties are missing")
    if not isinstance(task, str) or not isinstance(job_id, str) or not job_id or len(job_id) > 200:
        return Junk("headers.task and headers.id must be text, and the id 1 to 200 characters")
    if task not in known_tasks:
        return Junk(f"unknown task {task[:100]!r}")
    if headers.get(VERSION_HEADER, VERSION) != VERSION:
        return Junk(f"payload version {headers[VERSION_HEADER]!r}; this worker reads version {VERSION}: update it")
    try:
        positional, arguments, embed = _body(payload, body)
        eta, expires = _moment(headers.get("eta")), _moment(headers.get("expires"))
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error) as error:
        return Junk(f"unreadable body or times: {str(error)[:200]}")
    return Envelope(
        payload,
        job_id,
        task,
        arguments,
        positional,
        eta,
        expires,
        ignore_result=bool(headers.get("ignore_result")),
        plain=_is_plain(headers, embed),
    )


def _is_plain(headers: Mapping[str, Any], embed: object) -> bool:
    wishes = [headers.get(name) for name in ("group", "group_index", "stamped_headers", "replaced_task_nesting")]
    limits = headers.get("timelimit") or ()
    return not any((*wishes, *limits, *(embed.values() if isinstance(embed, dict) else (embed,))))


def _body(payload: Mapping[str, Any], body: Any) -> tuple[list[Any], dict[str, Any], object]:
    if payload.get("content-type") != "application/json":
        raise ValueError(f"content type {payload.get('content-type')!r}, only application/json is read")
    if payload["properties"].get("body_encoding") == "base64":
        body = base64.b64decode(body, validate=True)
    content = json.loads(body)
    _require_utf8(body.encode() if isinstance(body, str) else body, content)
    positional, arguments, embed = content
    if not isinstance(positional, list) or not isinstance(arguments, dict):
        raise TypeError("the body must be [args, kwargs, embed]")
    return positional, arguments, embed


def _require_utf8(raw: bytes, content: object) -> None:
    """JSON can name half of a surrogate pair, which nobody can store. Raises UnicodeEncodeError, a ValueError."""
    if _HALF_PAIR.search(raw):
        json.dumps(content, ensure_ascii=False).encode()


def _moment(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 < value < END_OF_TIME:  # and not Infinity or NaN, which Python reads from JSON
            raise ValueError(f"time {value!r} is out of reach")
        return float(value)
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)  # Celery's default; protocol 2 sends UTC
    if not timedelta(0) < moment - datetime(1970, 1, 1, tzinfo=UTC):
        raise ValueError(f"time {value!r} is before 1970")
    return moment.timestamp()


def for_delivery(envelope: Envelope, claim: str) -> dict[str, Any]:
    """The message as Celery's consumer gets it: tagged with our claim; eta and expires are ours to keep from here."""
    payload = envelope.payload
    payload["headers"] |= {"eta": None, "expires": None}
    payload["properties"]["delivery_tag"] = claim
    return payload


def write(task: str, job_id: str, arguments: Mapping[str, object], queue: str = keys.QUEUES[0]) -> str:
    """A message as any Celery app would send it, with our version in the headers."""
    body = json.dumps([[], arguments, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
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
                VERSION_HEADER: VERSION,
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
