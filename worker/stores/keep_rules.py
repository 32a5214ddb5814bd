"""How long dead letters and the journal are kept. Pure."""

from dataclasses import dataclass

DAY = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRules:
    """What is older, or more, is dropped: exported, counted and audited. Times are Unix seconds.

    Days end at midnight UTC, and what is too much is dropped with a hundredth of what may be kept besides: drops, and
    their files, shall be few and large.
    """

    letters_days: int = 90
    letters_most: int = 1_000_000
    journal_days: int = 90  # a job lives for seven, so that older deeds have their ends

    def letters_before(self, now: float) -> float:
        """Letters that ended earlier are dropped."""
        return _midnight(now - self.letters_days * DAY)

    def letters_over(self, count: int) -> int:
        """How many of so many letters are to go, the oldest first."""
        return count - self.letters_most + self.letters_most // 100 if count > self.letters_most else 0

    def journal_before(self, now: float) -> float:
        """Entries of the journal that are older are dropped."""
        return _midnight(now - self.journal_days * DAY)


def _midnight(moment: float) -> float:
    return moment // DAY * DAY
