"""Stamps of messages, and outcomes read back from records: what anybody may have written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.settling import as_settled, as_stored
from worker.engine.stamps import stamps_of
from worker.stores.cancelling import stamp
from worker.unlinking.attribution import By
from worker.unlinking.outcome import Evidence, Kind, Outcome


def test_each_value_of_each_stamp_is_one() -> None:
    headers = {"stamped_headers": ["tenant", "batch", "gone"], "stamps": {"tenant": ["a", "b"], "batch": 7, "x": "y"}}
    assert stamps_of(headers) == [stamp("tenant", "a"), stamp("tenant", "b"), stamp("batch", 7)]
    assert len({stamp("a", "b"), stamp("a", ["b"]), stamp('a"', "b"), stamp("a", 'b"')}) == 4


@pytest.mark.parametrize("names", [None, "tenant", 7, {}, [None, 7, ["tenant"]]])
@pytest.mark.parametrize("stamps", [None, "x", [], {"tenant": "a"}, {}])
def test_what_is_no_stamp_is_left_out(names: object, stamps: object) -> None:
    assert stamps_of({"stamped_headers": names, "stamps": stamps}) == []
    assert stamps_of({}) == []


@given(
    st.builds(
        Outcome,
        kind=st.sampled_from(Kind),
        evidence=st.none() | st.sampled_from(Evidence),
        proven=st.booleans(),
        by=st.none() | st.sampled_from(By),
        reason=st.none() | st.just("NotDeletable"),
        code=st.none() | st.integers(),
        message=st.text(),
    )
)
def test_a_stored_outcome_is_read_back_as_it_was(outcome: Outcome) -> None:
    stored = as_stored(outcome, 0.0)
    assert as_settled(stored.outcome, stored.evidence) == outcome


def test_a_chunks_end_is_its_result() -> None:
    assert as_settled("done", json.dumps({"outcome": "done", "unlinked": 3})) == {"outcome": "done", "unlinked": 3}
