"""Dead letters: jobs that ended dead or expired, kept until somebody replays or discards them.

For processes without a loop. The letter is the job's record; how it is found again is told in lua/dead_index.lua.
Raises redis.exceptions.RedisError when the server cannot be reached.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from worker.stores import keys
from worker.stores.records import Retention
from worker.stores.scripts import Call, Word, run_now
from worker.unlinking.attempts import as_documents
from worker.unlinking.errors import REASONS, Replay
from worker.unlinking.job import Job, JobTerms, Relation

PAGE = 50
AT_ONCE = 500  # letters read or moved in one round trip; about 10 ms of Redis
DIMENSIONS = ("reason", "code", "relationtype", "account", "run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters; what is None does not matter."""

    reason: str | None = None  # name of an exception of worker.unlinking.errors
    code: int | None = None
    relationtype: str | None = None  # short form
    account: str | None = None
    run: str | None = None
    parentid: int | None = None
    childid: int | None = None
    since: float | None = None  # Unix seconds: ended then or later
    before: float | None = None  # Unix seconds: ended earlier

    def document(self) -> dict[str, object]:
        """What is set."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}

    @property
    def values(self) -> list[str]:
        """As the index names them."""
        return [f"{name}={value}" for name in DIMENSIONS if (value := getattr(self, name)) is not None]

    @property
    def ids(self) -> list[str]:
        """Sides and ids of records, as the index names them; always two."""
        sides = (("p", self.parentid), ("c", self.childid))
        named = [f"{side}{number}" for side, number in sides if number is not None]
        return [*named, "", ""][:2]


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter: the job's record."""

    id: str
    record: dict[str, str]

    @property
    def evidence(self) -> dict[str, Any]:
        """Reason, code, message and how it is known."""
        found: dict[str, Any] = json.loads(self.record.get("evidence", "{}"))
        return found

    @property
    def reason(self) -> str:
        """Name of an exception of worker.unlinking.errors."""
        return str(self.evidence.get("reason", ""))

    @property
    def replay(self) -> Replay:
        """What sending it again may bring."""
        error = REASONS.get(self.reason)
        return Replay.MENDED if error is None else error.replay

    @property
    def replays(self) -> int:
        """How often this wish was replayed before."""
        return int(self.record.get("replays", 0))

    @property
    def redrives(self) -> int:
        """How often by itself, since somebody last asked for it."""
        return int(self.record.get("redrives", 0))

    def job(self, job_id: str, now: float) -> Job | None:
        """The same wish as a new job; None for a letter that names no relation. `now`: Unix seconds.

        A deadline that has passed is left out: who replays it has decided that it is still meant.
        """
        record = self.record
        if not {"relationtype", "parentid", "childid"} <= set(record):
            return None
        not_after = float(record["not_after"]) / 1000 if "not_after" in record else None
        terms = JobTerms(
            account=record["account"],
            requested_by=record.get("requested_by"),
            reason=record.get("reason"),
            not_after=not_after if not_after is not None and not_after > now else None,
        )
        relation = Relation(record["relationtype"], int(record["parentid"]), int(record["childid"]))
        return Job(id=job_id, relation=relation, terms=terms)

    def document(self) -> dict[str, object]:
        """The letter as users see it; always the same keys."""
        record, evidence = self.record, self.evidence
        return {
            "id": self.id,
            "ended_at": _seconds(record.get("ended_at")),
            "outcome": record.get("outcome"),
            "reason": evidence.get("reason"),
            "code": evidence.get("code"),
            "message": evidence.get("message", ""),
            "evidence": evidence.get("evidence"),
            "account": record.get("account"),
            "relationtype": record.get("relationtype"),
            "parentid": _number(record.get("parentid")),
            "childid": _number(record.get("childid")),
            "run": record.get("run"),
            "row": _number(record.get("row")),
            "requested_by": record.get("requested_by"),
            "wish_reason": record.get("reason"),
            "first_seen": _seconds(record.get("first_seen")),
            "deaths": _number(record.get("deaths")) or 0,
            "replay_of": record.get("replay_of"),
            "replays": self.replays,
            "attempts": as_documents(record.get("history", "")),
        }


