"""The counts of a report, of the very rows that are in its files. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from worker.unlinking.attribution import By
from worker.unlinking.errors import REASONS, Replay
from worker.unlinking.plan import Action
from worker.unlinking.report import PARTS, UNKNOWN_REASON, LetterState, Part, RowEnd

_FORGOTTEN = (
    "Its dead letter was replayed or discarded, and is no longer kept.",
    "Look at the link in onOffice, or plan again: the read-back tells whether it is there.",
)
_STRANGE = ("This version of unlinker does not know the reason.", "Read what the API said; update, and report again.")


@dataclass(frozen=True, slots=True)
class Failure:
    """The failed rows of one reason."""

    reason: str
    count: int
    happened: str
    advice: str
    replay: str  # what sending them again may bring
    example: str  # what the API said of one of them

    def document(self) -> dict[str, object]:
        """As users see it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Counts:
    """Counts rows as they are told of."""

    action: Action
    rows: int = 0
    unproven: int = 0  # ended well, but the account may be unable to see such links
    seen_when_planned: int = 0  # seen by their plan, and absent when their turn came
    by: Counter[str] = field(default_factory=Counter)  # rows by who removed the link
    by_part: Counter[str] = field(default_factory=Counter)
    by_outcome: Counter[str] = field(default_factory=Counter)
    by_letter: Counter[str] = field(default_factory=Counter)
    open: Counter[str] = field(default_factory=Counter)  # unprocessed rows by why
    failed: Counter[str] = field(default_factory=Counter)  # failed rows by reason
    mended: int = 0  # rows that a replay did
    _examples: dict[str, str] = field(default_factory=dict)

    def add(self, end: RowEnd, times: int = 1) -> None:
        """`times` more rows with that end."""
        self.rows += times
        self.by_part[end.part] += times
        self.by_outcome[end.outcome] += times
        if end.proven is False:
            self.unproven += times
        self.seen_when_planned += times * end.seen_when_planned
        if end.by:
            self.by[end.by] += times
        if end.letter:
            self._add_letter(end, times)
        elif end.part is Part.FAILED:
            self._add_failure(end, times)
        elif end.part is Part.UNPROCESSED:
            self.open[end.reason] += times

    def _add_letter(self, end: RowEnd, times: int) -> None:
        self.by_letter[end.letter] += times
        if end.part is Part.FAILED:
            self._add_failure(end, times)
        elif end.letter == LetterState.REPLAYED:
            self.mended += times

    def _add_failure(self, end: RowEnd, times: int) -> None:
        reason = end.reason or UNKNOWN_REASON
        self.failed[reason] += times
        if reason not in self._examples:
            self._examples[reason] = end.message if end.code is None else f"{end.code}: {end.message}"

    @property
    def parts(self) -> dict[str, int]:
        """Rows by part, all four."""
        return {part: self.by_part[part] for part in PARTS[self.action]}

    @property
    def outcomes(self) -> dict[str, int]:
        """Rows by outcome, of those that have one."""
        return {outcome: count for outcome, count in sorted(self.by_outcome.items()) if outcome}

    @property
    def failures(self) -> Sequence[Failure]:
        """By reason, the most first."""
        return [self._failure(reason, count) for reason, count in self.failed.most_common()]

    @property
    def succeeded(self) -> bool:
        """Whether nothing failed and nothing is left to do."""
        return not self.by_part[Part.FAILED] and not self.by_part[Part.UNPROCESSED]

    def document(self) -> dict[str, object]:
        """As users see it; always the same keys."""
        letters: Mapping[str, int] = {state: self.by_letter[state] for state in LetterState}
        return {
            "rows": self.rows,
            "files": self.parts,
            "outcomes": self.outcomes,
            "unproven": self.unproven,
            "by": {by: self.by[by] for by in By} if self.action is Action.UNLINK else {},
            "seen_when_planned": self.seen_when_planned,
            "failures": [failure.document() for failure in self.failures],
            "unprocessed": dict(self.open),
            "letters": letters,
            "succeeded_by_replay": self.mended,
        }

    def _failure(self, reason: str, count: int) -> Failure:
        error = REASONS.get(reason)
        unknown = _FORGOTTEN if reason == UNKNOWN_REASON else _STRANGE
        happened, advice = error.explain(restore=self.action is Action.RESTORE) if error else unknown
        replay = str(error.replay if error else Replay.MENDED)
        return Failure(reason, count, happened, advice, replay, self._examples[reason])
