"""Bulk runs: what is planned, how far it is, and what stops it. See worker.unlinking.runs and lua/run_look.lua."""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from worker.stores import keys
from worker.stores.records import Retention
from worker.stores.scripts import Call, Word, run_now
from worker.unlinking.job import Relation
from worker.unlinking.runs import MOVES, Layout, RunState, Steering, chunk_id

CHUNKS_AT_ONCE = 50  # stored or read in one round trip
LOADING_KEPT = 86400  # seconds a half loaded run is kept
OUTCOMES = ("unlinked", "already_absent", "restored", "already_present", "cancelled", "dead", "expired")
Row = list[Any]  # [relationtype, parentid, childid], and what else the task takes


class RowsMissing(Exception):
    """Some rows of a run are not stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """What a run is started with."""

    id: str
    account: str
    action: str  # unlink or restore
    layout: Layout
    max_failure_rate: float  # 0 to 1; above it the run stops
    by: str
    because: str
    source: str = ""
    plan: str = ""  # path of the plan's file
    plan_sha256: str = ""  # as its head has it


@dataclass(frozen=True, slots=True)
class Lease:
    """What one process holds for a while, as it stands in Redis."""

    key: str
    token: str


@dataclass(frozen=True, slots=True)
class Pace:
    """How far a run was at a moment."""

    at: float  # Unix seconds
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it stands."""

    id: str
    fields: Mapping[str, str]

    @property
    def state(self) -> RunState:
        """Where it is."""
        return RunState(self.fields["state"])

    @property
    def is_over(self) -> bool:
        """Whether nothing of it will happen any more."""
        return "ended_at" in self.fields

    @property
    def layout(self) -> Layout:
        """How its rows are cut."""
        return Layout(int(self.fields["rows"]), int(self.fields["canary"]), int(self.fields["size"]))

    @property
    def counts(self) -> dict[str, int]:
        """Rows by outcome; those that have none are in no count."""
        return {name: int(self.fields.get(f"n:{name}", 0)) for name in OUTCOMES}

    @property
    def done(self) -> int:
        """Rows that have their outcome."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """Rows that are dead letters."""
        return self.counts["dead"] + self.counts["expired"]

    def document(self) -> dict[str, object]:
        """As users see it; always the same keys. Times are Unix seconds."""
        fields = self.fields
        moments = {name: _seconds(fields.get(name)) for name in ("started_at", "ended_at", "steered_at")}
        return {
            "run": self.id,
            "state": str(self.state),
            "over": self.is_over,
            "why": fields.get("why") or None,
            "account": fields["account"],
            "action": fields["action"],
            "rows": self.layout.rows,
            "done": self.done,
            "failed": self.failed,
            "left": self.layout.rows - self.done,
            **self.counts,
            "max_failure_rate": float(fields["max_failure_rate"]),
            "by": fields["by"],
            "because": fields["because"],
            "source": fields.get("source") or None,
            "plan": fields.get("plan") or None,
            **moments,
            "steered_by": fields.get("steered_by"),
        }


class Runs:
    """An operator's view. Raises redis.exceptions.RedisError."""

    def __init__(self, client: "redis.Redis", retention: Retention | None = None) -> None:
        self._client = client
        self._retention = retention or Retention()

    def load(self, terms: RunTerms, rows: Iterable[Row]) -> Iterator[int]:
        """Store what is to be done, nothing is sent; yields how many rows are stored. May be repeated."""
        layout = terms.layout
        words = [LOADING_KEPT, *_words(terms)]
        if not run_now(self._client, Call("run_begin", [keys.run(terms.id)], words)):
            return
        packed: dict[str, bytes] = {}
        stored = 0
        for number, chunk in enumerate(_cut(rows, layout)):
            packed[str(number)] = pack(chunk)
            stored += len(chunk)
            if len(packed) == CHUNKS_AT_ONCE:
                self._store(terms, packed)
                packed = {}
                yield stored
        self._store(terms, packed)
        yield stored

    def _store(self, terms: RunTerms, packed: Mapping[str, bytes]) -> None:
        if packed:
            words: list[Word] = [LOADING_KEPT, *(word for chunk in packed.items() for word in chunk)]
            run_now(self._client, Call("run_store", [keys.run(terms.id), _rows_key(terms)], words))

    def open(self, terms: RunTerms, lease: Lease | None = None) -> str:
        """Let the workers begin: started, exists, missing (rows are not all stored), lost, or who has the account.

        `lease`: what the caller must hold at that moment; lost is the answer if it does not.
        """
        names = [
            keys.run(terms.id),
            keys.RUNS,
            keys.RUNS_OPEN,
            keys.run_slot(terms.account),
            _rows_key(terms),
        ]
        if lease is not None:
            names.append(lease.key)
        arguments: list[Word] = [terms.id, terms.layout.chunks, lease.token if lease else "", *_words(terms)]
        return str(run_now(self._client, Call("run_open", names, arguments)).decode())

    def steer(
        self, run_id: str, how: Steering, by: str, why: str, max_failure_rate: float | None = None
    ) -> tuple[bool, str]:
        """Whether it moved, and its state now ("" for a run that nobody knows)."""
        sources, target = MOVES[how]
        bound = "" if max_failure_rate is None else str(max_failure_rate)
        arguments: list[Word] = [str(target), why, by, bound, *sorted(sources)]
        moved, state = run_now(self._client, Call("run_steer", [keys.run(run_id)], arguments))
        return bool(moved), state.decode()

    def forget(self, run_id: str) -> bool:
        """Whether something was left of a run whose record is gone; now nothing is, and it holds no account."""
        pipeline = self._client.pipeline()
        pipeline.zrem(keys.RUNS, run_id)
        pipeline.srem(keys.RUNS_OPEN, run_id)
        pipeline.srem(keys.PARKING_RUNS, run_id)
        pipeline.delete(keys.parked_run(run_id))
        return any(pipeline.execute())

    def get(self, run_id: str) -> Run | None:
        """A run, or None."""
        stored: Any = self._client.hgetall(keys.run(run_id))
        fields = {name.decode(): value.decode(errors="replace") for name, value in stored.items()}
        return Run(run_id, fields) if "state" in fields else None

    def newest(self, count: int) -> list[Run]:
        """The runs started last."""
        ids: Any = self._client.zrevrange(keys.RUNS, 0, count - 1)
        found = [self.get(run_id.decode()) for run_id in ids]
        return [each for each in found if each is not None]

    def holder(self, account: str) -> str | None:
        """The run that has this account."""
        value: Any = self._client.get(keys.run_slot(account))
        if value is None or not self._client.sismember(keys.RUNS_OPEN, value.decode()):
            return None
        if not self._client.exists(keys.run(value.decode())):
            return None
        return str(value.decode())

    def pace(self, run_id: str) -> list[Pace]:
        """How it went, oldest first."""
        stored: Any = self._client.lrange(keys.run_pace(run_id), 0, -1)
        return [Pace(at / 1000, done, failed) for at, done, failed in map(json.loads, stored)]

    def states(self, each: Run) -> Iterator[bytes]:
        """One byte per row (worker.unlinking.chunk.RowState), a chunk at a time."""
        layout = each.layout
        for start in range(0, layout.chunks, CHUNKS_AT_ONCE):
            numbers = range(start, min(start + CHUNKS_AT_ONCE, layout.chunks))
            stored: Any = self._client.mget([keys.rows(chunk_id(each.id, number)) for number in numbers])
            for number, states in zip(numbers, stored, strict=True):
                length = layout.span(number)[1]
                yield (states or b"").ljust(length, b"\0")[:length]

    def chunk(self, run_id: str, number: int) -> list[Row] | None:
        """The rows of one chunk; None when they are not there."""
        name: Any = self._client.hget(keys.run(run_id), "rows_key")
        stored: Any = self._client.hget(name, str(number)) if name else None
        return None if stored is None else unpack(stored)

    def rows(self, each: Run) -> Iterator[Row]:
        """What the run was given to do, in its order. Raises RowsMissing."""
        for start in range(0, each.layout.chunks, CHUNKS_AT_ONCE):
            numbers = [str(number) for number in range(start, min(start + CHUNKS_AT_ONCE, each.layout.chunks))]
            stored: Any = self._client.hmget(each.fields["rows_key"], numbers)
            for packed in stored:
                if packed is None:
                    raise RowsMissing(f"the rows of run {each.id} are not all stored, not yet or no longer")
                yield from unpack(packed)


