"""What a report says of each row, and how it counts: every row of the plan is in exactly one file."""

import csv
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exits import CommandError
from gateway.report.given import Given
from gateway.report.table import COLUMNS, header
from gateway.report.writing import write_rows
from worker.unlinking.chunk import RowState
from worker.unlinking.errors import REASONS
from worker.unlinking.job import Relation
from worker.unlinking.plan import Action, PlanRow, Standing, is_sent
from worker.unlinking.report import (
    PARTS,
    LetterState,
    Open,
    Part,
    RowEnd,
    Trace,
    left_out_end,
    letter_end,
    of_one_row,
    row_end,
)
from worker.unlinking.report_counts import Counts
from worker.unlinking.runs import RunState

LETTERS = (RowState.DEAD, RowState.EXPIRED)
DEAD = json.dumps({"reason": "NotDeletable", "code": 168, "message": "kept", "evidence": "answered", "proven": True})


def letter(**more: str) -> Trace:
    return Trace(**{"id": "r.0:1", "status": "ended", "outcome": "dead", "evidence": DEAD} | more)


ODD = st.text(alphabet=st.sampled_from("=+-@\t\r\n,;\"'aä\x00\ud800"), max_size=8)
EVIDENCE = st.builds(
    lambda reason, code, message: json.dumps({"reason": reason, "code": code, "message": message}),
    st.sampled_from([*REASONS, "Later", ""]),
    st.none() | st.integers(0, 304),
    st.text(alphabet="=x\r\n,\"'\ud800", max_size=6),
)
TRACES = st.builds(
    Trace,
    id=st.sampled_from(["r.0:1", "j", "=j"]),
    status=st.sampled_from(["", "queued", "ended"]),
    outcome=st.sampled_from(["", "dead", "expired", "unlinked", "already_absent", "restored", "cancelled"]),
    evidence=EVIDENCE | st.just(""),
    discarded_at=st.sampled_from(["", "1"]),
)


@st.composite
def row_ends(draw: st.DrawFn, action: Action) -> RowEnd:
    state = draw(st.sampled_from(RowState))
    if state in LETTERS:
        return letter_end(action, state, draw(st.lists(TRACES, min_size=1, max_size=4)))
    return row_end(action, draw(st.sampled_from(RunState)), state, draw(st.sampled_from(["", "answered", "read_back"])))


@st.composite
def plans(draw: st.DrawFn) -> tuple[Action, Sequence[str], list[PlanRow], list[RowEnd]]:
    action = draw(st.sampled_from(Action))
    columns = draw(st.lists(ODD | st.sampled_from(["row", "Outcome", "name"]), max_size=4))
    standings = draw(st.lists(st.sampled_from(Standing), max_size=30))
    standings.sort(key=lambda standing: not is_sent(action, standing))
    kinds = st.sampled_from(["calendar:address", "user:messengerUser:is"])
    rows = [
        PlanRow(
            Relation(draw(kinds), place + 1, 5), standing, draw(ODD), tuple(draw(st.lists(ODD, max_size=len(columns))))
        )
        for place, standing in enumerate(standings)
    ]
    sent = sum(is_sent(action, standing) for standing in standings)
    return action, columns, rows, [draw(row_ends(action)) for _ in range(sent)]


def read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        return list(reader.fieldnames or []), list(reader)


@given(plans())
def test_every_row_is_in_exactly_one_file_and_the_counts_add_up(
    plan: tuple[Action, Sequence[str], list[PlanRow], list[RowEnd]],
) -> None:
    action, columns, rows, ends = plan
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = Given(columns, len(ends), len(rows) - len(ends), iter(rows), None)
        counts = write_rows(folder, source, ends, action, lambda _: None)
        assert {path.name for path in folder.iterdir()} == {f"{part}.csv" for part in PARTS[action]}
        tables = {part: read(folder / f"{part}.csv") for part in PARTS[action]}
    assert json.dumps(counts.document(), ensure_ascii=False).encode()
    found = Counter(int(line["parentid"]) for _, lines in tables.values() for line in lines)
    assert found == Counter(row.relation.parentid for row in rows)
    assert {part: len(lines) for part, (_, lines) in tables.items()} == counts.parts
    assert counts.rows == len(rows) == sum(counts.parts.values())
    assert sum(failure.count for failure in counts.failures) == counts.parts[Part.FAILED]
    assert sum(counts.open.values()) == counts.parts[Part.UNPROCESSED]
    assert counts.succeeded is (not tables[Part.FAILED][1] and not tables[Part.UNPROCESSED][1])
    for names, lines in tables.values():
        assert names == [each.encode("utf-8", "backslashreplace").decode() for each in header(columns)]
        assert len({each.strip().casefold() for each in names}) == len(names), "no column hides another"
        for line in lines:
            assert None not in line, "no cell is left over"
            assert not any(str(value).startswith(("=", "+", "-", "@", "\t", "\r")) for value in line.values())
            if line["row"]:
                assert rows[int(line["row"])].relation.parentid == int(line["parentid"])


