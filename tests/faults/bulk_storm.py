"""The bulk storm: one run of many rows, while its starter, workers and Redis are killed at random moments.

Killed anywhere, it must end in the state of an undisturbed run: every link of the plan gone and no other, every row
with its one outcome, no link deleted twice. The one thing that may differ: of a link that was never there, and whose
request was on the wire when its worker died, nobody can tell that it was not that request which removed it.
`make storm` runs a million rows; SEED and BULK_ROWS change it.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from config.embedded_valkey import ensure_running
from gateway.plan_file import write_plan
from tests.faults.plans import draft_for
from tests.harness import House, Process, eventually
from worker.stores.runs import Run, Runs
from worker.unlinking.job import Relation
from worker.unlinking.plan import PlanRow, Standing

KIND = "calendar:address"
CHILDREN = 500  # of one parent
KEPT_EVERY = 100  # one link in so many cannot be deleted
ABSENT_EVERY = 50  # one row in so many names a link that is not there


@dataclass(frozen=True)
class Size:
    """How big a storm is."""

    rows: int
    worker_kills: int
    redis_kills: int


def links(rows: int) -> Iterator[tuple[int, int]]:
    """Parent and child of each row."""
    return ((1 + number // CHILDREN, 1 + number % CHILDREN) for number in range(rows))


def storm(home: Path, seed: int, size: Size) -> dict[str, float]:
    """One storm; raises AssertionError when something is not as it must be."""
    chance = random.Random(seed)
    house = House(home)
    try:
        _prepare(house, size.rows)
        plan = _plan(house, size.rows)
        start = time.monotonic()
        run = _weather(house, chance, plan, size)
        took = time.monotonic() - start
        _check(house, run, size)
        return {"rows_per_second": size.rows / took, "seconds": took}
    finally:
        house.close()


def _prepare(house: House, rows: int) -> None:
    house.start_sandbox()
    house.client.config_set("appendfsync", "always")
    house.settings |= {
        "UNLINKER_REQUESTS_PER_SECOND": "1000",
        "UNLINKER_ACTIONS_PER_REQUEST": "200",
        "UNLINKER_MAX_IN_FLIGHT": "8",
    }
    wish = {"relationtype": KIND, "parents": -(-rows // CHILDREN), "children_per_parent": CHILDREN}
    house.sandbox.call("POST", "links/generate", wish)
    pairs = enumerate(links(rows))
    kept = [(KIND, *pair) for number, pair in pairs if number % KEPT_EVERY == KEPT_EVERY - 1]
    house.sandbox.add_links(kept, undeletable=True)


def _plan(house: House, rows: int) -> Path:
    """Some rows name links that are not there: parents that nobody has."""
    path = house.home / "storm.plan"
    planned = (
        PlanRow(
            Relation(KIND, parent + (1_000_000 if _is_absent(number) else 0), child),
            Standing.PRESENT,
            str(number + 2),
        )
        for number, (parent, child) in enumerate(links(rows))
    )
    write_plan(path, draft_for(house), planned)
    return path


def _apply(house: House, plan: Path, rows: int) -> "subprocess.Popen[bytes]":
    command = ["bulk", "apply", str(plan), "--yes", "--max-deletions", str(rows), "--max-failure-rate", "0.5"]
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", *command],
        cwd=house.home,
        env=house.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _weather(house: House, chance: random.Random, plan: Path, size: Size) -> Run:
    runs = Runs(house.client)
    workers = [house.start_worker() for _ in range(2)]
    starter = _apply(house, plan, size.rows)
    time.sleep(chance.uniform(0.3, 1.5))
    starter.kill()  # it may have stored half the plan, or started the run
    starter.wait(10)
    starter = _apply(house, plan, size.rows)
    eventually(lambda: runs.newest(1))
    events = ["worker"] * size.worker_kills + ["redis"] * size.redis_kills
    chance.shuffle(events)
    for number, event in enumerate(events, start=1):
        _wait_for(runs, size.rows * number * chance.uniform(0.8, 0.95) / (len(events) + 1))
        if event == "redis":
            _kill_redis(house)
        else:
            _replace_one(house, chance, workers)
    starter.wait(600)
    run = runs.newest(1)[0]
    assert run.is_over, run.document()
    assert starter.returncode == 1, "some rows cannot be deleted, and the exit code says so"
    assert all(worker.popen.poll() is None for worker in workers), "no worker ended by itself"
    return run


def _wait_for(runs: Runs, done: float) -> None:
    eventually(lambda: runs.newest(1)[0].is_over or runs.newest(1)[0].done >= done, timeout=300)


def _replace_one(house: House, chance: random.Random, workers: list[Process]) -> None:
    victim = chance.randrange(len(workers))
    workers[victim].kill()
    workers[victim] = house.start_worker(wait=False)


def _kill_redis(house: House) -> None:
    pid = int(house.client.info("server")["process_id"])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    ensure_running(house.home)


def _is_absent(number: int) -> bool:
    return number % ABSENT_EVERY == 7


UNLINKED = b"uv"  # v: its worker died, so nobody knows whether it was us
KEPT = b"dD"


def _expected(number: int) -> bytes:
    if _is_absent(number):
        return b"aAbB" + UNLINKED
    return KEPT if number % KEPT_EVERY == KEPT_EVERY - 1 else UNLINKED


def _check(house: House, run: Run, size: Size) -> None:
    rows = size.rows
    found = b"".join(Runs(house.client).states(run))
    wrong = [number for number, byte in enumerate(found) if byte not in _expected(number)]
    assert len(found) == rows
    assert not wrong, f"{len(wrong)} rows, the first {wrong[:5]}: {[found[number] for number in wrong[:5]]}"
    stats = house.sandbox.call("GET", "stats")
    assert stats["deleted_twice"] == []
    doubtful = sum(byte in UNLINKED and _is_absent(number) for number, byte in enumerate(found))
    on_the_wire = 8 * 200 // ABSENT_EVERY  # absent ones in as many full requests as may be in flight
    assert doubtful <= on_the_wire * (1 + size.worker_kills + size.redis_kills)
    assert run.counts["unlinked"] == sum(map(found.count, UNLINKED)) == stats["deleted"] + doubtful
    left = {(parent, child) for kind, parent, child in house.sandbox.links() if kind == KIND and parent < 1_000_000}
    expected = {pair for number, pair in enumerate(links(rows)) if _expected(number) != UNLINKED}
    seed = {(671, 153)} if rows < 671 * CHILDREN else set()
    assert left - seed == expected
    assert Runs(house.client).holder("default") is None


def main() -> int:
    """`python -m tests.faults.bulk_storm`."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    rows = int(os.environ.get("BULK_ROWS") or 1_000_000)
    sys.stdout.write(f"bulk storm with SEED={seed}, {rows} rows\n")
    sys.stdout.flush()
    home = Path(tempfile.mkdtemp(prefix="unlinker-bulk-storm-"))
    figures = storm(home, seed, Size(rows, worker_kills=12, redis_kills=3))
    sys.stdout.write(f"passed: {figures['rows_per_second']:,.0f} rows a second, {figures['seconds']:.0f} s\n")
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
