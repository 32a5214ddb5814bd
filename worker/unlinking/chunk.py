"""A chunk: up to 500 relations of one account in one message, each with the same judgement as a job of its own."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from worker.unlinking.attribution import By
from worker.unlinking.errors import UnlinkError, error_for
from worker.unlinking.job import (
    Job,
    JobTerms,
    Relation,
    as_given,
    bad_arguments,
    read_confirmation,
    read_relation,
    read_restorable,
    read_terms,
)
from worker.unlinking.outcome import Kind, Outcome
from worker.unlinking.sent import as_sent

MAX_ROWS = 500
MAX_RUN_NAME = 100
ROW_SHOWN = 200  # characters of a row that cannot be read
MAX_FIRST_ROW = 2**31
REQUIRED = ("relations",)
OPTIONAL = ("run", "first_row", "account", "requested_by", "reason", "not_after")


class RowState(Enum):
    """What is known of one row: one byte of its chunk's string."""

    PENDING = b"\0"  # as Redis fills up a string
    SENT = b"s"  # its request is out, or its worker died with it
    UNLINKED = b"u"  # by us
    UNLINKED_UNPROVEN = b"U"
    UNLINKED_BY_UNKNOWN = b"v"
    UNLINKED_BY_UNKNOWN_UNPROVEN = b"V"
    ALREADY_ABSENT = b"a"  # not by us
    ALREADY_ABSENT_UNPROVEN = b"A"
    ALREADY_ABSENT_BY_UNKNOWN = b"b"
    ALREADY_ABSENT_BY_UNKNOWN_UNPROVEN = b"B"
    RESTORED = b"r"
    ALREADY_PRESENT = b"p"
    DEAD = b"d"  # nothing of ours removed it
    DEAD_BY_UNKNOWN = b"D"  # if it is absent, nobody knows who removed it
    EXPIRED = b"e"
    EXPIRED_BY_UNKNOWN = b"E"
    CANCELLED = b"c"  # its run was cancelled before its request was sent
    CANCELLED_BY_UNKNOWN = b"C"

    @classmethod
    def of(cls, byte: int) -> "RowState":
        """Read a byte; what nobody has written here may have been anything, and is looked at before it is sent."""
        return _STATES.get(byte, cls.SENT)

    @property
    def is_final(self) -> bool:
        """Whether the row has its outcome."""
        return self not in (RowState.PENDING, RowState.SENT)


_STATES = {state.value[0]: state for state in RowState}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that cannot be read: that row's dead end, not the chunk's."""

    error: UnlinkError
    sent: str  # what its producer sent, as JSON text; bounded, without secrets
    named: Relation | None = None  # what it names, as far as it can be told, for its letter; it reaches no request


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message of a bulk run. Row n of the chunk is row `first_row` + n of the run."""

    id: str
    rows: tuple[Job | Unreadable, ...]
    terms: JobTerms
    run: str
    first_row: int
    restore: bool = False  # the links shall be there again, rather than be gone

    @classmethod
    def from_arguments(cls, chunk_id: str, arguments: Mapping[str, object], *, restore: bool = False) -> "Chunk":
        """Read the task's kwargs. Raises BadArguments for what spoils the whole chunk."""
        unknown = sorted(set(arguments) - set(REQUIRED) - set(OPTIONAL))
        if unknown or "relations" not in arguments:
            raise bad_arguments(f"relations is required; allowed besides: {', '.join(OPTIONAL)}; given: {unknown}")
        relations = arguments["relations"]
        if not isinstance(relations, list) or not 0 < len(relations) <= MAX_ROWS:
            raise bad_arguments(f"relations must be a list of 1 to {MAX_ROWS} [relationtype, parentid, childid]")
        terms = read_terms(arguments)
        read = _restorable if restore else _row
        return cls(
            id=chunk_id,
            rows=tuple(read(f"{chunk_id}:{number}", row, terms) for number, row in enumerate(relations)),
            terms=terms,
            run=_run(arguments.get("run")) or chunk_id,
            first_row=_first_row(arguments.get("first_row", 0)),
            restore=restore,
        )


def _row(row_id: str, row: object, terms: JobTerms) -> Job | Unreadable:
    try:
        if not isinstance(row, list) or len(row) not in (3, 4):
            raise bad_arguments("a row must be [relationtype, parentid, childid] or [..., true]: it was seen there")
        if len(row) == 4 and not isinstance(row[3], bool):
            raise bad_arguments("the fourth value of a row says whether it was seen there: true or false")
        return Job(id=row_id, relation=read_relation(*row[:3]), terms=terms, seen=len(row) == 4 and row[3])
    except UnlinkError as fault:
        return _unreadable(fault, row)


