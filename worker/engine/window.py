"""The window: how many jobs a process holds at once. Too few starve its requests, too many are repeated after a crash.

By Little's law the jobs on their way are rate times round trip; twice that keeps the next requests full. The window
starts small, at most doubles each time while the rate keeps growing with it, and sinks slowly.
"""

from collections.abc import Iterable
from dataclasses import dataclass

LOWEST = 200
HIGHEST = 5000
PER_ACCOUNT = 50  # jobs; with many accounts each needs some at hand, or its requests hold one job each
SINK = 0.97  # of the window, each time


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a window is never outside of."""

    lowest: int
    highest: int

    @classmethod
    def for_accounts(cls, accounts: Iterable[tuple[int, int]]) -> "Bounds":
        """From (actions per request, requests in flight) of each account: two full requests, and twice all."""
        pairs = list(accounts)
        lowest = max([LOWEST, *(2 * actions for actions, _ in pairs)])
        on_the_wire = sum(actions * in_flight for actions, in_flight in pairs)
        highest = max(lowest, min(HIGHEST, 2 * on_the_wire))
        return cls(min(highest, max(lowest, PER_ACCOUNT * len(pairs))), highest)


def next_window(window: int, jobs_per_second: float, round_trip: float, bounds: Bounds) -> int:
    """The window for the next moment. `round_trip`: seconds a request takes, with its bookkeeping."""
    wanted = 2 * jobs_per_second * round_trip
    tuned = min(wanted, 2 * window) if wanted > window else max(wanted, SINK * window)
    return int(max(bounds.lowest, min(bounds.highest, tuned)))
