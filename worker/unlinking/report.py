"""The report of a bulk run: what is said of each row of its plan, and in which part. Pure.

Every row of the plan is in exactly one part. What counts is what stands when the report is made: a row that the run
left as a dead letter is in the part of its replay, once that has ended well.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

from worker.unlinking.attribution import By
from worker.unlinking.chunk import RowState, outcome_of
from worker.unlinking.outcome import Evidence, Kind
from worker.unlinking.plan import Action, PlanRow, Standing
from worker.unlinking.relation_types import RELATION_TYPES, Deletable
from worker.unlinking.runs import RunState

CHUNK_DONE = "done"  # outcome in the record of a chunk; its evidence counts the rows
UNKNOWN_REASON = "Unknown"  # of a letter that is no longer kept


_LETTERS = (Kind.DEAD, Kind.EXPIRED)


class Part(StrEnum):
    """The parts of a report; a file each."""

    SUCCEEDED = "succeeded"  # unlinked, or restored
    ALREADY_ABSENT = "already_absent"  # there was nothing to unlink: when it was planned, or when its turn came
    ALREADY_PRESENT = "already_present"  # the same of a restore
    FAILED = "failed"  # it is a dead letter, or was one
    UNPROCESSED = "unprocessed"  # nothing was done, or nobody knows yet


PARTS: Mapping[Action, tuple[Part, ...]] = {
    Action.UNLINK: (Part.SUCCEEDED, Part.ALREADY_ABSENT, Part.FAILED, Part.UNPROCESSED),
    Action.RESTORE: (Part.SUCCEEDED, Part.ALREADY_PRESENT, Part.FAILED, Part.UNPROCESSED),
}
_ENDED_WELL: Mapping[Action, Mapping[str, Part]] = {
    Action.UNLINK: {Kind.UNLINKED: Part.SUCCEEDED, Kind.ALREADY_ABSENT: Part.ALREADY_ABSENT},
    Action.RESTORE: {Kind.RESTORED: Part.SUCCEEDED, Kind.ALREADY_PRESENT: Part.ALREADY_PRESENT},
}


class Open(StrEnum):
    """Why a row is unprocessed: the `reason` of such a row."""

    NOT_SENT = "not_sent"
    SENT = "sent"  # its request is out, or its worker died with it
    CANCELLED = "cancelled"  # its chunk was in the queue when the run was cancelled
    REFUSED = "refused"  # left out of the plan


class LetterState(StrEnum):
    """What became of a dead letter."""

    WAITS = "waits"
    REPLAYED = "replayed"
    DISCARDED = "discarded"
    FORGOTTEN = "forgotten"  # replayed or discarded so long ago that it is no longer kept


@dataclass(frozen=True, slots=True, kw_only=True)
class RowEnd:
    """What is said of one row. "" and None: nothing."""

    part: Part
    outcome: str = ""
    proven: bool | None = None
    by: str = ""  # who removed the link
    evidence: str = ""
    reason: str = ""  # name of an exception of worker.unlinking.errors, or an Open
    code: int | None = None  # the API's
    message: str = ""
    letter: str = ""  # a LetterState
    replayed_as: str = ""  # id of the last replay's job
    seen_when_planned: bool = False  # its plan saw it, and there was nothing to unlink when its turn came


@dataclass(frozen=True, slots=True)
class Trace:
    """What is kept of a dead letter, or of the job that replays one. All "" for one that nobody knows any more."""

    id: str
    status: str = ""
    outcome: str = ""
    evidence: str = ""  # the fields of its outcome as JSON
    replayed_as: str = ""  # id of a job
    discarded_at: str = ""


def of_one_row(trace: Trace) -> Trace:
    """What is kept of a replay, told as of a job: a dead restore is replayed as a chunk of one row."""
    if trace.outcome != CHUNK_DONE:
        return trace
    counts = _told(trace.evidence)
    outcome = next((kind for kind in Kind if counts.get(kind)), "")
    if outcome in _LETTERS:
        return replace(trace, outcome="", replayed_as=f"{trace.id}:0")  # its row has a letter of its own
    return replace(trace, outcome=outcome, evidence=json.dumps({"proven": not counts.get("unproven")}))


def left_out_end(action: Action, row: PlanRow) -> RowEnd:
    """Of a row that the plan does not send."""
    if row.standing is Standing.REFUSED:
        return RowEnd(part=Part.UNPROCESSED, reason=Open.REFUSED, message=_why_refused(row.relation.relationtype))
    absent = action is Action.UNLINK
    return RowEnd(
        part=Part.ALREADY_ABSENT if absent else Part.ALREADY_PRESENT,
        outcome=Kind.ALREADY_ABSENT if absent else Kind.ALREADY_PRESENT,
        proven=row.standing is not Standing.NOT_SEEN,
        by=By.NOT_US if absent else "",
        evidence=Evidence.READ_BACK,
        message=f"seen {'absent' if absent else 'present'} when planned",
    )


def _why_refused(relationtype: str) -> str:
    kind = RELATION_TYPES.get(relationtype)
    if kind is not None and kind.deletable is Deletable.READ_ONLY:
        return "refused when planned: links of this type are read only"
    return "refused when planned: links of this type are protected, or not among the allowed ones"


_NOT_SENT: Mapping[RunState, str] = {
    RunState.LOADING: "not sent: the run has not begun",
    RunState.RUNNING: "not sent yet",
    RunState.PAUSED: "not sent: the run is paused",
    RunState.STOPPED: "not sent: a brake stopped the run",
    RunState.CANCELLED: "not sent: the run was cancelled",
    RunState.DONE: "nothing is known of it: its state is no longer kept",
}


@lru_cache(maxsize=1024)  # there are few states, and millions of rows
def row_end(action: Action, run: RunState, state: RowState, evidence: str = "") -> RowEnd:
    """Of a row that is no dead letter; of one that is, `letter_end` knows more."""
    if state is RowState.PENDING:
        return RowEnd(part=Part.UNPROCESSED, reason=Open.NOT_SENT, message=_NOT_SENT[run])
    if state is RowState.SENT:
        text = "its request is out, or its worker died with it; the outcome is not known yet"
        return RowEnd(part=Part.UNPROCESSED, reason=Open.SENT, message=text)
    told = outcome_of(state)
    by = "" if action is Action.RESTORE else str(told.by or "")
    if told.outcome == Kind.CANCELLED:
        text = _NOT_SENT[RunState.CANCELLED]
        if told.by is By.UNKNOWN:
            text = "an answer was lost before the run was cancelled; it was still there when it was last looked at"
        return RowEnd(part=Part.UNPROCESSED, outcome=told.outcome, by=by, reason=Open.CANCELLED, message=text)
    part = _ENDED_WELL[action].get(told.outcome, Part.FAILED)  # "restored" is no success of a run that was to unlink
    return RowEnd(part=part, outcome=told.outcome, proven=told.proven, by=by, evidence=evidence)


SEEN_WHEN_PLANNED = "it was seen when it was planned"


def planned_end(end: RowEnd, row: PlanRow) -> RowEnd:
    """What is to be said of a row in view of its plan: one that was seen there, and was not there to be unlinked."""
    if row.standing is not Standing.PRESENT or end.outcome != Kind.ALREADY_ABSENT:
        return end
    return replace(end, seen_when_planned=True, message="; ".join(filter(None, (SEEN_WHEN_PLANNED, end.message))))


def letter_end(action: Action, state: RowState, chain: Sequence[Trace]) -> RowEnd:
    """Of a row that the run left as a dead letter. `chain`: the letter, its replay, the replay of that, and so on."""
    last = chain[-1]
    replay = last.id if len(chain) > 1 else ""
    part = _ENDED_WELL[action].get(last.outcome)
    if replay and part is not None:
        told = _told(last.evidence)
        return RowEnd(
            part=part,
            outcome=last.outcome,
            proven=bool(told.get("proven", True)),
            by=str(told.get("by", "")),
            evidence=str(told.get("evidence", "")),
            message=f"a replay of its dead letter ({_reason(_told(chain[0].evidence))}) did it",
            letter=LetterState.REPLAYED,
            replayed_as=replay,
        )
    known = next((trace for trace in reversed(chain) if trace.outcome in _LETTERS), Trace(""))
    told = _told(known.evidence)
    return RowEnd(
        part=Part.FAILED,
        outcome=known.outcome or outcome_of(state).outcome,
        by=str(told.get("by", "")),
        evidence=str(told.get("evidence", "")),
        reason=_reason(told),
        code=told.get("code"),
        message="; ".join(filter(None, (str(told.get("message", "")), _since(chain)))),
        letter=_letter_state(chain),
        replayed_as=replay,
    )


def _letter_state(chain: Sequence[Trace]) -> LetterState:
    last = chain[-1]
    if last.discarded_at:
        return LetterState.DISCARDED
    if last.outcome in _LETTERS:
        return LetterState.WAITS
    return LetterState.REPLAYED if len(chain) > 1 else LetterState.FORGOTTEN


def _since(chain: Sequence[Trace]) -> str:
    """What has become of the letter, where it is not simply there."""
    last = chain[-1]
    if len(chain) == 1:
        gone = "its dead letter was replayed or discarded, and is no longer kept"
        return "" if last.outcome else gone
    if last.outcome:
        return f"replayed as {last.id}, which ended {last.outcome}"
    if last.status:
        return f"replayed as {last.id}, which is {last.status}"
    return f"replayed as {last.id}, of which nothing is kept any more: look at the link"


def _reason(told: Mapping[str, Any]) -> str:
    return str(told.get("reason") or UNKNOWN_REASON)


@lru_cache(maxsize=4096)  # most letters of a run say the same
def _told(evidence: str) -> Mapping[str, Any]:
    """The fields of an outcome. Texts are the vendor's: half a character, which JSON can name, is spelled out."""
    found = json.loads(evidence or "{}")
    return {name: _whole(value) if isinstance(value, str) else value for name, value in found.items()}


def _whole(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
