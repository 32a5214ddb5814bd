"""A plan: what a run would do, with what was seen of each link when it was made. Pure; plan_format.py has the file."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from worker.unlinking.job import Relation

VERSION = 1
LIFE = 86_400.0  # seconds; what was seen grows old, and a link may have been made anew


class PlanRefused(Exception):
    """The file is no plan that may be used; the text says why: edited, truncated, of another version, no plan."""


class Action(StrEnum):
    """What the run does with the links."""

    UNLINK = "unlink"
    RESTORE = "restore"


class Standing(StrEnum):
    """What is known of a link when the plan is made."""

    PRESENT = "present"  # it was seen
    UNCHECKED = "unchecked"  # nobody looked
    UNKNOWN = "unknown"  # the look failed
    ABSENT = "absent"  # it is not there, proven: this account sees links of that type
    NOT_SEEN = "not_seen"  # it is not there, or this account may not see it
    REFUSED = "refused"  # protected, not on the list of allowed types, or read only


_SENT: Mapping[Action, frozenset[Standing]] = {
    Action.UNLINK: frozenset({Standing.PRESENT, Standing.UNCHECKED, Standing.UNKNOWN}),
    Action.RESTORE: frozenset({Standing.ABSENT, Standing.NOT_SEEN, Standing.UNCHECKED, Standing.UNKNOWN}),
}


def is_sent(action: Action, standing: Standing) -> bool:
    """Whether a run sends such a row, or leaves it out."""
    return standing in _SENT[action]


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One relation of a plan."""

    relation: Relation
    standing: Standing
    source: str = ""  # where in the input: its line; "" when a rule found it
    input: tuple[str, ...] = ()  # the input's row, by PlanHead.columns, so that a report can repeat it
    confirmation: str | None = None  # RESTORE of calendar:address only: the status to be restored


Counts = Mapping[str, Mapping[Standing, int]]  # by short relation type


class Tally:
    """Counts rows by relation type and standing."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[Standing, int]] = {}

    def add(self, row: PlanRow) -> None:
        """One more."""
        of_type = self.counts.setdefault(row.relation.relationtype, {})
        of_type[row.standing] = of_type.get(row.standing, 0) + 1


@dataclass(frozen=True, slots=True)
class Seen:
    """How many links there were: what a brake by share measures against. Of parents that were read, and only those."""

    existing: Mapping[str, int]  # by short relation type: links below all parents that were read
    extents: Mapping[str, Mapping[int, int]] | None = None  # the same per parent; None when they are too many to list


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDraft:
    """What is known of a plan before its rows."""

    id: str  # UUID
    action: Action
    account: str
    made_at: float  # Unix seconds
    expires_at: float  # Unix seconds
    made_by: str
    because: str  # why; "" if nobody said
    source: str  # the input's name, or the rule in words
    columns: tuple[str, ...] = ()  # names of the input's columns; () for rules
    target: str = ""  # fingerprint of the API's address and the account: a plan is applied where it was made


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHead(PlanDraft):
    """What is known of a plan once it is written."""

    rows: int  # how many are to be sent; row n of the run is row n of the plan
    left_out: int  # how many are not
    counts: Counts
    existing: Mapping[str, int] | None = None  # see Seen; None when nobody looked
    extents: Mapping[str, Mapping[int, int]] | None = None
    version: int = VERSION
    sha256: str = ""  # of the head without it, and of every line after the head