def _restorable(row_id: str, row: object, terms: JobTerms) -> Job | Unreadable:
    try:
        if not isinstance(row, list) or len(row) not in (3, 4):
            raise bad_arguments("a row must be [relationtype, parentid, childid] or [..., confirmation status]")
        relation = read_restorable(*row[:3])
        confirmation = read_confirmation(relation, row[3] if len(row) == 4 else None)
        return Job(id=row_id, relation=relation, terms=terms, restore=True, confirmation=confirmation)
    except UnlinkError as fault:
        return _unreadable(fault, row)


def _unreadable(fault: UnlinkError, row: object) -> Unreadable:
    sent = as_sent(row)
    error = error_for(fault.reason, fault.code, f"{fault.text}; the row is {sent[:ROW_SHOWN]}")
    return Unreadable(error, sent, as_given(*row[:3]) if isinstance(row, list) and len(row) >= 3 else None)


def _run(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_RUN_NAME:
        raise bad_arguments(f"run must be text of 1 to {MAX_RUN_NAME} characters")
    return value


def _first_row(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_FIRST_ROW:
        raise bad_arguments(f"first_row must be a whole number from 0 to {MAX_FIRST_ROW}")
    return value


_OUTCOMES: Mapping[RowState, tuple[Kind, bool, By | None]] = {
    RowState.UNLINKED: (Kind.UNLINKED, True, By.US),
    RowState.UNLINKED_UNPROVEN: (Kind.UNLINKED, False, By.US),
    RowState.UNLINKED_BY_UNKNOWN: (Kind.UNLINKED, True, By.UNKNOWN),
    RowState.UNLINKED_BY_UNKNOWN_UNPROVEN: (Kind.UNLINKED, False, By.UNKNOWN),
    RowState.ALREADY_ABSENT: (Kind.ALREADY_ABSENT, True, By.NOT_US),
    RowState.ALREADY_ABSENT_UNPROVEN: (Kind.ALREADY_ABSENT, False, By.NOT_US),
    RowState.ALREADY_ABSENT_BY_UNKNOWN: (Kind.ALREADY_ABSENT, True, By.UNKNOWN),
    RowState.ALREADY_ABSENT_BY_UNKNOWN_UNPROVEN: (Kind.ALREADY_ABSENT, False, By.UNKNOWN),
    RowState.RESTORED: (Kind.RESTORED, True, None),
    RowState.ALREADY_PRESENT: (Kind.ALREADY_PRESENT, True, None),
    RowState.DEAD: (Kind.DEAD, True, By.NOT_US),
    RowState.DEAD_BY_UNKNOWN: (Kind.DEAD, True, By.UNKNOWN),
    RowState.EXPIRED: (Kind.EXPIRED, True, By.NOT_US),
    RowState.EXPIRED_BY_UNKNOWN: (Kind.EXPIRED, True, By.UNKNOWN),
    RowState.CANCELLED: (Kind.CANCELLED, True, By.NOT_US),
    RowState.CANCELLED_BY_UNKNOWN: (Kind.CANCELLED, True, By.UNKNOWN),
}
_HAVE_PROOF = (Kind.UNLINKED, Kind.ALREADY_ABSENT)
_STATE_OF = {told: state for state, told in _OUTCOMES.items()}
BY_UNKNOWN = b"".join(state.value for state, (_, _, by) in _OUTCOMES.items() if by is By.UNKNOWN)
FAILED = b"".join(state.value for state, (kind, _, _) in _OUTCOMES.items() if kind in (Kind.DEAD, Kind.EXPIRED))


def state_of(outcome: Outcome) -> RowState:
    """The byte of an outcome."""
    by = outcome.by or _USUAL[outcome.kind]
    return _STATE_OF[outcome.kind, outcome.proven or outcome.kind not in _HAVE_PROOF, by]


_USUAL: Mapping[Kind, By | None] = {
    kind: by for kind, _, by in reversed(list(_OUTCOMES.values())) if by is not By.UNKNOWN
}


@dataclass(frozen=True, slots=True)
class RowTold:
    """What a byte says of a row that has ended."""

    outcome: str
    proven: bool
    by: By | None  # who removed the link; None of one that was to be restored


_TOLD = {state: RowTold(str(kind), proven, by) for state, (kind, proven, by) in _OUTCOMES.items()}


def outcome_of(state: RowState) -> RowTold:
    """What a byte says. Raises KeyError for a row without an outcome."""
    return _TOLD[state]


def tally(states: bytes) -> dict[str, int]:
    """How many rows ended how; the sum of the outcomes is the number of rows once all have ended."""
    counts = {str(kind): 0 for kind in Kind} | {"unproven": 0, "by_unknown": 0}
    for byte, count in Counter(states).items():
        state = RowState.of(byte)
        if not state.is_final:
            continue
        told = outcome_of(state)
        counts[told.outcome] += count
        counts["unproven"] += count * (not told.proven)
        counts["by_unknown"] += count * (told.by is By.UNKNOWN)
    return counts
