"""Who removed a relation: one rule, as a table of what happened before it was found absent."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.unlinking.attribution import By, Known, lag_left, pack, unpack

STEPS: dict[str, Callable[[Known], Known]] = {
    "seen": lambda known: known.after_seen(),
    "error": lambda known: known.after_error(),
    "lost": lambda known: known.after_loss(5.0),
    "success": lambda known: known.after_success(6.0),
    "forgotten": lambda known: Known(forgotten=True),
}


def known(*steps: str) -> Known:
    found = Known()
    for step in steps:
        found = STEPS[step](found)
    return found


@pytest.mark.parametrize(
    ("steps", "by", "unlinked"),
    [
        ((), By.NOT_US, False),  # absent before any request was sent
        (("seen",), By.NOT_US, False),  # its plan saw it; somebody removed it before its turn came
        (("error",), By.NOT_US, False),
        (("error", "error"), By.NOT_US, False),
        (("seen", "error"), By.UNKNOWN, False),
        (("error", "seen"), By.NOT_US, False),  # it was still there after the error
        (("error", "seen", "error"), By.UNKNOWN, False),
        (("seen", "error", "seen"), By.UNKNOWN, False),  # reads lag: the error may hide a deletion
        (("lost",), By.UNKNOWN, True),
        (("seen", "lost"), By.UNKNOWN, True),
        (("lost", "seen"), By.UNKNOWN, True),  # a request given up on may be carried out late
        (("lost", "error"), By.UNKNOWN, True),
        (("error", "lost"), By.UNKNOWN, False),  # an answer had named an error before
        (("error", "seen", "lost"), By.UNKNOWN, True),
        (("success",), By.US, True),
        (("success", "seen"), By.US, True),  # reads lag
        (("lost", "success"), By.US, True),
        (("success", "lost"), By.US, True),
        (("success", "error"), By.US, True),
        (("error", "success"), By.US, True),
        (("forgotten",), By.UNKNOWN, False),
        (("forgotten", "error"), By.UNKNOWN, False),
        (("forgotten", "seen"), By.NOT_US, False),
        (("forgotten", "success"), By.US, True),
    ],
)
def test_who_removed_it(steps: tuple[str, ...], by: By, unlinked: bool) -> None:
    found = known(*steps)
    assert (found.by, found.counts_as_unlinked) == (by, unlinked)


many = st.lists(st.sampled_from(["seen", "error", "lost", "success"]), max_size=8)


@given(many)
def test_it_is_ours_if_success_was_answered_and_never_forgotten_once_a_request_was_lost(steps: list[str]) -> None:
    found = known(*steps)
    assert (found.by is By.US) == ("success" in steps)
    if "lost" in steps or "success" in steps:
        assert found.by is not By.NOT_US
    asked = [step for step in steps if step != "seen"]
    assert found.in_doubt == ("lost" in steps or "success" in steps or (bool(asked) and steps[-1] != "seen"))
    if found.counts_as_unlinked:
        assert found.by is not By.NOT_US


@given(many)
def test_it_outlives_a_process(steps: list[str]) -> None:
    assert unpack(pack(known(*steps))) == known(*steps)


def test_pauses_grow_and_end_when_reads_lag_no_longer() -> None:
    now, pauses = 100.0, []
    while (pause := lag_left(100.0, now, 60.0)) is not None:
        pauses.append(pause)
        now += pause
    assert pauses == [0.5, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 28.0]
    assert now == 160.0
    assert lag_left(None, now, 60.0) is None
    assert lag_left(100.0, 100.0, 0.0) is None
