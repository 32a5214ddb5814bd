"""The records' server's clock, as this process knows it: what several workers must judge alike is judged on it."""

import time


class ServerClock:
    """Redis TIME as it was last heard, carried on by this machine's monotonic clock."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()

    def heard(self, now: float) -> None:
        """The server said that it is `now` (Unix seconds)."""
        self._ahead = now - time.monotonic()

    def __call__(self) -> float:
        """Unix seconds."""
        return time.monotonic() + self._ahead
