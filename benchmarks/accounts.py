"""Many accounts: a request is of one account, and a worker has something to keep for each."""

import time
from pathlib import Path

from benchmarks.load import Figures, push_singles, until_done, wanted
from benchmarks.stage import cpu_seconds, resident_mb, stage, wait_until

IDLE = 10.0  # seconds


def accounts(jobs: int, count: int) -> Figures:
    """A worker's start with so many accounts, what it takes while there is nothing to do, and jobs of all in turns."""
    names = [f"account{number}" for number in range(count)]
    asked = [{**job, "account": names[number % count]} for number, job in enumerate(wanted(jobs))]
    with stage() as place:
        file = _accounts_file(place.home, names)
        push_singles(place, asked[:1])
        started = time.time()
        worker = place.start_worker(ACCOUNTS_FILE=file, MAX_IN_FLIGHT=16)
        wait_until(lambda: place.ask("stats")["actions"] > 0)
        ready = place.ask("stats")["first"] - started
        wait_until(lambda: place.left() == 0)
        before = cpu_seconds(worker.pid)
        time.sleep(IDLE)
        idle = {"idle_core_share": (cpu_seconds(worker.pid) - before) / IDLE, "idle_mb": resident_mb(worker.pid)}
        place.ask("reset?latency_ms=50")
        push_singles(place, asked)
        return until_done(place, jobs) | {"first_request_seconds": ready} | idle


def _accounts_file(home: Path, names: list[str]) -> Path:
    tables = [
        f'[accounts.{name}]\ntoken = "{number:0>32}"\nsecret = "{"s" * 64}"\n' for number, name in enumerate(names)
    ]
    path = home / "accounts.toml"
    path.write_text("".join(tables))
    return path
