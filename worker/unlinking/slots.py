"""Slots: the moments at which a schedule wants something done. Pure; all moments are Unix seconds.

Rule 1: a schedule speaks of wall clocks. Each time it names is one slot, however the clock is set: a time that the
        clock skips is a slot right after the gap, a time that it shows twice is a slot the first time only.
Rule 2: of several slots that have passed, the latest runs, once; and only while it is within the catch-up window.

cronsim reads the five fields. Its own handling of clock changes is Debian's, where `*/20 2 * * *` is left out or done
twice on those days, so it is only asked about wall clocks, and rule 1 is ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

CLOCK_CHANGE = timedelta(hours=3)  # further than any clock is set
COUNTED = 1000  # slots missed at the most; more are as bad


class TimingError(ValueError):
    """A schedule that means nothing. The text says what would."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When something is to be done."""

    cron: str  # five fields: minute, hour, day of month, month, day of week
    zone: str  # of the wall clock; an IANA name
    catch_up: float  # seconds; how late a slot may still be run


@dataclass(frozen=True, slots=True)
class Due:
    """A slot that has passed and was not dealt with."""

    slot: float
    late: bool  # past its catch-up window: it is missed
    missed: int  # earlier ones that were not dealt with either; see COUNTED


def check_cron(cron: str) -> None:
    """Raises TimingError."""
    fields = len(cron.split())
    if fields != 5:
        raise TimingError(
            f"{cron!r} has {fields} fields; give minute, hour, day, month and weekday, as in '30 2 * * *'"
        )
    try:
        following = next(CronSim(cron, datetime(2026, 1, 1)), None)  # noqa: DTZ001  # a wall clock, no moment
    except CronSimError as error:
        raise TimingError(f"{cron!r}: {str(error).lower()}; '30 2 * * *' is every night at half past two") from None
    if following is None:
        raise TimingError(f"{cron!r} names a day that never comes")


def check_zone(zone: str) -> None:
    """Raises TimingError."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TimingError(f"{zone!r} is no time zone; give one like Europe/Berlin, or UTC") from None


def slots_after(timing: Timing, moment: float) -> Iterator[float]:
    """Every slot later than `moment`, in their order."""
    zone = ZoneInfo(timing.zone)
    start = datetime.fromtimestamp(moment, zone).replace(tzinfo=None) - CLOCK_CHANGE
    last = moment
    for wall in CronSim(timing.cron, start):
        slot = _moment(wall, zone)
        if slot > last:
            yield slot
            last = slot


def next_slot(timing: Timing, moment: float) -> float:
    """The first slot later than `moment`."""
    return next(slots_after(timing, moment))


def slots_until(timing: Timing, moment: float) -> Iterator[float]:
    """Every slot up to `moment`, the latest first."""
    zone = ZoneInfo(timing.zone)
    start = datetime.fromtimestamp(int(moment), zone).replace(tzinfo=None) + CLOCK_CHANGE
    last: float | None = None
    for wall in CronSim(timing.cron, start, reverse=True):
        slot = _moment(wall, zone)
        if slot <= moment and slot != last:
            yield slot
            last = slot


def due(timing: Timing, handled: float, now: float) -> Due | None:
    """What has come due since `handled`, the last slot that was dealt with; None when nothing has."""
    slots: list[float] = []
    for slot in slots_until(timing, now):
        if slot <= handled or len(slots) > COUNTED:
            break
        slots.append(slot)
    if not slots:
        return None
    return Due(slots[0], late=now - slots[0] > timing.catch_up, missed=len(slots) - 1)


def _moment(wall: datetime, zone: ZoneInfo) -> float:
    """When the clock shows this time first; of a time that it skips, when the gap is over."""
    found = wall.replace(tzinfo=zone, fold=0)
    if found.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall:
        return found.timestamp()
    # Within a gap fold=0 reads the time by the offset before it, so the gap ends within the difference of the two.
    low, high = int(wall.replace(tzinfo=zone, fold=1).timestamp()), int(found.timestamp())
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return float(high)
