"""Slots: the moments at which a schedule wants something done. Pure; all moments are Unix seconds.

Rule 1: a schedule that names hours (`30 2 * * *`) speaks of wall clocks. Each time it names is one slot, however the
        clock is set: a time that the clock skips is a slot right after the gap, a time that it shows twice is a slot
        the first time only.
Rule 2: a schedule of every hour (`*/30 * * * *`) follows the time that passes: a time that the clock shows twice is a
        slot twice, a time that it skips is none. So no gap between two slots is an hour longer for it.
Rule 3: of several slots that have passed, the latest runs, once; and only while it is within the catch-up window.

Vixie cron tells the same two kinds apart (jobs with a `*` run as time passes, jobs at fixed times once), but it counts
`*/20 2 * * *` to the first kind and leaves it out or does it twice on those days. cronsim follows it, so cronsim is
only asked about wall clocks, and the rules are ours.
"""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

CLOCK_CHANGE = timedelta(hours=3)  # further than any clock is set
HOURS = 24
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
    return (slot for slot in _in_order(CronSim(timing.cron, start), zone, 1) if slot > moment)


def next_slot(timing: Timing, moment: float) -> float:
    """The first slot later than `moment`."""
    return next(slots_after(timing, moment))


def slots_until(timing: Timing, moment: float) -> Iterator[float]:
    """Every slot up to `moment`, the latest first."""
    zone = ZoneInfo(timing.zone)
    start = datetime.fromtimestamp(int(moment), zone).replace(tzinfo=None) + CLOCK_CHANGE
    return (slot for slot in _in_order(CronSim(timing.cron, start, reverse=True), zone, -1) if slot <= moment)


def _in_order(walls: CronSim, zone: ZoneInfo, sign: int) -> Iterator[float]:
    """Each slot of these times once. `walls` go upwards if `sign` is 1, downwards if it is -1; so do the slots.

    What a clock shows in order does not happen in order when it is set back, so a slot waits until none can precede it.
    """
    moments = _all_moments if len(walls.hours) == HOURS else _one_moment
    waiting: list[float] = []
    last: float | None = None
    for wall in itertools.chain(walls, (None,)):
        shown = [] if wall is None else [sign * moment for moment in moments(wall, zone)]
        while waiting and (wall is None or (shown and waiting[0] < min(shown))):
            slot = heapq.heappop(waiting)
            if slot != last:
                yield sign * slot
            last = slot
        for slot in shown:
            heapq.heappush(waiting, slot)


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


def _all_moments(wall: datetime, zone: ZoneInfo) -> list[float]:
    """When the clock shows this time: never, once, or twice."""
    moments = sorted({wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)})
    return [each for each in moments if datetime.fromtimestamp(each, zone).replace(tzinfo=None) == wall]


def _one_moment(wall: datetime, zone: ZoneInfo) -> list[float]:
    """When the clock shows this time first; of a time that it skips, when the gap is over."""
    found = wall.replace(tzinfo=zone, fold=0)
    if found.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall:
        return [found.timestamp()]
    # Within a gap fold=0 reads the time by the offset before it, so the gap ends within the difference of the two.
    low, high = int(wall.replace(tzinfo=zone, fold=1).timestamp()), int(found.timestamp())
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return [float(high)]
