"""A policy: which links should not exist, as an operator wrote it down. Values only; others read and carry them out.

A policy looks at all links of one relation type whose one side is in its *scope*. Of those, *keep* says which may stay;
the rest is to go, unless a brake holds it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.onoffice.pages import Condition
from worker.unlinking.relation_types import RelationType, parse_relationtype
from worker.unlinking.slots import Timing

SEEN_RESOURCES = ("estate", "address")  # kinds of records that the API reads with a filter
NAME_LENGTH = 60  # characters; it is part of keys and of ids of runs


class Side(StrEnum):
    """One end of a link."""

    PARENTS = "parents"
    CHILDREN = "children"

    @property
    def other(self) -> "Side":
        """The other end."""
        return Side.CHILDREN if self is Side.PARENTS else Side.PARENTS


class Mode(StrEnum):
    """What becomes of a night's plan."""

    PLAN = "plan"  # it waits until somebody approves of it
    APPLY = "apply"  # it is carried out, unless it is over a brake


class OnResurrected(StrEnum):
    """What becomes of a link that an earlier night of this policy unlinked, and that is there again."""

    REPORT = "report"  # somebody made it anew, and may have meant it: it is reported and left
    UNLINK = "unlink"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is found when it is needed. Exactly one of the two is set."""

    env: str = ""  # name of an environment variable
    file: str = ""  # path of a file that holds nothing else


@dataclass(frozen=True, slots=True)
class IdsSource:
    """A list in the policies file itself. Each row has one id, or two."""

    rows: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class FileSource:
    """A text file: one row a line. With `columns` its first line is a header."""

    path: str
    columns: tuple[str, ...] = ()
    delimiter: str = ","


@dataclass(frozen=True, slots=True)
class SqlSource:
    """A query."""

    dsn: str | Reference  # a URL of SQLAlchemy; a str has no password in it
    query: str
    columns: tuple[str, ...] = ()  # names of the result's columns; () for the first ones
    seconds: float = 300.0  # until it is given up


@dataclass(frozen=True, slots=True)
class HttpSource:
    """A JSON document on the web, or several pages of it. Paths are names with dots between them; "" is the top."""

    url: str | Reference  # a str has no secret in it
    items: str = ""  # path of the list
    columns: tuple[str, ...] = ()  # fields of an item; () when an item is an id itself
    count: str = ""  # path of the number of all items; "" when the document does not tell
    next: str = ""  # path of the next page's URL; "" when there is but one
    headers: Mapping[str, str | Reference] = field(default_factory=dict)
    seconds: float = 60.0  # until a page is given up
    megabytes: int = 64  # of all pages together


@dataclass(frozen=True, slots=True)
class RecordsSource:
    """Estates or addresses in onOffice that fit all conditions."""

    resource: str
    where: tuple[Condition, ...]


Source = IdsSource | FileSource | SqlSource | HttpSource | RecordsSource


@dataclass(frozen=True, slots=True)
class Scope:
    """The records whose links are looked at."""

    side: Side
    source: Source


@dataclass(frozen=True, slots=True)
class Keep:
    """Which links may stay."""

    source: Source | None = None  # None: none of them
    pairs: bool = False  # the list is of links (parentid, childid); else of ids of the other side


@dataclass(frozen=True, slots=True, kw_only=True)
class NightBrakes:
    """What a night may not do by itself. Over the first three its plan waits; the others abort it."""

    max_deletions: int = 500
    max_share: float = 0.5  # of the links that were found
    max_share_per_parent: float = 1.0  # of those of any one parent that has 20 or more
    expect_at_least: int = 0  # rows of the list of what may stay; with less of it the night is aborted
    allow_empty: bool = False  # whether scope, and what may stay, may be empty
    canary: int = 10  # and the last two are those of any run (worker.unlinking.brakes)
    max_failure_rate: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilePolicy:
    """All of it."""

    name: str
    account: str
    relationtype: str  # short form
    because: str  # kept with every deletion
    scope: Scope
    keep: Keep
    timing: Timing
    brakes: NightBrakes = NightBrakes()
    mode: Mode = Mode.PLAN
    on_resurrected: OnResurrected = OnResurrected.REPORT

    @property
    def kind(self) -> RelationType:
        """Its relation type."""
        return parse_relationtype(self.relationtype)

    @property
    def meaning(self) -> str:
        """Fingerprint of what it wants gone: a plan is worth nothing once this has changed."""
        said = (self.account, self.relationtype, self.scope, self.keep, self.on_resurrected)
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Policies:
    """A policies file."""

    by_name: Mapping[str, ReconcilePolicy] = field(default_factory=dict)
    truth: Timing | None = None  # when what was reported as gone is looked at; None: never


def resource_of(kind: RelationType, side: Side) -> str:
    """The kind of the records on one side of a relation type: estate, address, calendar ..."""
    return kind.parent if side is Side.PARENTS else kind.child
