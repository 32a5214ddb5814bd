"""The bounds of a plan's size."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from worker.unlinking.brakes import SMALL, Brakes, Excess, count_going, excesses
from worker.unlinking.job import Relation
from worker.unlinking.plan import Action, PlanHead, PlanRow, Standing

KIND = "calendar:address"


def head(sent: int, existing: int | None = None, extents: Mapping[int, int] | None = None, **more: object) -> PlanHead:
    values: dict[str, object] = {
        "id": "p",
        "action": Action.UNLINK,
        "account": "default",
        "made_at": 0.0,
        "expires_at": 1.0,
        "made_by": "x",
        "because": "",
        "source": "s",
        "rows": sent,
        "left_out": 0,
        "counts": {KIND: {Standing.PRESENT: sent}},
        "existing": None if existing is None else {KIND: existing},
        "extents": None if extents is None else {KIND: extents},
    }
    return PlanHead(**(values | more))  # type: ignore[arg-type]  # the values stand above


def test_a_plan_within_its_bounds_may_go() -> None:
    assert excesses(head(500, 1000), {}, Brakes()) == []
    assert excesses(head(3), {}, Brakes()) == []


def test_too_many_name_the_number_that_would_allow_them() -> None:
    (found,) = excesses(head(501), {}, Brakes())
    assert (found.option, found.value) == ("--max-deletions", "501")
    assert excesses(head(501), {}, Brakes(most=501)) == []
    (found,) = excesses(head(501, action=Action.RESTORE), {}, Brakes())
    assert found.option == "--max-restores"


def test_a_share_of_what_exists_counts_per_type_and_per_parent() -> None:
    assert excesses(head(60, 100), {}, Brakes()) == [
        Excess("--max-share", "0.6", f"60 of the 100 links of {KIND} that were seen would go, more than 50%")
    ]
    plan = head(30, 1000, {7: 40, 8: 960})
    rows = [PlanRow(Relation(KIND, 7, child), Standing.PRESENT) for child in range(1, 31)]
    (found,) = excesses(plan, count_going(plan, rows), Brakes())
    assert found.value == "0.75"
    assert "below 7" in found.why


def test_half_of_a_few_is_no_catastrophe() -> None:
    assert excesses(head(SMALL - 1, SMALL - 1), {}, Brakes()) == []


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 5000), st.floats(0, 1))
def test_what_the_message_names_is_enough_and_not_more_than_needed(
    sent: int, more: int, most: int, share: float
) -> None:
    plan, brakes = head(sent, sent + more), Brakes(most=most, max_share=share)
    allowed = {"--max-deletions": most, "--max-share": share}
    for each in excesses(plan, {}, brakes):
        assert float(each.value) > allowed[each.option]
        allowed[each.option] = float(each.value)
    released = Brakes(most=int(allowed["--max-deletions"]), max_share=allowed["--max-share"])
    assert excesses(plan, {}, released) == []