def test_the_inputs_columns_keep_their_names_unless_ours_would_hide_them() -> None:
    assert header(["name", "parentid", "Row", "input_parentid", "name"]) == [
        "name",
        "input_parentid",
        "input_Row",
        "input_input_parentid",
        "input_name",
        *COLUMNS,
    ]


@pytest.mark.parametrize(
    ("action", "standing", "part", "outcome", "proven", "message"),
    [
        (Action.UNLINK, Standing.ABSENT, Part.ALREADY_ABSENT, "already_absent", True, "seen absent when planned"),
        (Action.UNLINK, Standing.NOT_SEEN, Part.ALREADY_ABSENT, "already_absent", False, "seen absent when planned"),
        (Action.RESTORE, Standing.PRESENT, Part.ALREADY_PRESENT, "already_present", True, "seen present when planned"),
    ],
)
def test_rows_that_the_plan_left_out_are_told_of(
    action: Action, standing: Standing, part: Part, outcome: str, proven: bool, message: str
) -> None:
    end = left_out_end(action, PlanRow(Relation("calendar:address", 1, 2), standing))
    assert (end.part, end.outcome, end.proven, end.evidence, end.message) == (
        part,
        outcome,
        proven,
        "read_back",
        message,
    )


@pytest.mark.parametrize(
    ("kind", "words"), [("user:messengerUser:is", "read only"), ("calendar:address", "protected, or not among")]
)
def test_rows_that_were_refused_are_unprocessed_and_say_why(kind: str, words: str) -> None:
    end = left_out_end(Action.UNLINK, PlanRow(Relation(kind, 1, 2), Standing.REFUSED))
    assert (end.part, end.reason, end.outcome) == (Part.UNPROCESSED, Open.REFUSED, "")
    assert words in end.message


@pytest.mark.parametrize(
    ("state", "part", "outcome", "proven"),
    [
        (RowState.UNLINKED, Part.SUCCEEDED, "unlinked", True),
        (RowState.UNLINKED_UNPROVEN, Part.SUCCEEDED, "unlinked", False),
        (RowState.ALREADY_ABSENT, Part.ALREADY_ABSENT, "already_absent", True),
        (RowState.ALREADY_ABSENT_UNPROVEN, Part.ALREADY_ABSENT, "already_absent", False),
        (RowState.CANCELLED, Part.UNPROCESSED, "cancelled", None),
        (RowState.PENDING, Part.UNPROCESSED, "", None),
        (RowState.SENT, Part.UNPROCESSED, "", None),
        (RowState.RESTORED, Part.FAILED, "restored", True),  # no success of a run that was to unlink
    ],
)
def test_the_byte_of_a_row_says_in_which_part_it_is(state: RowState, part: Part, outcome: str, proven: bool) -> None:
    end = row_end(Action.UNLINK, RunState.RUNNING, state)
    assert (end.part, end.outcome, end.proven) == (part, outcome, proven)


def test_a_restore_has_parts_of_its_own() -> None:
    assert row_end(Action.RESTORE, RunState.DONE, RowState.RESTORED).part is Part.SUCCEEDED
    assert row_end(Action.RESTORE, RunState.DONE, RowState.ALREADY_PRESENT).part is Part.ALREADY_PRESENT
    assert row_end(Action.RESTORE, RunState.DONE, RowState.UNLINKED).part is Part.FAILED


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (RunState.LOADING, "has not begun"),
        (RunState.RUNNING, "not sent yet"),
        (RunState.PAUSED, "paused"),
        (RunState.STOPPED, "a brake stopped"),
        (RunState.CANCELLED, "cancelled"),
        (RunState.DONE, "no longer kept"),
    ],
)
def test_a_row_that_was_not_sent_says_why(run: RunState, words: str) -> None:
    assert words in row_end(Action.UNLINK, run, RowState.PENDING).message


def replay(**more: str) -> Trace:
    return Trace(**{"id": "j1", "status": "ended"} | more)


GONE = json.dumps({"evidence": "read_back", "proven": False})
OTHER = json.dumps({"reason": "MissingRight", "code": 24, "message": "no right"})


