"""Chunks of links that are to be there again: which rows are read, and how their ends are counted."""

import pytest

from worker.unlinking.attribution import By
from worker.unlinking.chunk import Chunk, RowState, RowTold, Unreadable, outcome_of, state_of, tally
from worker.unlinking.errors import REASONS
from worker.unlinking.job import Job, Relation
from worker.unlinking.outcome import Evidence, Kind, Outcome


def read(*rows: object) -> list[Job | Unreadable]:
    return list(Chunk.from_arguments("c", {"relations": list(rows)}, restore=True).rows)


def test_rows_may_name_the_confirmation_status() -> None:
    plain, kept, none, urn = read(
        ["estate:address:owner", 1, 2],
        ["calendar:address", 1, 2, "not-set"],
        ["calendar:address", 1, 2, None],
        ["urn:onoffice-de-ns:smart:2.5:relationTypes:calendar:address", 1, 2, "sent"],
    )
    jobs = [job for job in (plain, kept, none, urn) if isinstance(job, Job)]
    assert [job.confirmation for job in jobs] == [None, "not-set", None, "sent"]
    assert all(job.restore for job in jobs)
    assert jobs[3].relation == Relation("calendar:address", 1, 2)


@pytest.mark.parametrize(
    ("row", "reason", "words"),
    [
        (["calendar:address", 1], "BadArguments", "a row must be"),
        (["calendar:address", 1, 2, "sent", 5], "BadArguments", "a row must be"),
        (["calendar:address", 1, 2, "bestätigt"], "BadArguments", "must be one of confirmed"),
        (["calendar:address", 1, 2, ["sent"]], "BadArguments", "must be one of confirmed"),
        (["estate:address:owner", 1, 2, "sent"], "BadArguments", "only links of calendar:address"),
        (["calendar:address", "1", 2], "BadArguments", "parentid must be an integer"),
        (["task:address", 1, 2], "UnknownRelationType", "cannot be created"),
        (["user:messengerUser:is", 1, 2], "UnknownRelationType", "cannot be created"),
        (["calendar:adress", 1, 2], "UnknownRelationType", "did you mean calendar:address"),
        ("no row", "BadArguments", "a row must be"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(row: object, reason: str, words: str) -> None:
    (fault,) = read(row)
    assert isinstance(fault, Unreadable)
    assert fault.error.reason == reason
    assert words in fault.error.text


def test_a_row_to_be_deleted_has_no_status() -> None:
    (fault,) = Chunk.from_arguments("c", {"relations": [["calendar:address", 1, 2, "sent"]]}).rows
    assert isinstance(fault, Unreadable)


def test_ends_of_restores_have_bytes_of_their_own() -> None:
    for kind, byte in ((Kind.RESTORED, b"r"), (Kind.ALREADY_PRESENT, b"p")):
        outcome = Outcome(kind=kind, evidence=Evidence.READ_BACK)
        assert outcome.succeeded
        assert state_of(outcome).value == byte
        assert outcome_of(RowState(byte)) == RowTold(str(kind), proven=True, by=None)
    counts = tally(b"rrpdeucaA")
    assert (counts["restored"], counts["already_present"], counts["unlinked"], counts["unproven"]) == (2, 1, 1, 1)
    assert sum(counts.values()) - counts["unproven"] == 9


def test_every_reason_can_be_told_of_a_restore_too() -> None:
    for error in REASONS.values():
        for restore in (False, True):
            happened, advice = error.explain(restore=restore)
            assert happened.endswith(".")
            assert advice


@pytest.mark.parametrize(("more", "seen"), [([], False), ([True], True), ([False], False)])
def test_a_row_to_be_deleted_may_say_that_it_was_seen(more: list[object], seen: bool) -> None:
    (job,) = Chunk.from_arguments("c", {"relations": [["calendar:address", 1, 2, *more]]}).rows
    assert isinstance(job, Job)
    assert job.seen is seen


@pytest.mark.parametrize("more", [[1], ["true"], [None], [True, True]])
def test_what_else_a_row_says_is_refused(more: list[object]) -> None:
    (fault,) = Chunk.from_arguments("c", {"relations": [["calendar:address", 1, 2, *more]]}).rows
    assert isinstance(fault, Unreadable)


@pytest.mark.parametrize("by", By)
@pytest.mark.parametrize("kind", [Kind.UNLINKED, Kind.ALREADY_ABSENT, Kind.DEAD, Kind.EXPIRED, Kind.CANCELLED])
@pytest.mark.parametrize("proven", [True, False])
def test_a_byte_tells_who_removed_the_link(kind: Kind, by: By, proven: bool) -> None:
    impossible = {(Kind.UNLINKED, By.NOT_US)} | {(each, By.US) for each in Kind if each is not Kind.UNLINKED}
    if (kind, by) in impossible:
        return
    told = outcome_of(state_of(Outcome(kind=kind, proven=proven, by=by)))
    assert (told.outcome, told.by) == (kind, by)
    assert told.proven is (proven or kind not in (Kind.UNLINKED, Kind.ALREADY_ABSENT))
