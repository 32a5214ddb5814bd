"""How a job ends: once, and with the evidence for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A job's one end."""

    kind: Kind
    evidence: Evidence | None = None
    proven: bool = True  # False: the link was not seen, but this account may be unable to see it (API facts 7.4)
    reason: str | None = None  # name of an exception of worker.unlinking.errors, for dead and expired jobs
    code: int | None = None  # the API's error code
    message: str = ""  # the API's or our sentence

    @property
    def succeeded(self) -> bool:
        """Whether the wish came true."""
        return self.kind in SUCCESSES

    def as_result(self) -> dict[str, object]:
        """The Celery result of a job that succeeded."""
        return {"outcome": str(self.kind), "evidence": str(self.evidence), "proven": self.proven}

    def as_evidence(self) -> dict[str, object]:
        """Everything but the kind, for the record."""
        fields = {
            "evidence": self.evidence and str(self.evidence),
            "proven": self.proven,
            "reason": self.reason,
            "code": self.code,
            "message": self.message,
        }
        return {name: value for name, value in fields.items() if value not in (None, "")}

    @classmethod
    def from_evidence(cls, kind: str, fields: Mapping[str, Any]) -> "Outcome":
        """Read what `as_evidence` wrote."""
        evidence = fields.get("evidence")
        return cls(kind=Kind(kind), **{**fields, "evidence": evidence and Evidence(evidence)})

    def as_error(self) -> UnlinkError:
        """The exception of a job that is dead or expired."""
        return error_for(self.reason or "UnknownCode", self.code, self.message)


def dead(reason: str, code: int | None = None, message: str = "", evidence: Evidence | None = None) -> Outcome:
    """A job that cannot be done."""
    return Outcome(kind=Kind.DEAD, reason=reason, code=code, message=message, evidence=evidence)


EXPIRED = Outcome(kind=Kind.EXPIRED, reason="Expired", message="the deadline passed before the job could run")
CANCELLED = Outcome(kind=Kind.CANCELLED)
