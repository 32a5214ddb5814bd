"""How the rows of a run are cut into chunks."""

from hypothesis import given
from hypothesis import strategies as st

from worker.unlinking.runs import Layout, chunk_id, is_chunk_of

LAYOUTS = st.builds(Layout, st.integers(1, 5000), st.integers(0, 600), st.integers(1, 500))


@given(LAYOUTS)
def test_the_chunks_cover_every_row_once_and_in_order(layout: Layout) -> None:
    spans = [layout.span(number) for number in range(layout.chunks)]
    rows = [row for first, length in spans for row in range(first, first + length)]
    assert rows == list(range(layout.rows))
    assert all(length > 0 for _, length in spans)


@given(LAYOUTS, st.data())
def test_a_row_is_found_where_the_chunks_put_it(layout: Layout, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, layout.rows - 1))
    number, place = layout.place(row)
    first, length = layout.span(number)
    assert first + place == row
    assert place < length


def test_only_the_first_chunk_is_a_canary() -> None:
    assert [Layout(1200, 10).span(number) for number in range(4)] == [(0, 10), (10, 500), (510, 500), (1010, 190)]
    assert Layout(5, 10).span(0) == (0, 5)
    assert Layout(5, 10).chunks == 1
    assert Layout(0).chunks == 0


def test_a_chunk_that_only_names_a_run_is_none_of_its_chunks() -> None:
    assert is_chunk_of("r", chunk_id("r", 3))
    assert not is_chunk_of("r", "5b1c")
    assert not is_chunk_of("r", "r.x")
    assert not is_chunk_of("r", "s.3")
