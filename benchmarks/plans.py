"""Plans: how long `unlinker bulk plan` takes for a CSV of many rows, and how much memory."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stage import ROOT, sandbox
from config.embedded_valkey import ensure_running, stop
from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN

Figures = dict[str, float]
TYPE = "estate:address:interested"
CHILDREN = 20  # of a parent, of which half are planned


@contextmanager
def _folder() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="unlinker-bench-"))
    try:
        yield home
    finally:
        stop(home)
        shutil.rmtree(home, ignore_errors=True)


def _plan(home: Path, rows: int, *options: str, **settings: object) -> Figures:
    """Plan `links.csv`; what the process took, as the kernel counts it."""
    chosen = {
        "REDIS_URL": ensure_running(home),
        "ONOFFICE_TOKEN": DEFAULT_TOKEN,
        "ONOFFICE_SECRET": DEFAULT_SECRET,
        **settings,
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("UNLINKER_")}
    environment = clean | {"PYTHONPATH": str(ROOT)} | {f"UNLINKER_{name}": str(chosen[name]) for name in chosen}
    command = [sys.executable, "-m", "gateway.cli", "bulk", "plan", str(home / "links.csv"), *options]
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    assert process.returncode == 0
    return {"per_second": rows / seconds, "seconds": seconds, "peak_mb": usage.ru_maxrss / 1024}


def unchecked(rows: int) -> Figures:
    """Rows in no order, with a column more, and nobody looks."""
    chance = random.Random(1)
    with _folder() as home:
        with (home / "links.csv").open("w") as file:
            file.write("relationtype;parentid;childid;name\n")
            for number in range(rows):
                file.write(f"{TYPE};{chance.randrange(1, 10**7)};{chance.randrange(1, 10**7)};Name {number}\n")
        return _plan(home, rows, "--no-check")


def checked(rows: int) -> Figures:
    """Every link is looked at, at the default limit of five requests a second; the API is a sandbox."""
    parents = rows // (CHILDREN // 2)
    pairs = [(parent, child) for parent in range(1, parents + 1) for child in range(1, CHILDREN // 2 + 1)]
    random.Random(1).shuffle(pairs)
    with _folder() as home, sandbox(TYPE, 1, parents, CHILDREN) as onoffice:
        with (home / "links.csv").open("w") as file:
            file.write("relationtype,parentid,childid\n")
            file.writelines(f"{TYPE},{parent},{child}\n" for parent, child in pairs)
        return _plan(home, rows, ONOFFICE_URL=onoffice.url)