@dataclass(frozen=True, slots=True)
class Page:
    """Some letters, newest first."""

    letters: tuple[Letter, ...]
    cursor: str  # give it to get the next page; "" at the end


class DeadLetters:
    """Looks at dead letters and takes them out."""

    def __init__(self, client: "redis.Redis", retention: Retention | None = None) -> None:
        self._client = client
        self._retention = retention or Retention()

    def page(self, wanted: Filter, cursor: str = "", size: int = PAGE) -> Page:
        """The letters that fit, newest first. A page may be short; only an empty cursor is the end."""
        bounds = self._bounds(wanted)
        if bounds is None:
            return Page((), "")
        low, high = bounds
        if cursor:
            high = min(high, int(cursor) - 1)
        if high < low:
            return Page((), "")
        found = self._run("dead_page", size, low, high, *wanted.ids, *wanted.values)
        following, *ids = (word.decode() for word in found if word is not None)
        return Page(tuple(self.read(ids)), following)

    def walk(self, wanted: Filter, at_once: int = AT_ONCE) -> Iterator[Sequence[Letter]]:
        """All that fit when the walk begins, newest first; letters of later ends are not met."""
        cursor = ""
        while True:
            page = self.page(wanted, cursor, at_once)
            yield page.letters
            if not page.cursor:
                return
            cursor = page.cursor

    def count(self, wanted: Filter) -> int:
        """How many fit."""
        if wanted.parentid is not None or wanted.childid is not None:
            return sum(len(letters) for letters in self.walk(wanted))  # of one record there are few
        bounds = self._bounds(wanted)
        return 0 if bounds is None else int(self._run("dead_count", *bounds, *wanted.values))

    def totals(self) -> dict[str, dict[str, int]]:
        """How many there are by each dimension and value; "all" holds their number."""
        stored: Any = self._client.hgetall(keys.DEAD_TOTALS)
        totals: dict[str, dict[str, int]] = {}
        for name, count in stored.items():
            dimension, _, value = name.decode().partition("=")
            totals.setdefault(dimension, {})[value] = int(count)
        return totals

    def letter(self, job_id: str) -> Letter | None:
        """One dead letter, or None."""
        if self._client.zscore(keys.DEAD, job_id) is None:
            return None
        return next(iter(self.read([job_id])))

    def read(self, ids: Sequence[str]) -> list[Letter]:
        """These letters, in their order."""
        pipeline = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hgetall(keys.job(job_id))
        stored: list[Any] = pipeline.execute() if ids else []
        return [
            Letter(job_id, {name.decode(): value.decode(errors="replace") for name, value in record.items()})
            for job_id, record in zip(ids, stored, strict=True)
        ]

    def discard(self, ids: Sequence[str], *, forget: bool = False) -> list[str]:
        """Take these letters out; those that this call took out. `forget`: their records go at once."""
        if not ids:
            return []
        kept = 0 if forget else self._retention.records
        taken = self._run("discard", keys.JOB_PREFIX, kept, *ids)
        return [job_id for job_id, done in zip(ids, taken, strict=True) if done]

    def _bounds(self, wanted: Filter) -> tuple[int, int] | None:
        since, before = ("" if moment is None else int(moment * 1000) for moment in (wanted.since, wanted.before))
        low, high = self._run("dead_bounds", keys.JOB_PREFIX, since, before)
        return (int(low), int(high)) if low and high else None

    def _run(self, script: str, *arguments: Word) -> Any:
        return run_now(self._client, Call(script, [], arguments))


def _seconds(text: str | None) -> float | None:
    return None if text is None else int(float(text)) / 1000


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
