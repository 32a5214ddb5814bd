"""How a job ends: once, and with the evidence for it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from worker.unlinking.attribution import By, Known
from worker.unlinking.errors import UnlinkError, error_for


class Kind(StrEnum):
    """The ends of a job: five of one that unlinks, and two more of one that restores."""

    UNLINKED = "unlinked"  # the link was there and this job removed it
    ALREADY_ABSENT = "already_absent"  # there was no link
    RESTORED = "restored"  # the link was gone and an undo made it anew
    ALREADY_PRESENT = "already_present"  # an undo found the link there
    DEAD = "dead"  # it cannot be done; a dead letter says why
    EXPIRED = "expired"  # its deadline passed before a request was sent
    CANCELLED = "cancelled"  # somebody took the wish back in time


SUCCESSES = frozenset({Kind.UNLINKED, Kind.ALREADY_ABSENT, Kind.RESTORED, Kind.ALREADY_PRESENT})


class Evidence(StrEnum):
    """How we know."""

    ANSWERED = "answered"  # the API said so
    READ_BACK = "read_back"  # we looked afterwards


@dataclass(frozen=True, slots=True)
class Looked:
    """A read-back, whatever it showed."""

    at: float  # Unix seconds
    showed: str  # a judging.Sight: present, absent, not_seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A job's one end."""

    kind: Kind
    evidence: Evidence | None = None
    proven: bool = (
        True  # False: nobody can vouch for it: the account may be unable to see it (API facts 7.4), or sees it
    )
    by: By | None = None  # who removed the link; None of a job that was to restore it
    looked: Looked | None = None  # the last read-back; None: nobody looked
    reason: str | None = None  # name of an exception of worker.unlinking.errors, for dead and expired jobs
    code: int | None = None  # the API's error code
    message: str = ""  # the API's or our sentence

    @property
    def succeeded(self) -> bool:
        """Whether the wish came true."""
        return self.kind in SUCCESSES

    def as_result(self) -> dict[str, object]:
        """The Celery result of a job that succeeded."""
        found = {"outcome": str(self.kind), "evidence": str(self.evidence), "proven": self.proven}
        return found if self.by is None else found | {"by": str(self.by)}

    def as_evidence(self) -> dict[str, object]:
        """Everything but the kind, for the record."""
        fields = {
            "evidence": self.evidence and str(self.evidence),
            "proven": self.proven,
            "by": self.by and str(self.by),
            "reason": self.reason,
            "code": self.code,
            "message": self.message,
            "read_back": None if self.succeeded else self.looked is not None,
            "read_back_at": self.looked and round(self.looked.at, 3),
            "read_back_showed": self.looked and self.looked.showed,
        }
        return {name: value for name, value in fields.items() if value not in (None, "")}

    @classmethod
    def from_evidence(cls, kind: str, fields: Mapping[str, Any]) -> "Outcome":
        """Read what `as_evidence` wrote, but for when it was read back."""
        evidence, by = fields.get("evidence"), fields.get("by")
        named = {name: fields[name] for name in ("proven", "reason", "code", "message") if name in fields}
        return cls(kind=Kind(kind), evidence=evidence and Evidence(evidence), by=by and By(by), **named)

    def as_error(self) -> UnlinkError:
        """The exception of a job that is dead or expired."""
        return error_for(self.reason or "UnknownCode", self.code, self.message)


def dead(
    reason: str,
    code: int | None = None,
    message: str = "",
    evidence: Evidence | None = None,
    *,
    by: By | None = None,
    looked: Looked | None = None,
) -> Outcome:
    """A job that cannot be done."""
    return Outcome(kind=Kind.DEAD, reason=reason, code=code, message=message, evidence=evidence, by=by, looked=looked)


def attributed(outcome: Outcome, known: Known) -> Outcome:
    """An end that needed no look, with who removed the link; a clear success stays what it is."""
    if known.success_at is None:
        return replace(outcome, by=known.by)
    why = f"answered success; then: {outcome.message or outcome.kind}"
    return Outcome(kind=Kind.UNLINKED, evidence=Evidence.ANSWERED, proven=False, by=By.US, message=why)


EXPIRED = Outcome(kind=Kind.EXPIRED, reason="Expired", message="the deadline passed before the job could run")
CANCELLED = Outcome(kind=Kind.CANCELLED)
