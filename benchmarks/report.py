"""The figures as a table with the bars of the design, and as a plot."""

import statistics
from collections.abc import Mapping, Sequence

Figures = dict[str, float]
Found = Mapping[str, Sequence[Figures]]
WIDTH, BAR, GAP, LABEL = 760, 22, 8, 190


def median(found: Found, row: str, figure: str = "per_second") -> float | None:
    """Over the runs of a row; None if it was not run."""
    values = [figures[figure] for figures in found.get(row, ()) if figure in figures]
    return statistics.median(values) if values else None


def best_peer(found: Found) -> float | None:
    """The fastest of the others."""
    values = [value for row in found if row.startswith("peer-") and (value := median(found, row)) is not None]
    return max(values, default=None)


def markdown(found: Found) -> str:
    """One line per row and figure: median, spread, and the bar with whether it is met."""
    lines = ["| row | figure | median | lowest to highest | bar |", "|---|---|---|---|---|"]
    for row, runs in found.items():
        for figure in runs[0] if runs else ():
            values = [figures[figure] for figures in runs if figure in figures]
            low, high = min(values), max(values)
            bar = _bar(found, row, figure)
            lines.append(f"| {row} | {figure} | {statistics.median(values):,.4g} | {low:,.4g} to {high:,.4g} | {bar} |")
    return "\n".join(lines) + "\n"


def _bar(found: Found, row: str, figure: str) -> str:
    value = median(found, row, figure)
    wanted = _wanted(found, row, figure)
    if wanted is None or value is None:
        return ""
    bound, at_least = wanted
    met = value >= bound if at_least else value <= bound
    return f"{'>=' if at_least else '<='} {bound:,.4g}: {'met' if met else 'MISSED'}"


def _wanted(found: Found, row: str, figure: str) -> tuple[float, bool] | None:
    """The bound of a figure and whether it is a lower one (design, section 6)."""
    peers, single, floor = best_peer(found), median(found, "single"), median(found, "floor", "p50_ms")
    rate = median(found, row, "rate")
    bars: dict[tuple[str, str], tuple[float, bool] | None] = {
        ("single", "per_second"): _times(2, peers),
        ("one-action", "per_second"): _times(1.3, peers),
        ("two-processes", "per_second"): _times(1.5, single),
        ("chunks", "per_second"): (15_000, True),
        ("bulk-plan", "seconds"): (30, False),
        ("bulk-plan", "peak_mb"): (200, False),
        ("enqueue", "per_second"): (10_000, True),
        ("latency", "p50_ms"): _at_most(floor, 5),
        ("latency", "p99_ms"): _at_most(floor, 25),
        ("latency-in-bulk", "p99_ms"): _at_most(floor, 2 / 20 * 1000),
        ("limit", "share_of_limit"): (0.95, True),
        ("limit", "fullness"): (0.95, True),
        ("limit", "worst_second"): _at_most(rate, 1),
        ("single", "memory_mb"): (120, False),
        ("memory", "memory_mb"): (120, False),
    }
    return bars.get((row, figure))


def _times(factor: float, other: float | None) -> tuple[float, bool] | None:
    return None if other is None else (factor * other, True)


def _at_most(other: float | None, more: float) -> tuple[float, bool] | None:
    return None if other is None else (other + more, False)


def plot(found: Found) -> str:
    """Jobs per second of ours and of the peers, as SVG."""
    rows = [(row, value) for row in found if (value := median(found, row)) and _is_drawn(row)]
    rows.sort(key=lambda each: -each[1])
    most = max((value for _, value in rows), default=1.0)
    height = len(rows) * (BAR + GAP) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">',
        '<g font-size="13"><rect width="100%" height="100%" fill="white"/>',
        '<text x="8" y="20">Single jobs per second, one process unless named, API 50 ms (medians)</text>',
    ]
    for number, (row, value) in enumerate(rows):
        top = 32 + number * (BAR + GAP)
        length = (WIDTH - LABEL - 90) * value / most
        colour = "#9aa5b1" if row.startswith("peer-") else "#2f6f9f"
        name = row.removeprefix("peer-")
        parts.append(
            f'<text x="8" y="{top + 16}">{name}</text>'
            f'<rect x="{LABEL}" y="{top}" width="{length:.0f}" height="{BAR}" fill="{colour}"/>'
            f'<text x="{LABEL + length + 6:.0f}" y="{top + 16}">{value:,.0f}</text>'
        )
    return "".join(parts) + "</g></svg>\n"


def _is_drawn(row: str) -> bool:
    return row.startswith("peer-") or row in ("single", "one-action", "two-processes")
