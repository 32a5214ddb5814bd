"""Work at a steady rate."""

import time
from collections.abc import Callable


class Pacer:
    """At most so many a second, counted from the start: who was held up may catch up."""

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._start = clock()
        self._done = 0

    def keep(self, count: int) -> None:
        """`count` more are done: return when the next may be."""
        self._done += count
        self._sleep(max(0.0, self._start + self._done / self._per_second - self._clock()))
