"""Which tests there are for a Lua script: found by running the integration tests, and kept until they change."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness import ROOT

SLOWEST = 8.0  # seconds; slower tests are left out
ENOUGH = 6.0  # seconds of tests for one change, the first of them even if it alone takes longer
Recorded = Mapping[str, Mapping[str, Any]]  # test -> the scripts it runs, and the seconds it takes
DIRECT = "tests/integration/lua"
FOLDERS = ("tests/integration", DIRECT)


@dataclass(frozen=True, slots=True)
class Use:
    """A test that runs a script."""

    test: str  # pytest's node id
    seconds: float
    scripts: int  # how many it runs: one that runs few is about them


def find_uses(work: Path, valkey: str) -> dict[str, list[Use]]:
    """Script -> its tests, those first that are about scripts, and that run few others beside it."""
    kept = work / "uses.json"
    before = json.loads(kept.read_text()) if kept.exists() else {}
    now: dict[str, Recorded] = {}
    for path in _test_files():
        key = f"{path.relative_to(ROOT)}:{_digest(path)}"
        now[key] = before[key] if key in before else _record(path, work / "recorded.json", valkey)
        kept.write_text(json.dumps(before | now))
    kept.write_text(json.dumps(now))
    return _by_script(now.values())


def _test_files() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("test_*.py"))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _record(path: Path, to: Path, valkey: str) -> Recorded:
    print("looking at", path.relative_to(ROOT), flush=True)
    to.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutants.recorder", "--scripts", str(to), str(path)]
    environment = os.environ | {"TEST_VALKEY": valkey, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=ROOT, env=environment, check=False, stdout=subprocess.DEVNULL)
    found: Recorded = json.loads(to.read_text()) if to.exists() else {}
    return found


def _by_script(files: Iterable[Recorded]) -> dict[str, list[Use]]:
    uses: dict[str, list[Use]] = {}
    for tests in files:
        for test, found in tests.items():
            names: list[str] = found["scripts"]
            use = Use(test, found["seconds"], len(names))
            for script in names if use.seconds <= SLOWEST else ():
                uses.setdefault(script, []).append(use)
    return {script: _enough(some) for script, some in uses.items()}


def _enough(uses: Sequence[Use]) -> list[Use]:
    chosen: list[Use] = []
    for use in sorted(uses, key=lambda use: (not use.test.startswith(DIRECT), use.scripts, use.seconds)):
        if not chosen or sum(each.seconds for each in [*chosen, use]) <= ENOUGH:
            chosen.append(use)
    return chosen
