"""The progress of a run as numbers to be drawn: scales with round steps, and values between the points. Pure."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.report.summary import Point

_STEPS = (1, 2, 2.5, 5, 10)
_CLOCK = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)  # seconds


@dataclass(frozen=True, slots=True)
class Tick:
    """One line of a scale."""

    value: float
    label: str


def row_ticks(most: int, wanted: int = 4) -> list[Tick]:
    """Round numbers of rows from 0 up to `most`."""
    step = max(1, _round_step(most / wanted))
    return [Tick(value, f"{value:,}") for value in range(0, most + 1, step)]


def _round_step(least: float) -> int:
    if least <= 1:
        return 1
    magnitude: float = 10.0 ** math.floor(math.log10(least))
    return math.ceil(next(step * magnitude for step in _STEPS if step * magnitude >= least))


def time_ticks(seconds: float, wanted: int = 6) -> list[Tick]:
    """Round times from 0 up to `seconds`."""
    least = seconds / wanted
    if least <= _CLOCK[0]:
        step = _fraction(least)
        return [Tick(n * step, f"{n * step:g} s") for n in range(int(seconds / step + 1e-9) + 1)] if step else []
    step = next((each for each in _CLOCK if each >= least), 0) or math.ceil(least / 86_400) * 86_400
    return [Tick(at, _clock(at)) for at in range(0, int(seconds) + 1, int(step))]


def _fraction(least: float) -> float:
    if least <= 0:
        return 0.0
    magnitude: float = 10.0 ** math.floor(math.log10(least))
    return next(step * magnitude for step in _STEPS if step * magnitude >= least)


def _clock(seconds: int) -> str:
    days, hours, minutes, rest = seconds // 86_400, seconds // 3600, seconds // 60, seconds % 60
    if days and seconds % 86_400 == 0:
        return f"{days} d"
    if hours and seconds % 3600 == 0:
        return f"{hours} h"
    if hours:
        return f"{hours}:{minutes % 60:02} h"
    if minutes:
        return f"{minutes} min" if rest == 0 else f"{minutes}:{rest:02} min"
    return f"{seconds} s"


def at(points: Sequence[Point], seconds: float) -> tuple[float, float]:
    """Rows done and rows failed at a moment, as if the run had gone evenly between its points."""
    place = bisect_right(points, seconds, key=lambda point: point.seconds)
    if place == 0:
        return 0.0, 0.0
    before = points[place - 1]
    if place == len(points):
        return float(before.done), float(before.failed)
    after = points[place]
    share = (seconds - before.seconds) / (after.seconds - before.seconds)
    return before.done + share * (after.done - before.done), before.failed + share * (after.failed - before.failed)
