"""The figures as a table with the bars of the design, and as a plot."""

import statistics
from collections.abc import Mapping, Sequence

Figures = dict[str, float]
Found = Mapping[str, Sequence[Figures]]
PEER, BATCHING_PEER = "peer-", "batching-peer-"  # how the rows of the others begin
LIMITED = ("limit", "limit-singles")
WIDTH, BAR, GAP, LABEL = 760, 22, 8, 190


def median(found: Found, row: str, figure: str = "per_second") -> float | None:
    """Over the runs of a row; None if it was not run."""
    values = [figures[figure] for figures in found.get(row, ()) if figure in figures]
    return statistics.median(values) if values else None


def best_peer(found: Found, kind: str) -> float:
    """The fastest of the others of one kind; 0 if none was run."""
    return max((value for row in found if row.startswith(kind) and (value := median(found, row))), default=0.0)


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
    single, floor = median(found, "single"), median(found, "floor", "p50_ms")
    peers, batching = best_peer(found, PEER), best_peer(found, BATCHING_PEER)
    rate = median(found, row, "rate")
    bars: dict[tuple[str, str], tuple[float, bool] | None] = {
        ("single", "per_second"): (max(12_000, 7 * peers, 5 * batching), True),
        ("single", "worker_cpu_us"): (50, False),
        ("single", "redis_cpu_us"): (35, False),
        ("single", "memory_mb"): (120, False),
        ("one-action", "per_second"): _times(1.6, peers),
        ("two-processes", "per_second"): _times(1.5, single),
        ("chunks", "per_second"): (40_000, True),
        ("bulk-run-one-process", "per_second"): (40_000, True),
        ("bulk-run-1000000", "per_second"): (25_000, True),
        ("accounts-100", "per_second"): (10_000, True),
        ("accounts-100", "requests"): (2_000, False),
        ("accounts-1000", "per_second"): (4_000, True),
        ("accounts-1000", "requests"): (6_000, False),
        ("accounts-10000", "first_request_seconds"): (3, False),
        ("accounts-10000", "idle_core_share"): (0.02, False),
        ("accounts-10000", "memory_mb"): (250, False),
        ("bulk-plan", "seconds"): (30, False),
        ("bulk-plan", "peak_mb"): (200, False),
        ("enqueue", "per_second"): (10_000, True),
        ("latency", "p50_ms"): _at_most(floor, 4),
        ("latency", "p99_ms"): _at_most(floor, 15),
        ("latency-in-bulk", "p99_ms"): _at_most(floor, 2 / 20 * 1000),
        ("memory", "memory_mb"): (120, False),
        ("recovery", "seconds_over_timeout"): (5, False),
        ("recovery", "links_left"): (0, False),
        **{("dead-letters", figure): (500, False) for figure in ("page_ms", "slowest_filter_ms", "slowest_count_ms")},
        **{("command-start", figure): (0.25, False) for figure in ("help_seconds", "job_seconds")},
        **{(each, "ended_bytes"): (700, False) for each in ("ended-job", "ended-job-of-ours")},
        **{(each, share): (0.97, True) for each in LIMITED for share in ("share_of_limit", "fullness")},
        **{(each, "worst_second"): _at_most(rate, 1) for each in LIMITED},
    }
    return bars.get((row, figure))


def _times(factor: float, other: float | None) -> tuple[float, bool] | None:
    return (factor * other, True) if other else None


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
        colour = "#9aa5b1" if row.startswith((PEER, BATCHING_PEER)) else "#2f6f9f"
        name = (
            f"{row.removeprefix(BATCHING_PEER)}, batching" if row.startswith(BATCHING_PEER) else row.removeprefix(PEER)
        )
        parts.append(
            f'<text x="8" y="{top + 16}">{name}</text>'
            f'<rect x="{LABEL}" y="{top}" width="{length:.0f}" height="{BAR}" fill="{colour}"/>'
            f'<text x="{LABEL + length + 6:.0f}" y="{top + 16}">{value:,.0f}</text>'
        )
    return "".join(parts) + "</g></svg>\n"


def _is_drawn(row: str) -> bool:
    return row.startswith((PEER, BATCHING_PEER)) or row in ("single", "one-action", "two-processes")
