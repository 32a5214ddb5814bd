"""Reading records page by page: what is asked for, and the proof that none was missed."""

from collections.abc import Mapping, Sequence

import pytest

from worker.onoffice.pages import PAGE, Condition, Pages, PagesMisfit, Query, Record
from worker.onoffice.protocol import READ, Action
from worker.onoffice.replies import Answer


def page(ids: Sequence[object], total: int | None) -> Answer:
    records = tuple({"id": each, "elements": {"Id": each}} for each in ids)
    return Answer(0, "OK", records, None, total)


def test_what_is_asked_for() -> None:
    conditions = (Condition("status", "is", 1), Condition("status", "!=", 2), Condition("kind", "in", ["a", "b"]))
    assert Query("estate", conditions, ("Id", "ort")).action("a", 500) == Action(
        "a",
        READ,
        "estate",
        {
            "data": ["Id", "ort"],
            "filter": {
                "status": [{"op": "is", "val": 1}, {"op": "!=", "val": 2}],
                "kind": [{"op": "in", "val": ["a", "b"]}],
            },
            "listlimit": 500,
            "listoffset": 500,
            "sortby": "Id",
            "sortorder": "ASC",
        },
    )


@pytest.mark.parametrize(("resource", "sorted_by"), [("estate", "Id"), ("address", "KdNr")])
def test_without_fields_the_id_is_read(resource: str, sorted_by: str) -> None:
    parameters = Query(resource).action("a", 0).parameters
    assert (parameters["data"], parameters["sortby"], parameters["filter"]) == ([sorted_by], sorted_by, {})


def test_pages_of_500_until_all_are_there() -> None:
    pages = Pages()
    assert (pages.offset, pages.complete, pages.total) == (0, False, None)
    assert len(pages.take(page(range(1, 501), 1100))) == PAGE
    assert (pages.offset, pages.complete, pages.total) == (500, False, 1100)
    pages.take(page(range(501, 1001), 1100))
    assert not pages.complete
    last = pages.take(page(range(1001, 1101), 1100))
    assert (pages.offset, pages.complete) == (1100, True)
    assert last[0] == Record(1001, {"Id": 1001})


def test_none_at_all_is_complete() -> None:
    pages = Pages()
    assert pages.take(page([], 0)) == []
    assert pages.complete


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([page([1], None)], "does not say how many"),
        ([page([1, 2], 3)], "the page at 0 has 2 records where 3 are due"),
        ([page([1, 2, 3], 2)], "the page at 0 has 3 records where 2 are due"),
        ([page([1, 1], 2)], "came twice"),
        ([page(range(1, 500), 501)], "has 499 records where 500 are due"),
        ([page(range(1, 502), 501)], "has 501 records where 500 are due"),
        ([page(range(1, 501), 501), page([501], 502)], "there were 501 records, now 502"),
        ([page(range(1, 501), 501), page([], 500)], "there were 501 records, now 500"),
        ([page(range(1, 501), 501), page([], 501)], "the page at 500 has 0 records where 1 are due"),
        ([page(range(1, 501), 501), page([500], 501)], "came twice"),
        ([page(range(1, 501), 502), page([501, 501], 502)], "came twice"),
    ],
)
def test_pages_that_may_have_missed_one_are_an_error(answers: Sequence[Answer], why: str) -> None:
    pages = Pages()
    for answer in answers[:-1]:
        pages.take(answer)
    with pytest.raises(PagesMisfit, match=why):
        pages.take(answers[-1])
    assert not pages.complete


@pytest.mark.parametrize(("given", "id_"), [(7, 7), ("7", 7), ("9" * 19, int("9" * 19))])
def test_ids_are_numbers_or_their_text(given: object, id_: int) -> None:
    (record,) = Pages().take(page([given], 1))
    assert record.id == id_


@pytest.mark.parametrize("given", [None, "", "x", "-1", -1, 0, "0", True, 1.0, [], "٣", "9" * 20, "1 "])
def test_what_is_no_id_is_an_error(given: object) -> None:
    with pytest.raises(PagesMisfit, match="without an id"):
        Pages().take(page([given], 1))


def test_a_strange_id_is_told_in_a_few_characters() -> None:
    with pytest.raises(PagesMisfit) as told:
        Pages().take(page(["x" * 1000], 1))
    assert str(told.value).endswith(f"'{'x' * 30}'")


@pytest.mark.parametrize("record", [{"id": 1}, {"id": 1, "elements": []}, {"id": 1, "elements": None}])
def test_a_record_without_fields_is_a_record(record: Mapping[str, object]) -> None:
    assert Pages().take(Answer(0, "OK", (record,), None, 1)) == [Record(1, {})]
