"""What a chunk is read from: a bad row is its own dead end, a bad argument the whole chunk's."""

import pytest

from worker.unlinking.chunk import MAX_FIRST_ROW, MAX_ROWS, MAX_RUN_NAME, Chunk, RowState, Unreadable
from worker.unlinking.errors import BadArguments
from worker.unlinking.job import Job, JobTerms, Relation

ROW = ["calendar:address", 671, 153]
TERMS = {"account": "berlin", "requested_by": "me", "reason": "wrong import", "not_after": 1_800_000_000}


def test_all_of_it() -> None:
    rows = [ROW, ["estate:address:owner", 1, 2]]
    chunk = Chunk.from_arguments("c", {"relations": rows, "run": "r", "first_row": 500, **TERMS})
    terms = JobTerms(account="berlin", requested_by="me", reason="wrong import", not_after=1_800_000_000)
    assert chunk == Chunk(
        id="c",
        rows=(
            Job(id="c:0", relation=Relation("calendar:address", 671, 153), terms=terms),
            Job(id="c:1", relation=Relation("estate:address:owner", 1, 2), terms=terms),
        ),
        terms=terms,
        run="r",
        first_row=500,
        restore=False,
    )


def test_what_is_left_out() -> None:
    chunk = Chunk.from_arguments("c", {"relations": [ROW]})
    assert (chunk.run, chunk.first_row, chunk.terms, chunk.restore) == ("c", 0, JobTerms(), False)
    assert Chunk.from_arguments("c", {"relations": [ROW]}, restore=True).restore


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"run": "r"},
        {"relations": [ROW], "relationtype": "x"},
        {"relations": None},
        {"relations": []},
        {"relations": "x"},
        {"relations": (ROW,)},
        {"relations": [ROW] * (MAX_ROWS + 1)},
        {"relations": [ROW], "run": ""},
        {"relations": [ROW], "run": 5},
        {"relations": [ROW], "run": "r" * (MAX_RUN_NAME + 1)},
        {"relations": [ROW], "first_row": -1},
        {"relations": [ROW], "first_row": None},
        {"relations": [ROW], "first_row": True},
        {"relations": [ROW], "first_row": "1"},
        {"relations": [ROW], "first_row": 1.0},
        {"relations": [ROW], "first_row": MAX_FIRST_ROW + 1},
        {"relations": [ROW], "account": 5},
    ],
    ids=str,
)
def test_what_spoils_the_whole_chunk(arguments: dict[str, object]) -> None:
    with pytest.raises(BadArguments):
        Chunk.from_arguments("c", arguments)


def test_at_the_edge() -> None:
    edge = {"relations": [ROW] * MAX_ROWS, "run": "r" * MAX_RUN_NAME, "first_row": MAX_FIRST_ROW}
    chunk = Chunk.from_arguments("c", edge)
    assert (len(chunk.rows), len(chunk.run), chunk.first_row) == (500, 100, 2**31)
    assert Chunk.from_arguments("c", {"relations": [ROW], "run": "r"}).run == "r"


BAD_ROWS: list[object] = [
    None,
    "calendar:address",
    [],
    ROW[:2],
    [*ROW, "more"],
    {"relationtype": "calendar:address"},
    ["no:type", 1, 2],
    ["user:messengerUser:is", 1, 2],
    ["calendar:address", 0, 2],
    ["calendar:address", 1, "2"],
]


@pytest.mark.parametrize("bad", BAD_ROWS, ids=str)
def test_a_bad_row_is_its_own_dead_end(bad: object) -> None:
    chunk = Chunk.from_arguments("c", {"relations": [ROW, bad, ROW]})
    first, fault, last = chunk.rows
    assert isinstance(first, Job)
    assert isinstance(last, Job)
    assert (first.id, last.id) == ("c:0", "c:2")
    assert isinstance(fault, Unreadable)
    assert "; the row is " in fault.error.text


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (None, None),
        (ROW[:2], None),
        ([*ROW, "more"], Relation("calendar:address", 671, 153)),
        (["no:type", 1, 2], Relation("no:type", 1, 2)),
        (["calendar:address", 0, 7], Relation("calendar:address", 0, 7)),
        ([5, True, "x"], Relation("", 0, 0)),
    ],
    ids=str,
)
def test_a_bad_row_is_found_by_what_it_names(bad: object, named: Relation | None) -> None:
    (fault,) = Chunk.from_arguments("c", {"relations": [bad]}).rows
    assert isinstance(fault, Unreadable)
    assert fault.named == named


def test_a_long_bad_row_is_told_in_part() -> None:
    (fault,) = Chunk.from_arguments("c", {"relations": ["x " * 5_000]}).rows
    assert isinstance(fault, Unreadable)
    assert "x x" in fault.error.text
    assert len(fault.error.text) < 500


def test_rows_to_be_restored() -> None:
    rows = [ROW, [*ROW, "confirmed"], ["user:messengerUser:is", 1, 2]]
    chunk = Chunk.from_arguments("c", {"relations": rows, **TERMS}, restore=True)
    relation = Relation("calendar:address", 671, 153)
    assert chunk.rows[:2] == (
        Job(id="c:0", relation=relation, terms=chunk.terms, restore=True),
        Job(id="c:1", relation=relation, terms=chunk.terms, restore=True, confirmation="confirmed"),
    )
    assert chunk.terms.account == "berlin"
    fault = chunk.rows[2]
    assert isinstance(fault, Unreadable)
    assert fault.named == Relation("user:messengerUser:is", 1, 2)


def test_a_byte_that_nobody_wrote_may_have_been_sent() -> None:
    """So it is looked at before anything is sent."""
    assert [RowState.of(state.value[0]) for state in RowState] == list(RowState)
    assert RowState.of(ord("?")) is RowState.SENT
    assert not RowState.of(ord("?")).is_final
    assert {state for state in RowState if not state.is_final} == {RowState.PENDING, RowState.SENT}
