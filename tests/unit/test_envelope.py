"""Reading messages: no bytes raise anything, every protocol says the same, and what is kept of them is bounded."""

import base64
import bz2
import json
import lzma
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.compression import compress

from worker.engine import envelope
from worker.engine.bodies import MOST_BYTES
from worker.engine.envelope import Envelope, Newer, Rejection, read
from worker.stores.deliveries import CUT
from worker.unlinking.chunk import Chunk
from worker.unlinking.fingerprint import of_chunk, of_job
from worker.unlinking.job import Job
from worker.unlinking.sent import MOST, as_sent

NAME = "unlinker.unlink"
TASKS = frozenset({NAME, "unlinker.unlink_many", "unlinker.undo"})
WISH = {"relationtype": "calendar:address", "parentid": 671, "childid": 153}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
typed = st.fixed_dictionaries(
    {
        "__type__": st.sampled_from(["uuid", "datetime", "date", "time", "decimal", "bytes", "base64", "x"]),
        "__value__": values,
    }
)


def message(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(envelope.write(NAME, "an id", WISH))
    made["headers"] |= changes
    return made


def packed(body: object) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


def outcome(found: Envelope | Rejection | Newer) -> str:
    return found.why if isinstance(found, Rejection) else type(found).__name__


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything(junk: bytes) -> None:
    assert isinstance(read(junk, TASKS), Rejection)


@given(values)
def test_no_json_raises_anything(content: object) -> None:
    assert isinstance(read(json.dumps(content).encode(), TASKS), Rejection)


@given(
    st.dictionaries(st.sampled_from(["headers", "properties", "body", "content-type"]), values, max_size=2),
    st.dictionaries(
        st.sampled_from(["task", "id", "eta", "expires", "timelimit", "compression", "unlinker_version", "group"]),
        values,
    ),
    values | typed | st.tuples(st.lists(values), values | typed, values).map(list),
    st.booleans(),
)
def test_no_spoilt_message_raises_anything(
    parts: dict[str, object], headers: dict[str, object], body: object, old: bool
) -> None:
    content = {"task": NAME, "id": "an id", "args": body, "kwargs": body} if old else body
    spoilt = message(**headers) | {"body": packed(content)} | parts
    if old and isinstance(spoilt["headers"], dict):
        spoilt["headers"].pop("task", None)
    found = read(json.dumps(spoilt).encode(), TASKS)
    assert isinstance(found, Envelope | Rejection | Newer)
    if isinstance(found, Rejection):
        json.dumps(found.why)


def protocol_1(**changes: Any) -> dict[str, Any]:
    body = {"task": NAME, "id": "an id", "args": [], "kwargs": WISH, "eta": None, "expires": None} | changes
    return message() | {"headers": {}, "body": packed(body)}


@pytest.mark.parametrize("made", [message, protocol_1])
@pytest.mark.parametrize("method", [None, "gzip", "zlib", "bzip2", "lzma"])
def test_every_form_is_read_alike_and_handed_on_plainly(made: Callable[[], dict[str, Any]], method: str | None) -> None:
    sent = made()
    if method is not None:
        body, sent["headers"]["compression"] = compress(base64.b64decode(sent["body"]), method)
        sent["body"] = base64.b64encode(body).decode()
    found = read(json.dumps(sent).encode(), TASKS)
    assert isinstance(found, Envelope), found
    assert (found.id, found.task, found.arguments, found.positional) == ("an id", NAME, WISH, [])
    assert found.plain
    again = read(json.dumps(envelope.for_delivery(found, "claim", "unlink")).encode(), TASKS)
    assert isinstance(again, Envelope)
    assert again.arguments == WISH
    assert not again.payload["headers"].get("compression")
    assert again.payload["headers"]["task"] == NAME


@pytest.mark.parametrize(
    ("pack", "name"),
    [(zlib.compress, "application/x-gzip"), (bz2.compress, "application/x-bz2"), (lzma.compress, "application/x-lzma")],
)
@pytest.mark.parametrize(("size", "fits"), [(MOST_BYTES, True), (MOST_BYTES + 1, False), (4 * MOST_BYTES, False)])
def test_a_compressed_body_is_opened_up_to_a_bound(pack: Any, name: str, size: int, fits: bool) -> None:
    body = json.dumps([[], WISH, {}]).encode().ljust(size)
    found = read(
        json.dumps(message(compression=name) | {"body": base64.b64encode(pack(body)).decode()}).encode(), TASKS
    )
    assert isinstance(found, Envelope) is fits
    assert fits or "larger than" in outcome(found)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (None, "payload version null"),
        (1, "Envelope"),
        (2, "Newer"),
        (1_000_000, "Newer"),
        (1_000_001, "payload version 1000001"),
        (0, "payload version 0"),
        (-1, "payload version -1"),
        (True, "payload version true"),
        (1.0, "payload version 1.0"),
        ("1", 'payload version "1"'),
        ([1], "payload version [1]"),
    ],
)
def test_a_payload_is_read_by_its_version(version: object, expected: str) -> None:
    assert outcome(read(json.dumps(message(unlinker_version=version)).encode(), TASKS)).startswith(expected)
    missing = message()
    del missing["headers"]["unlinker_version"]
    assert isinstance(read(json.dumps(missing).encode(), TASKS), Envelope)


