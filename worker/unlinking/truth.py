"""Truth: is what was reported as gone still gone? What a look at a link means for what was said of it. Pure.

deletion   seen there -> there again, unless a later deed explains it
           seen to be gone -> as reported; if nobody could vouch for it then, it is verified now
           not seen, though links of its type were never seen either -> as reported, and still nobody can vouch for it
letter     the wish has come true by itself -> the letter is closed; nothing else closes it
job        no outcome past its deadline, and nobody holds it -> lost: its message is put back, and a worker ends it
"""

from dataclasses import dataclass
from enum import StrEnum

from worker.unlinking.judging import Sight
from worker.unlinking.outcome import Kind
from worker.unlinking.viewer import Unread, View

REPORTED_GONE = frozenset({Kind.UNLINKED, Kind.ALREADY_ABSENT})
GRACE = 3600.0  # seconds past its deadline that a job may still be on its way to its end


class Found(StrEnum):
    """What a deletion looks like today."""

    STILL_GONE = "still_gone"
    VERIFIED = "verified"  # it is gone, and now somebody can vouch for it
    UNVERIFIED = "unverified"  # nobody could vouch for it, and nobody can now
    THERE = "there"
    UNREAD = "unread"  # it could not be looked at


def judge_deletion(view: View, *, proven: bool) -> Found:
    """`proven`: whether somebody could vouch for it when it was reported."""
    match view:
        case Unread():
            return Found.UNREAD
        case Sight.PRESENT:
            return Found.THERE
        case Sight.ABSENT:
            return Found.STILL_GONE if proven else Found.VERIFIED
        case _:
            return Found.STILL_GONE if proven else Found.UNVERIFIED


def is_resurrected(newest_outcome: str | None, *, restored: bool) -> bool:
    """Whether a link that is there contradicts the last thing that was done to it.

    `newest_outcome`: of the last deed at this link; None while it is on its way. `restored`: that deed was to bring it
    back. A deletion that failed explains the link as well: it is a dead letter.
    """
    return not restored and newest_outcome in REPORTED_GONE


def closes_letter(view: View, *, restore: bool) -> Kind | None:
    """The outcome that a dead letter's wish has come to by itself; None while it has not, or nobody can tell."""
    if restore:
        return Kind.ALREADY_PRESENT if view is Sight.PRESENT else None
    return Kind.ALREADY_ABSENT if view is Sight.ABSENT else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJob:
    """A record without an outcome."""

    id: str
    deadline: float  # Unix seconds
    held: bool  # a worker holds it, or will take it over once the lease of a dead one ends
    waits: bool  # it waits where it is looked after: its account is halted, or another job answers for it


def is_lost(job: OpenJob, now: float) -> bool:
    """Whether nobody will ever end this job. `now`: Unix seconds."""
    return not job.held and not job.waits and now > job.deadline + GRACE
