"""The window of a worker: follows rate times round trip, within its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from worker.engine.window import HIGHEST, LOWEST, Bounds, next_window

WIDE = Bounds(200, 5000)


def settle(per_second_allowed: float, round_trip: float, bounds: Bounds = WIDE) -> int:
    """Where the window comes to rest if it is all that bounds the rate, up to what is allowed."""
    window = 400
    for _ in range(40):
        window = next_window(window, min(per_second_allowed, window / round_trip), round_trip, bounds)
    return window


def test_a_long_round_trip_gets_a_window_that_does_not_bound_the_rate() -> None:
    assert settle(4000, 0.2) == 1600
    assert settle(4000, 0.05) == 400


def test_a_slow_account_keeps_two_full_requests_at_hand() -> None:
    assert settle(10, 0.05) == LOWEST
    assert Bounds.for_accounts([(500, 1)]) == Bounds(1000, 1000)
    assert Bounds.for_accounts([(50, 4)]) == Bounds(200, 400)


@given(st.integers(1, HIGHEST), st.floats(0, 1e6), st.floats(0, 100), st.integers(1, 500), st.integers(1, 1000))
def test_it_stays_within_its_bounds_and_never_leaps(
    window: int, rate: float, round_trip: float, actions: int, in_flight: int
) -> None:
    bounds = Bounds.for_accounts([(actions, in_flight)])
    found = next_window(window, rate, round_trip, bounds)
    assert bounds.lowest <= found <= bounds.highest
    assert found <= max(2 * window, bounds.lowest)


def test_many_accounts_have_some_jobs_each_at_hand_from_the_start() -> None:
    assert Bounds.for_accounts([(50, 4)] * 40) == Bounds(2000, HIGHEST)
    assert Bounds.for_accounts([(1, 1)] * 40).lowest == LOWEST