def row_of(relation: Relation, *, seen: bool = False) -> Row:
    """A row as the tasks take it. `seen`: whoever planned its deletion saw it there."""
    row = [relation.relationtype, relation.parentid, relation.childid]
    return [*row, True] if seen else row


def pack(rows: Sequence[Row]) -> bytes:
    """The rows of a chunk, compressed: a million rows take some ten megabytes."""
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 6)


def unpack(packed: bytes) -> list[Row]:
    """Read what `pack` wrote."""
    found: list[Row] = json.loads(zlib.decompress(packed))
    return found


def _cut(rows: Iterable[Row], layout: Layout) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    length = layout.first
    for row in rows:
        chunk.append(row)
        if len(chunk) == length:
            yield chunk
            chunk, length = [], layout.size
    if chunk:
        yield chunk


def _rows_key(terms: RunTerms) -> str:
    return keys.run_rows(terms.id, terms.layout.first, terms.layout.size)


def _words(terms: RunTerms) -> list[Word]:
    """The fields of a new run, as scripts take them."""
    return [word for field in _fields(terms).items() for word in field]


def _fields(terms: RunTerms) -> dict[str, str | int | float]:
    layout = terms.layout
    return {
        "rows_key": _rows_key(terms),
        "account": terms.account,
        "action": terms.action,
        "rows": layout.rows,
        "chunks": layout.chunks,
        "first": layout.first,
        "size": layout.size,
        "canary": layout.canary,
        "max_failure_rate": terms.max_failure_rate,
        "by": terms.by,
        "because": terms.because,
        "source": terms.source,
        "plan": terms.plan,
        "plan_sha256": terms.plan_sha256,
    }


def _seconds(text: str | None) -> float | None:
    return None if text is None else int(float(text)) / 1000