def test_a_newer_payload_is_left_alone_though_its_body_cannot_be_read() -> None:
    newer = message(unlinker_version=7) | {"content-type": "application/x-later", "body": None}
    assert read(json.dumps(newer).encode(), TASKS) == Newer(7, "an id")


@pytest.mark.parametrize(
    ("utc", "eta", "seconds"),
    [
        (True, "2026-06-01T12:00:00", 1780315200.0),
        (None, "2026-06-01T12:00:00", 1780315200.0),
        (False, "2026-06-01T12:00:00+02:00", 1780308000.0),
        (True, 1780308000, 1780308000.0),
        (True, "", None),
        (True, None, None),
    ],
)
def test_times_of_protocol_1(utc: bool | None, eta: object, seconds: float | None) -> None:
    sent = protocol_1(eta=eta) if utc is None else protocol_1(eta=eta, utc=utc)
    found = read(json.dumps(sent).encode(), TASKS)
    assert isinstance(found, Envelope), found
    assert found.eta == seconds


@pytest.mark.parametrize(
    ("junk", "job_id"),
    [
        (b'{"properties": {"correlation_id": "a \\"b\\""', 'a "b"'),
        (CUT + b'2000000 bytes\nx\n...\n"headers": {"task": "t", "id": "42"}}', "42"),
        (b'"id": "\\ud800", "id": "7"', "7"),
        (b'"id": ""', ""),
        (b"\xff\xfe", ""),
    ],
)
def test_an_id_is_found_in_what_is_no_json(junk: bytes, job_id: str) -> None:
    found = read(junk, TASKS)
    assert isinstance(found, Rejection)
    assert (found.id, found.cut) == (job_id, junk.startswith(CUT))


@given(values | typed)
def test_what_was_sent_is_text_that_can_be_stored_and_bounded(value: object) -> None:
    text = as_sent({"parentid": value})
    assert len(text.encode()) <= 4 * MOST
    assert len(text) <= MOST


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"parentid": 10**30}, '{"parentid": 1000000000000000000000000000000}'),
        ({"parentid": 10**5000}, '"a dict that cannot be shown"'),
        ({"a": "\ud800"}, '"a dict that cannot be shown"'),
        (["x" * 31, "x" * 32], f'["{"x" * 31}", "***"]'),
        ({"id": "0b7c6a3e-0000-4000-8000-123456789abc"}, '{"id": "0b7c6a3e-0000-4000-8000-123456789abc"}'),
        ({"Secret": {"a": 1}, "HMAC_key": "x", "x" * 40: 1}, '{"Secret": "***", "HMAC_key": "***", "***": 1}'),
    ],
)
def test_what_was_sent_is_shown_without_secrets(value: object, text: str) -> None:
    assert as_sent(value) == text


def test_a_fingerprint_tells_jobs_apart_and_not_who_asks() -> None:
    same = [WISH, WISH | {"reason": "x", "requested_by": "y", "not_after": 4e9}, WISH | {"account": "default"}]
    urn = WISH | {"relationtype": "urn:onoffice-de-ns:smart:2.5:relationTypes:calendar:address"}
    assert len({of_job(Job.from_arguments("x", each)) for each in (*same, urn)}) == 1
    others = [WISH, WISH | {"parentid": 672}, WISH | {"childid": 1}, WISH | {"account": "north"}]
    job = Job.from_arguments("x", WISH)
    found = {of_job(Job.from_arguments("x", each)) for each in others} | {of_job(job, "sent")}
    row = list(WISH.values())
    for restore in (False, True):
        for rows in ([row], [row, row], [[*row[:2], 1]], [[1]], [["1"]]):
            found.add(of_chunk(Chunk.from_arguments("x", {"relations": rows}, restore=restore)))
    assert len(found) == len(others) + 1 + 10
