"""A night: one slot of a policy, or of the truth pass, from its plan to its report. Values and rules only.

planning -> waiting, running, done, aborted     what is found decides
waiting -> running                              somebody approves of it
waiting -> expired, superseded                  nobody did, in time, or before the next night
running -> stopped -> running                   its run is stopped by a brake, or paused, and resumed
running, stopped -> done                        its run is over
running -> planning, waiting                    its run was never started: whoever was about to start it died
skipped, missed                                 from the start: another night was still open, or nobody was up
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from statistics import mean
from typing import Any

from worker.unlinking.job import Relation
from worker.unlinking.wording import links

RELATIONS_KEPT = 100  # of links there again; the rest is counted
TRUTH = "truth:"  # before an account's name: whose truth pass it is. No policy has such a name
TROUBLES = {  # of a night that is done
    "failed": "{} could not be unlinked",
    "resurrected": "{} there again",
    "unread": "{} could not be looked at",
}
COMPARED = 7  # good nights, for drift
_NAMESPACE = uuid.UUID("6a8f0c1e-52a4-5b0e-9d6c-2f6d3b1f7a10")  # of the ids of runs; drawn once


class NightStatus(StrEnum):
    """Where a night is."""

    PLANNING = "planning"  # somebody works it out, or died doing so
    WAITING = "waiting"  # its plan waits for somebody to approve of it
    RUNNING = "running"  # its run is on its way
    STOPPED = "stopped"  # its run was stopped by a brake, or paused
    DONE = "done"
    ABORTED = "aborted"  # nothing was deleted
    EXPIRED = "expired"  # nobody approved of its plan in time; nothing was deleted
    SUPERSEDED = "superseded"  # the next night came before anybody approved; nothing was deleted
    SKIPPED = "skipped"  # another night of the policy was still open
    MISSED = "missed"  # nobody was up at its time, nor within its catch-up window


OPEN = frozenset({NightStatus.PLANNING, NightStatus.WAITING, NightStatus.RUNNING, NightStatus.STOPPED})
BUSY = OPEN - {NightStatus.WAITING}  # another night has to let it end first


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of a night's story."""

    at: float  # Unix seconds
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What is known of one night. Kept as JSON; fields are only ever added."""

    id: str
    policy: str  # its name; of a truth pass TRUTH and the account
    account: str
    slot: float  # Unix seconds
    started_at: float
    status: NightStatus
    ended_at: float | None = None
    why: str = ""  # of a status that needs a reason
    relationtype: str = ""
    zone: str = "UTC"  # of the clock its times are told by
    mode: str = ""
    meaning: str = ""  # of the policy, when it was planned
    missed: int = 0  # earlier slots that nobody was up for
    attempts: int = 0  # to work it out; those before ended with their worker
    counts: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)  # dead letters of its run by reason
    over: tuple[Mapping[str, str], ...] = ()  # brakes: option, value, why
    run: str | None = None
    expires_at: float | None = None  # of a plan that waits
    approved_by: str | None = None
    approved_because: str | None = None
    resurrected: tuple[tuple[str, int, int], ...] = ()  # links there again, the first RELATIONS_KEPT
    story: tuple[Happened, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether something may still become of it."""
        return self.status in OPEN

    @property
    def is_good(self) -> bool:
        """Whether it came to its end with everything seen."""
        return self.status is NightStatus.DONE

    def told(self, at: float, text: str, **changes: Any) -> "Night":
        """The night with a line more, and other changes."""
        return replace(self, story=(*self.story, Happened(at, text)), **changes)

    def ended(self, at: float, status: NightStatus, why: str) -> "Night":
        """The night at its end."""
        return self.told(at, f"{status}: {why}" if why else str(status), status=status, why=why, ended_at=at)

    def counted(self, **counts: int) -> Mapping[str, int]:
        """Its counts with some set."""
        return {**self.counts, **counts}

    def document(self) -> dict[str, object]:
        """As it is kept and shown; always the same keys. Times are Unix seconds."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        found |= {
            "status": str(self.status),
            "counts": dict(self.counts),
            "failures": dict(self.failures),
            "over": [dict(each) for each in self.over],
            "resurrected": [list(each) for each in self.resurrected],
            "story": [{"at": each.at, "text": each.text} for each in self.story],
        }
        return found

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Night":
        """Read what `document` gave; what a later version added is left out."""
        known = {each.name for each in fields(cls)}
        found = {name: value for name, value in document.items() if name in known}
        found |= {
            "status": NightStatus(document["status"]),
            "over": tuple(document.get("over", ())),
            "resurrected": tuple((kind, parent, child) for kind, parent, child in document.get("resurrected", ())),
            "story": tuple(Happened(each["at"], each["text"]) for each in document.get("story", ())),
        }
        return cls(**found)


def night_id(policy: str, slot: float) -> str:
    """The night of a slot: always the same, so that a slot is one night."""
    return f"{policy}@{datetime.fromtimestamp(slot, UTC):%Y%m%dT%H%M%SZ}"


def run_id(night: str, attempt: str) -> str:
    """The run of a night, of one attempt to begin it: rows that another attempt has stored are not this one's.

    A night is one run all the same: an attempt is opened only by whoever holds the night's lease.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{night} {attempt}"))


def kept_relations(relations: Sequence[Relation]) -> tuple[tuple[str, int, int], ...]:
    """As a night keeps them."""
    return tuple((each.relationtype, each.parentid, each.childid) for each in relations[:RELATIONS_KEPT])


@dataclass(frozen=True, slots=True)
class Drift:
    """One count beside those of earlier good nights."""

    now: int
    last: int | None  # of the good night before; None for the first
    mean: float | None  # of up to COMPARED good nights before


def drift(night: Night, earlier: Sequence[Night]) -> dict[str, Drift]:
    """Each count of a night beside earlier ones, of the same policy, the latest first."""
    good = [each for each in earlier if each.is_good and each.id != night.id and each.slot < night.slot][:COMPARED]
    found = {}
    for name, now in night.counts.items():
        values = [each.counts[name] for each in good if name in each.counts]
        found[name] = Drift(now, values[0] if values else None, round(mean(values), 1) if values else None)
    return found


def concern(night: Night) -> str | None:
    """Why a person should look at a night that has just come to this; None when nobody need be told."""
    named = f"{night.policy}: "
    match night.status:
        case NightStatus.WAITING:
            return f"{named}{links(night.counts.get('planned', 0))} to be approved of: {night.why}"
        case NightStatus.ABORTED | NightStatus.STOPPED | NightStatus.MISSED | NightStatus.EXPIRED | NightStatus.SKIPPED:
            return f"{named}{night.status}: {night.why}"
        case NightStatus.DONE:
            troubles = [
                text.format(links(count)) for name, text in TROUBLES.items() if (count := night.counts.get(name))
            ]
            if lost := night.counts.get("lost"):
                troubles.append(f"jobs that nobody worked on: {lost:,}")
            return named + ", ".join(troubles) if troubles else None
        case _:
            return None
