"""Who removed a relation: what is known of it and of our requests, and the one rule. Pure. Times are Unix seconds.

us        a request of ours was clearly answered with success
unknown   a request of ours was sent, and its answer was lost or spoke for the server only; or an error code was
          answered although the relation had been seen before; or Redis forgot whether anything was sent
not_us    it was absent before any request was sent, or only error codes were answered and nobody had seen it
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class By(StrEnum):
    """Who removed it."""

    US = "us"
    UNKNOWN = "unknown"
    NOT_US = "not_us"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a job's relation, and of the requests that were sent for it."""

    seen: bool = False  # by its plan, or by a look
    refused: bool = False  # an error code was answered, and it has not been seen since
    denied: bool = False  # an error code was answered after it had been seen; reads lag, so no later look clears that
    lost_at: float | None = None  # when the last request was sent whose answer was lost, or spoke for the server only
    lost_first: bool = False  # such a request came before any answer that named an error
    success_at: float | None = None  # when success was clearly answered
    contradicted: bool = False  # a read shows it in spite of that; nothing is sent while reads may lag
    forgotten: bool = False  # a request may have been sent that the record does not know of: lost, or of a replayed job

    @property
    def in_doubt(self) -> bool:
        """Whether nobody may say that nothing was done: it is looked at before anything is sent."""
        return self.refused or self.lost_at is not None or self.success_at is not None

    @property
    def changed_at(self) -> float | None:
        """When a request of ours last did its work, or may have done it."""
        return self.lost_at if self.success_at is None else self.success_at

    @property
    def counts_as_unlinked(self) -> bool:
        """Whether a job that finds it absent has unlinked it, rather than found it absent already."""
        return self.success_at is not None or self.lost_first

    @property
    def by(self) -> By:
        """Who removed it, if it is absent now."""
        if self.success_at is not None:
            return By.US
        if self.lost_at is not None or self.forgotten or self.denied:
            return By.UNKNOWN
        return By.NOT_US

    def after_seen(self) -> "Known":
        """A look showed it."""
        return replace(self, seen=True, refused=False, forgotten=False)

    def after_error(self) -> "Known":
        """An error code was answered."""
        return replace(self, refused=True, denied=self.denied or self.seen)

    def after_loss(self, at: float) -> "Known":
        """A request was sent, and nobody knows what it did."""
        return replace(self, lost_at=at, lost_first=self.lost_first or not self.refused)

    def after_success(self, at: float) -> "Known":
        """Success was clearly answered."""
        return replace(self, success_at=at)


NOTHING = Known()
Packed = list[bool | float | None]


def pack(known: Known) -> Packed:
    """As JSON takes it; [] for nothing."""
    if known == NOTHING:
        return []
    return [
        known.seen,
        known.refused,
        known.denied,
        known.lost_at,
        known.lost_first,
        known.success_at,
        known.contradicted,
        known.forgotten,
    ]


def unpack(packed: Packed) -> Known:
    """Read what `pack` wrote."""
    if not packed:
        return NOTHING
    seen, refused, denied, lost_at, lost_first, success_at, contradicted, forgotten = packed
    return Known(
        seen=bool(seen),
        refused=bool(refused),
        denied=bool(denied),
        lost_at=lost_at,
        lost_first=bool(lost_first),
        success_at=success_at,
        contradicted=bool(contradicted),
        forgotten=bool(forgotten),
    )


FIRST_PAUSE = 0.5  # seconds


def lag_left(since: float | None, now: float, read_lag: float) -> float | None:
    """Seconds until the next look at a link that reads may show although it is gone; None: they lag no longer.

    `since`: when a request last did its work, or may have done it. Each pause is as long as all before it.
    """
    if since is None or now - since >= read_lag:
        return None
    age = max(now - since, FIRST_PAUSE)
    return min(age, read_lag - (now - since))
