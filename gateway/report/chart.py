"""The pictures of a report as SVG, to stand in its page. Pure; every text is escaped."""

from collections.abc import Iterator, Sequence
from html import escape

from gateway.report.curve import row_ticks, time_ticks
from gateway.report.summary import Point, percent
from worker.unlinking.report_counts import Failure

LEGEND = (
    '<p class="legend"><span class="key done-key"></span>done <span class="key failed-key"></span>failed among them</p>'
)
WIDTH, HEIGHT = 920, 300
LEFT, RIGHT, TOP, BOTTOM = 92, 24, 16, 40  # margins; the rows' numbers stand on the left, the times below


NEAR = 16  # from the top line; a second number there would touch its own


def progress(points: Sequence[Point], total: int) -> str:
    """Rows done over time, the failed ones among them in red; "" where there is nothing to draw."""
    if len(points) < 2 or points[-1].seconds <= 0 or total <= 0:
        return ""
    last = points[-1]
    label = f"{last.done} of {total} rows done, {last.failed} of them failed"
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" class="chart">',
        *_scales(last.seconds, total),
        *_areas(points, total),
        "</svg>",
    ]
    return "".join(parts)


def _x(seconds: float, most: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / most


def _y(rows: float, most: int) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * rows / most


def _scales(seconds: float, total: int) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for tick in row_ticks(total):
        if _y(tick.value, total) - TOP < NEAR:
            continue
        y = _y(tick.value, total)
        yield f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        yield f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{tick.label}</text>'
    for tick in time_ticks(seconds):
        x = _x(tick.value, seconds)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}" class="axis"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 22}" text-anchor="middle">{tick.label}</text>'
    y = _y(total, total)
    yield f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{total:,}</text>'
    yield f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="goal"/>'
    yield f'<line x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}" class="axis"/>'


def _areas(points: Sequence[Point], total: int) -> Iterator[str]:
    most = points[-1].seconds
    done = [(_x(each.seconds, most), _y(each.done, total)) for each in points]
    failed = [(_x(each.seconds, most), _y(each.failed, total)) for each in points]
    yield f'<polygon points="{_closed(done)}" class="done"/>'
    yield f'<polyline points="{_listed(done)}" class="edge"/>'
    if points[-1].failed:
        yield f'<polygon points="{_closed(failed)}" class="failed"/>'
        yield f'<polyline points="{_listed(failed)}" class="failed-edge"/>'
    x, y = done[-1]
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="now"/>'


def _listed(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _closed(places: Sequence[tuple[float, float]]) -> str:
    ground = HEIGHT - BOTTOM
    return f"{places[0][0]:.1f},{ground} {_listed(places)} {places[-1][0]:.1f},{ground}"


NAME_SHOWN = 24  # characters
ROW_HEIGHT, NAME_WIDTH, COUNT_WIDTH = 30, 190, 150


def reasons(failures: Sequence[Failure]) -> str:
    """A bar for each reason of failure, the longest first; "" for none."""
    if not failures:
        return ""
    most, whole = failures[0].count, sum(failure.count for failure in failures)
    height = ROW_HEIGHT * len(failures)
    bars = "".join(_bar(number, failure, most, whole) for number, failure in enumerate(failures))
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="failures by reason" class="chart">{bars}</svg>'


def _bar(number: int, failure: Failure, most: int, whole: int) -> str:
    top, name = ROW_HEIGHT * number, escape(failure.reason[:NAME_SHOWN])
    length = max(2.0, (WIDTH - NAME_WIDTH - COUNT_WIDTH) * failure.count / most)
    return (
        f'<text x="{NAME_WIDTH - 12}" y="{top + 20}" text-anchor="end" class="name">{name}</text>'
        f'<rect x="{NAME_WIDTH}" y="{top + 5}" width="{length:.1f}" height="{ROW_HEIGHT - 10}" rx="2" class="bar"/>'
        f'<text x="{NAME_WIDTH + length + 10:.1f}" y="{top + 20}">{failure.count:,}'
        f'<tspan class="share" dx="8">{escape(percent(failure.count, whole))}</tspan></text>'
    )
