"""A dead letter as its record tells it, and which letters somebody means. Values only."""

import json
from dataclasses import dataclass
from typing import Any

from worker.unlinking.attempts import as_documents
from worker.unlinking.attribution import By
from worker.unlinking.errors import REASONS, Replay
from worker.unlinking.job import JobTerms, Relation

LONGEST_WAIT = 7 * 86400  # seconds a job lives from the first time it was seen; as admit.lua has it
DIMENSIONS = ("reason", "code", "relationtype", "account", "run", "redrives")


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
    redrives: int | None = None  # how often it was tried again by itself
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
    def ended_at(self) -> float:
        """Unix seconds."""
        return _seconds(self.record.get("ended_at")) or 0.0

    @property
    def reason(self) -> str:
        """Name of an exception of worker.unlinking.errors."""
        return str(self.evidence.get("reason", ""))

    @property
    def by(self) -> By | None:
        """Who removed the link, if it is gone; None of a job that was to restore it."""
        by = self.evidence.get("by")
        return None if by is None else By(by)

    @property
    def replay(self) -> Replay:
        """What sending it again may bring."""
        error = REASONS.get(self.reason)
        return Replay.MENDED if error is None else error.replay

    @property
    def run(self) -> str | None:
        """The bulk run that asked for it; a chunk without one names itself, which is no run."""
        run = self.record.get("run")
        return None if run is None or self.id.startswith(f"{run}:") or self.id == run else run

    @property
    def names_relation(self) -> bool:
        """False for what could not be read as a relation at all."""
        return {"relationtype", "parentid", "childid"} <= set(self.record)

    @property
    def replays(self) -> int:
        """How often this wish was replayed before."""
        return int(self.record.get("replays", 0))

    @property
    def redrives(self) -> int:
        """How often by itself, since somebody last asked for it."""
        return int(self.record.get("redrives", 0))

    @property
    def not_after(self) -> float | None:
        """The deadline its producer gave, Unix seconds."""
        return _seconds(self.record.get("not_after"))

    @property
    def deadline(self) -> float:
        """The one the job had, Unix seconds: the producer's, or seven days after it was first seen."""
        known = _seconds(self.record.get("deadline"))
        if known is not None:
            return known
        latest = (_seconds(self.record.get("first_seen")) or 0.0) + LONGEST_WAIT
        return latest if self.not_after is None else min(latest, self.not_after)

    @property
    def restore(self) -> bool:
        """Whether the link was to be there again, rather than gone."""
        return "restore" in self.record

    @property
    def confirmation(self) -> str | None:
        """The status a link was to be restored with."""
        return self.record.get("confirmation")

    @property
    def relation(self) -> Relation:
        """What was to be unlinked, or restored. Raises KeyError when `names_relation` is false."""
        record = self.record
        return Relation(record["relationtype"], int(record["parentid"]), int(record["childid"]))

    def terms(self, not_after: float | None) -> JobTerms:
        """Of the same wish as a new job with another deadline."""
        record = self.record
        return JobTerms(
            account=record["account"],
            requested_by=record.get("requested_by"),
            reason=record.get("reason"),
            not_after=not_after,
        )

    def document(self) -> dict[str, object]:
        """The letter as users see it; always the same keys."""
        record, evidence = self.record, self.evidence
        return {
            "id": self.id,
            "ended_at": _seconds(record.get("ended_at")),
            "action": "restore" if self.restore else "unlink",
            "outcome": record.get("outcome"),
            "reason": evidence.get("reason"),
            "code": evidence.get("code"),
            "message": evidence.get("message", ""),
            "evidence": evidence.get("evidence"),
            "account": record.get("account"),
            "relationtype": record.get("relationtype"),
            "parentid": _number(record.get("parentid")),
            "childid": _number(record.get("childid")),
            "run": self.run,
            "row": _number(record.get("row")),
            "requested_by": record.get("requested_by"),
            "wish_reason": record.get("reason"),
            "sent": record.get("sent"),
            "reused_of": record.get("reused_of"),
            "first_seen": _seconds(record.get("first_seen")),
            "deaths": _number(record.get("deaths")) or 0,
            "replay_of": record.get("replay_of"),
            "replays": self.replays,
            "redrives": self.redrives,
            "by": evidence.get("by"),
            "read_back": bool(evidence.get("read_back")),
            "read_back_at": evidence.get("read_back_at"),
            "read_back_showed": evidence.get("read_back_showed"),
            "attempts": as_documents(record.get("history", "")),
        }


def _seconds(text: str | None) -> float | None:
    return None if text is None else int(float(text)) / 1000


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
