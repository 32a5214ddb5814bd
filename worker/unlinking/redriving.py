"""Redrive: when dead letters of passing troubles are tried again by themselves. Pure."""

from dataclasses import dataclass

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class RedrivePolicy:
    """How often, and how long after each end. An operator's replay starts the count anew."""

    waits: tuple[float, ...] = (HOUR, 4 * HOUR, 16 * HOUR)  # seconds

    def next_at(self, ended_at: float, redrives: int) -> float | None:
        """When a letter is tried again; None: never. Times are Unix seconds; `redrives`: how often it was."""
        return ended_at + self.waits[redrives] if redrives < len(self.waits) else None

    def due(self, now: float) -> list[tuple[int, float]]:
        """(redrives so far, ended before) of the letters that are to be tried again."""
        return [(redrives, now - wait) for redrives, wait in enumerate(self.waits)]
