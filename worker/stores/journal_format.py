"""The entries of the journal, as they lie in its stream. Pure.

An entry is one of
    jobs   a batch of jobs about to be sent: compressed JSON, a list of [id, account, relationtype, parentid, childid,
           requested_by, reason]; `not` names those that were not let go, by their places; `runs` as JSON, by place:
           [run, row] of those that a run had asked for before their dead letters were replayed
    rows   rows of one chunk about to be sent: compressed JSON, [chunk id, account, requested_by, reason, run, first row
           of the chunk, 1 if they are to be restored, [[row, relationtype, parentid, childid], ...]]
    end    how jobs ended: `fields` as JSON (Outcome.as_evidence), `ids` as a JSON list
    spans  how rows of a `chunk` ended: "first row,how many,byte,evidence;..."
    kept   what was saved before links were deleted: JSON, job id -> confirmation status
Its id is the time, in ms on the server's clock.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.unlinking.chunk import Chunk, RowState, outcome_of
from worker.unlinking.job import Job, Relation

FASTEST = 1  # of zlib's levels; a batch shrinks to a quarter all the same
EVIDENCE = {"a": "answered", "r": "read_back"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Intended:
    """One relation about to be deleted, or restored."""

    id: str  # of the job; of a row: chunk id, colon, row within the chunk
    at: float  # Unix seconds
    account: str
    relation: Relation
    requested_by: str | None = None
    reason: str | None = None
    run: str | None = None
    row: int | None = None  # within the run
    chunk: str | None = None  # of a row: its chunk's id
    restore: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a job or row ended."""

    id: str
    at: float  # Unix seconds
    outcome: str
    evidence: str | None = None
    proven: bool = True
    by: str | None = None  # who removed the link, as attribution.By has it; None of one that was to be restored
    details: Mapping[str, object] = field(default_factory=dict)  # reason, code, message


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was saved of a link before it was deleted."""

    id: str
    at: float  # Unix seconds
    confirmation: str  # status of the appointment's participant, as the API reads it


Event = Intended | Ended | Kept


def pack_jobs(jobs: Iterable[Job]) -> bytes:
    """An entry's `jobs`."""
    return _pack(
        [
            [job.id, t.account, r.relationtype, r.parentid, r.childid, t.requested_by, t.reason]
            for job in jobs
            for r, t in ((job.relation, job.terms),)
        ]
    )


def pack_rows(chunk: Chunk, rows: Sequence[int]) -> bytes:
    """An entry's `rows`; `rows` within the chunk, readable ones only."""
    jobs = [(row, chunk.rows[row]) for row in rows]
    relations = [
        [row, job.relation.relationtype, job.relation.parentid, job.relation.childid]
        for row, job in jobs
        if isinstance(job, Job)
    ]
    terms = chunk.terms
    named = chunk.run if chunk.run != chunk.id else None
    return _pack(
        [
            chunk.id,
            terms.account,
            terms.requested_by,
            terms.reason,
            named,
            chunk.first_row,
            int(chunk.restore),
            relations,
        ]
    )


def _pack(content: object) -> bytes:
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), FASTEST)


def _unpack(packed: bytes) -> Any:
    return json.loads(zlib.decompress(packed))


def read(entry_id: bytes, fields: Mapping[bytes, bytes]) -> list[Event]:
    """The events of one entry; none for an entry of a later version."""
    at = int(entry_id.split(b"-")[0]) / 1000
    if b"jobs" in fields:
        return list(_jobs(at, fields))
    if b"rows" in fields:
        return list(_rows(at, fields[b"rows"]))
    if b"end" in fields:
        return list(_ends(at, fields))
    if b"spans" in fields:
        return list(_spans(at, fields))
    if b"kept" in fields:
        kept = json.loads(fields[b"kept"])
        return [Kept(id=job_id, at=at, confirmation=status) for job_id, status in kept.items()]
    return []


def _jobs(at: float, fields: Mapping[bytes, bytes]) -> Iterable[Event]:
    left_out = {int(place) for place in fields.get(b"not", b"").split()}
    runs = json.loads(fields.get(b"runs", b"{}"))
    for place, (job_id, account, kind, parentid, childid, who, why) in enumerate(_unpack(fields[b"jobs"])):
        if place in left_out:
            continue
        run, *row = runs.get(str(place), (None,))
        yield Intended(
            id=job_id,
            at=at,
            account=account,
            relation=Relation(kind, parentid, childid),
            requested_by=who,
            reason=why,
            run=run,
            row=row[0] if row else None,
        )


def _rows(at: float, packed: bytes) -> Iterable[Event]:
    chunk_id, account, who, why, run, first_row, restore, relations = _unpack(packed)
    for row, kind, parentid, childid in relations:
        yield Intended(
            id=f"{chunk_id}:{row}",
            at=at,
            account=account,
            relation=Relation(kind, parentid, childid),
            requested_by=who,
            reason=why,
            run=run,
            row=first_row + row,
            chunk=chunk_id,
            restore=bool(restore),
        )


def _ends(at: float, fields: Mapping[bytes, bytes]) -> Iterable[Event]:
    details = json.loads(fields[b"fields"])
    told = {name: details.pop(name) for name in ("evidence", "proven", "by") if name in details}
    for job_id in json.loads(fields[b"ids"]):
        yield Ended(id=job_id, at=at, outcome=fields[b"end"].decode(), details=details, **told)


def _spans(at: float, fields: Mapping[bytes, bytes]) -> Iterable[Event]:
    chunk_id = fields[b"chunk"].decode()
    for span in read_spans(fields[b"spans"]):
        told, evidence = outcome_of(RowState(span.byte)), EVIDENCE.get(span.evidence.decode())
        by = told.by and str(told.by)
        for row in range(span.first, span.first + span.count):
            row_id = f"{chunk_id}:{row}"
            yield Ended(id=row_id, at=at, outcome=told.outcome, evidence=evidence, proven=told.proven, by=by)


@dataclass(frozen=True, slots=True)
class EndedSpan:
    """Neighbouring rows of a chunk that ended alike."""

    first: int  # within the chunk
    count: int
    byte: bytes  # of a RowState
    evidence: bytes  # a key of EVIDENCE, or b""


def read_spans(spans: bytes) -> Iterable[EndedSpan]:
    """An entry's `spans`."""
    for span in spans.split(b";"):
        first, count, byte, evidence = span.split(b",")
        yield EndedSpan(int(first), int(count), byte, evidence)
