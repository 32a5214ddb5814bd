"""Undo, planned: from the deeds of the journal to the links that are to be there again. Pure.

A link is to come back if the last deed that may have changed it is a chosen one that removed it, or may have, whatever
its outcome is called: a letter too may be about a link that a lost request removed. A job whose end nobody knows counts
as well, since the restorer looks before it creates. What was brought back since, or deleted again by a job that was not
chosen, is left out: that is somebody's later will.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from worker.onoffice.appointments import CONFIRMATIONS
from worker.unlinking.attribution import By
from worker.unlinking.job import Relation
from worker.unlinking.outcome import Kind
from worker.unlinking.relation_types import PARTICIPANT, RELATION_TYPES

UNKNOWN = "unknown"  # how the end of a deed is known that has none
BROUGHT_BACK = (Kind.RESTORED, Kind.ALREADY_PRESENT)  # ends of a restore after which its link was there


class Why(StrEnum):
    """Why a link that was deleted does not come back, or not as it was."""

    NOT_CREATABLE = "not_creatable"
    RESTORED_SINCE = "restored_since"
    DELETED_SINCE = "deleted_since"
    NOT_SAVED = "not_saved"
    UNKNOWN_STATUS = "unknown_status"
    NOT_WANTED = "not_wanted"
    NOT_CERTAIN = "not_certain"

    @property
    def leaves_out(self) -> bool:
        """Whether the link does not come back at all."""
        return self in (Why.NOT_CREATABLE, Why.RESTORED_SINCE, Why.DELETED_SINCE, Why.NOT_CERTAIN)

    @property
    def sentence(self) -> str:
        """In words."""
        return _SENTENCES[self]


_SENTENCES = {
    Why.NOT_CREATABLE: "links of this type cannot be created through the API; make it by hand",
    Why.RESTORED_SINCE: "it was brought back since",
    Why.DELETED_SINCE: "another job, which was not chosen, deleted it since, or tried to",
    Why.NOT_SAVED: "its confirmation status was not saved (UNLINKER_KEEP_CONFIRMATION), so it is lost",
    Why.UNKNOWN_STATUS: "its confirmation status was saved, but is none that the API can set, so it is lost",
    Why.NOT_WANTED: "its confirmation status is left out, as asked for",
    Why.NOT_CERTAIN: "nobody knows whether we removed it, and only what is certain was asked for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A deed, as far as an undo must know it."""

    account: str
    relation: Relation
    restore: bool  # it was to bring the link back, rather than to delete it
    at: float  # Unix seconds: when it ended, or when it was sent while nobody knows its end
    outcome: str | None  # None: nobody knows
    by: By | None  # who removed the link; None while nobody knows its end, and of a restore
    why: str  # what was said of its end; "" for nothing
    evidence: str | None
    confirmation: str | None  # what was saved before
    job: str
    chosen: bool  # it is to be undone

    @property
    def may_have_removed(self) -> bool:
        """Whether it was a deletion that removed its link, or may have."""
        return not self.restore and (self.outcome in (Kind.UNLINKED, None) or self.by in (By.US, By.UNKNOWN))


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoRow:
    """One link that a chosen deed removed, or may have removed."""

    at: float  # of the last deed that may have changed it; Unix seconds
    job: str  # id of the chosen one
    known_by: str  # how its end is known: answered, read_back, or unknown
    doubt: str  # why nobody knows whether we removed it; "": we did
    confirmation: str | None = None  # status it is to come back with
    why: Why | None = None  # why not, or not as it was

    @property
    def certain(self) -> bool:
        """Whether it was clearly us who removed it."""
        return not self.doubt

    @property
    def comes_back(self) -> bool:
        """Whether it is to be restored."""
        return self.why is None or not self.why.leaves_out


class Links(Protocol):
    """Where rows are kept while the journal is read; there may be a million."""

    def get(self, account: str, relation: Relation) -> UndoRow | None:
        """The row of a link."""

    def put(self, account: str, relation: Relation, row: UndoRow) -> None:
        """Set it."""


@dataclass
class Undoing:
    """Takes deeds in the order of their ends, those without a known end last.

    They may be older than what came before them, so if `needs_second_pass`, all deeds that are not to be undone have to
    be shown to `add_later_will` once more.
    """

    links: Links
    with_confirmation: bool = True
    only_certain: bool = False
    others: dict[str, int] = field(default_factory=dict)  # chosen deeds that removed nothing, by outcome
    restores: int = 0  # chosen deeds that were restores themselves
    needs_second_pass: bool = False

    def add(self, past: Past) -> None:
        """One more deed."""
        if not past.chosen:
            self.add_later_will(past)
        elif past.restore:
            self.restores += 1
            self.add_later_will(past)
        elif not past.may_have_removed:
            self.others[str(past.outcome)] = self.others.get(str(past.outcome), 0) + 1
        else:
            self._add_chosen(past)

    def add_later_will(self, past: Past) -> None:
        """A deed that is not to be undone, and may be later than one that is."""
        since = _later_will(past)
        row = self.links.get(past.account, past.relation) if since else None
        if row is not None and past.at >= row.at and row.why is not Why.NOT_CREATABLE:
            self.links.put(past.account, past.relation, replace(row, at=past.at, why=since))

    def _add_chosen(self, past: Past) -> None:
        known = self.links.get(past.account, past.relation)
        if known is not None and known.at > past.at:
            return
        saved = past.confirmation
        if saved is None and known is not None and known.comes_back:
            saved = known.confirmation  # two jobs may think that they removed it; the first one saw the status
        self.needs_second_pass = self.needs_second_pass or past.outcome is None
        was_ours = known is not None and known.comes_back and known.certain
        self.links.put(past.account, past.relation, self._row(past, saved, "" if was_ours else _doubt(past)))

    def _row(self, past: Past, saved: str | None, doubt: str) -> UndoRow:
        why = self._why(past.relation, saved)
        if self.only_certain and doubt and (why is None or not why.leaves_out):
            why = Why.NOT_CERTAIN
        return UndoRow(
            at=past.at,
            job=past.job,
            known_by=past.evidence or UNKNOWN,
            doubt=doubt,
            confirmation=saved if why is None and past.relation.relationtype == PARTICIPANT else None,
            why=why,
        )

    def _why(self, relation: Relation, saved: str | None) -> Why | None:
        kind = RELATION_TYPES.get(relation.relationtype)
        if kind is None or not kind.creatable:
            return Why.NOT_CREATABLE
        if relation.relationtype != PARTICIPANT:
            return None
        if not self.with_confirmation:
            return Why.NOT_WANTED
        if saved is None:
            return Why.NOT_SAVED
        return None if saved in CONFIRMATIONS else Why.UNKNOWN_STATUS


def _later_will(past: Past) -> Why | None:
    """What a deed that is not undone means for a link that an earlier one removed."""
    if past.restore:
        return Why.RESTORED_SINCE if past.outcome in BROUGHT_BACK else None
    return Why.DELETED_SINCE if past.may_have_removed else None


def _doubt(past: Past) -> str:
    """Why nobody knows whether a deed removed its link; "" if it clearly did."""
    if past.by is By.US:
        return ""
    if past.outcome is None:
        return "nobody knows how it ended"
    known = _DOUBTS.get(past.outcome, f"it ended {past.outcome}, and an answer was lost before")
    return f"{known}: {past.why}" if past.why else known


_DOUBTS: Mapping[str, str] = {
    Kind.UNLINKED: "an answer was lost, and it was found absent",
    Kind.ALREADY_ABSENT: "an error was answered though it had been seen, or an answer was lost after one; then absent",
}
