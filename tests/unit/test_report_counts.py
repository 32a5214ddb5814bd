"""The counts of a report: every number of its document, of rows that come one by one or by the hundred."""

import pytest

from worker.unlinking.errors import Exhausted, NotDeletable, NotRestorable
from worker.unlinking.plan import Action
from worker.unlinking.report import UNKNOWN_REASON, LetterState, Open, Part, RowEnd
from worker.unlinking.report_counts import Counts

GONE = RowEnd(part=Part.SUCCEEDED, outcome="unlinked", proven=True)
UNPROVEN = RowEnd(part=Part.ALREADY_ABSENT, outcome="already_absent", proven=False)
KEPT = RowEnd(
    part=Part.FAILED, outcome="dead", reason="NotDeletable", code=168, message="kept", letter=LetterState.WAITS
)
OTHER = RowEnd(part=Part.FAILED, outcome="dead", reason="NotDeletable", message="other", letter=LetterState.DISCARDED)
MENDED = RowEnd(part=Part.SUCCEEDED, outcome="unlinked", proven=True, letter=LetterState.REPLAYED, replayed_as="j")
FORGOTTEN = RowEnd(part=Part.FAILED, outcome="dead", letter=LetterState.FORGOTTEN)
LATER = RowEnd(part=Part.FAILED, outcome="dead", reason="OfALaterVersion", message="?")
WAITS = RowEnd(part=Part.UNPROCESSED, reason=Open.NOT_SENT)


def counted(*ends: tuple[RowEnd, int], action: Action = Action.UNLINK) -> Counts:
    counts = Counts(action)
    for end, times in ends:
        counts.add(end, times)
    return counts


def test_every_number() -> None:
    told = counted(
        (GONE, 500),
        (GONE, 1),
        (UNPROVEN, 2),
        (UNPROVEN, 3),
        (KEPT, 2),
        (OTHER, 3),
        (MENDED, 4),
        (MENDED, 1),
        (WAITS, 6),
    )
    document = told.document()
    failures = document.pop("failures")
    assert (
        document.items()
        >= {
            "rows": 522,
            "files": {"succeeded": 506, "already_absent": 5, "failed": 5, "unprocessed": 6},
            "outcomes": {"unlinked": 506, "already_absent": 5, "dead": 5},
            "unproven": 5,
            "unprocessed": {"not_sent": 6},
            "letters": {"waits": 2, "replayed": 5, "discarded": 3, "forgotten": 0},
            "succeeded_by_replay": 5,
        }.items()
    )
    assert failures == [
        {
            "reason": "NotDeletable",
            "count": 5,
            "happened": NotDeletable.happened,
            "advice": NotDeletable.advice,
            "replay": "mended",
            "example": "168: kept",
        }
    ]


def test_one_row_at_a_time() -> None:
    counts = Counts(Action.UNLINK)
    for _ in range(3):
        counts.add(UNPROVEN)
    assert (counts.rows, counts.unproven, counts.parts["already_absent"]) == (3, 3, 3)


@pytest.mark.parametrize(
    ("end", "succeeded"),
    [(GONE, True), (UNPROVEN, True), (MENDED, True), (KEPT, False), (LATER, False), (WAITS, False)],
)
def test_whether_nothing_is_left_to_do(end: RowEnd, succeeded: bool) -> None:
    assert counted((GONE, 1), (end, 1)).succeeded is succeeded


def test_a_replay_that_failed_mends_nothing() -> None:
    again = RowEnd(part=Part.FAILED, outcome="dead", reason="NotDeletable", letter=LetterState.REPLAYED)
    counts = counted((again, 2), (OTHER, 1))
    assert (counts.mended, counts.failed["NotDeletable"], counts.by_letter["replayed"]) == (0, 3, 2)


def test_a_discarded_letter_of_a_row_that_is_no_failure_mends_nothing() -> None:
    assert counted((RowEnd(part=Part.SUCCEEDED, letter=LetterState.DISCARDED), 1)).mended == 0


def test_reasons_that_are_not_known() -> None:
    forgotten, later = counted((FORGOTTEN, 2), (LATER, 1)).failures
    assert (forgotten.reason, forgotten.replay, forgotten.example) == (UNKNOWN_REASON, "mended", "")
    assert "no longer kept" in forgotten.happened
    assert "plan again" in forgotten.advice
    assert (later.reason, later.replay, later.example) == ("OfALaterVersion", "mended", "?")
    assert "does not know the reason" in later.happened
    assert "update" in later.advice


def test_the_most_first_and_in_words_of_what_was_to_be_done() -> None:
    refused = RowEnd(part=Part.FAILED, outcome="dead", reason="NotRestorable", code=5, message="x")
    passing = RowEnd(part=Part.FAILED, outcome="dead", reason="Exhausted", message="y")
    first, second = counted((refused, 1), (passing, 2), action=Action.RESTORE).failures
    assert (first.reason, first.replay, first.happened) == ("Exhausted", "transient", Exhausted.happened_restoring)
    assert (second.reason, second.example, second.happened) == ("NotRestorable", "5: x", NotRestorable.happened)
    (deleting, _) = counted((passing, 2), (refused, 1)).failures
    assert deleting.happened == Exhausted.happened