@pytest.mark.parametrize(
    ("chain", "part", "state", "outcome", "reason", "words"),
    [
        ([letter()], Part.FAILED, LetterState.WAITS, "dead", "NotDeletable", "kept"),
        ([letter(discarded_at="1")], Part.FAILED, LetterState.DISCARDED, "dead", "NotDeletable", "kept"),
        ([Trace("r.0:1")], Part.FAILED, LetterState.FORGOTTEN, "dead", "Unknown", "no longer kept"),
        (
            [letter(replayed_as="j1"), replay(status="queued")],
            Part.FAILED,
            LetterState.REPLAYED,
            "dead",
            "NotDeletable",
            "replayed as j1, which is queued",
        ),
        (
            [letter(replayed_as="j1"), Trace("j1")],
            Part.FAILED,
            LetterState.REPLAYED,
            "dead",
            "NotDeletable",
            "of which nothing is kept",
        ),
        (
            [letter(replayed_as="j1"), replay(outcome="unlinked", evidence=GONE)],
            Part.SUCCEEDED,
            LetterState.REPLAYED,
            "unlinked",
            "",
            "a replay of its dead letter (NotDeletable) did it",
        ),
        (
            [letter(replayed_as="j1"), replay(outcome="dead", evidence=OTHER)],
            Part.FAILED,
            LetterState.WAITS,
            "dead",
            "MissingRight",
            "no right; replayed as j1, which ended dead",
        ),
        (
            [letter(replayed_as="j1"), replay(outcome="cancelled")],
            Part.FAILED,
            LetterState.REPLAYED,
            "dead",
            "NotDeletable",
            "which ended cancelled",
        ),
    ],
)
def test_dead_letters_are_followed_to_what_became_of_them(
    chain: list[Trace], part: Part, state: LetterState, outcome: str, reason: str, words: str
) -> None:
    end = letter_end(Action.UNLINK, RowState.DEAD, chain)
    assert (end.part, end.letter, end.outcome, end.reason) == (part, state, outcome, reason)
    assert words in end.message
    assert end.replayed_as == ("j1" if len(chain) > 1 else "")


def test_what_a_replay_did_is_as_proven_as_it_says() -> None:
    chain = [letter(replayed_as="j1"), replay(outcome="already_absent", evidence=GONE)]
    end = letter_end(Action.UNLINK, RowState.DEAD, chain)
    assert (end.part, end.proven, end.evidence) == (Part.ALREADY_ABSENT, False, "read_back")
    assert letter_end(Action.RESTORE, RowState.DEAD, chain).part is Part.FAILED, "a restore wants it present"


@pytest.mark.parametrize(
    ("counts", "outcome", "follows"),
    [
        ({"restored": 1}, "restored", ""),
        ({"already_present": 1}, "already_present", ""),
        ({"cancelled": 1}, "cancelled", ""),
        ({"dead": 1}, "", "j1:0"),
        ({"expired": 1}, "", "j1:0"),
        ({}, "", ""),
    ],
)
def test_a_replay_that_is_a_chunk_is_told_of_as_its_one_row(counts: dict[str, int], outcome: str, follows: str) -> None:
    told = {"outcome": "done", "restored": 0, "dead": 0, "unproven": 0} | counts
    trace = of_one_row(replay(outcome="done", evidence=json.dumps(told)))
    assert (trace.id, trace.outcome, trace.replayed_as) == ("j1", outcome, follows)


def test_the_failures_of_a_restore_are_explained_as_such() -> None:
    counts = Counts(Action.RESTORE)
    counts.add(letter_end(Action.RESTORE, RowState.DEAD, [letter(evidence=OTHER)]))
    assert counts.failures[0].happened == REASONS["MissingRight"].explain(restore=True)[0]


def test_failures_are_counted_by_reason_with_what_to_do() -> None:
    counts = Counts(Action.UNLINK)
    counts.add(letter_end(Action.UNLINK, RowState.DEAD, [letter()]), 3)
    counts.add(letter_end(Action.UNLINK, RowState.DEAD, [Trace("r.0:2")]))
    counts.add(letter_end(Action.UNLINK, RowState.DEAD, [letter(evidence=json.dumps({"reason": "Later"}))]))
    counts.add(row_end(Action.UNLINK, RunState.DONE, RowState.UNLINKED), 5)
    first, *others = counts.failures
    assert (first.reason, first.count, first.example) == ("NotDeletable", 3, "168: kept")
    assert "Unlink it by hand" in first.advice
    assert {failure.reason for failure in others} == {"Unknown", "Later"}
    assert all(failure.happened and failure.advice for failure in others)
    assert counts.document()["letters"] == {"waits": 4, "replayed": 0, "discarded": 0, "forgotten": 1}


def test_a_run_whose_rows_are_not_all_there_gets_no_report(tmp_path: Path) -> None:
    rows = [PlanRow(Relation("calendar:address", 1, 2), Standing.PRESENT)]
    source = Given((), 2, 0, iter(rows), None)
    with pytest.raises(CommandError, match="1 of 2 rows"):
        write_rows(tmp_path, source, [RowEnd(part=Part.SUCCEEDED)] * 2, Action.UNLINK, lambda _: None)
