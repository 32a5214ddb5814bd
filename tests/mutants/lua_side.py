"""The Lua scripts: each change runs against the integration tests that use the script, on one Valkey.

Every change is tried in a process of its own, forked from one that has imported everything. What was tried is kept, so
that a run may be stopped at any time and goes on where it was; survivors are tried again once there are other tests.
"""

import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

# imported before the forks, so that no child has to
import worker.engine.claimer
import worker.engine.conductor
import worker.engine.settling  # noqa: F401
from tests.harness import ROOT
from tests.mutants.lua_changes import Change, changes
from tests.mutants.own_valkey import OwnValkey
from tests.mutants.uses import Use, find_uses
from worker.stores import scripts

FOLDER = ROOT / "worker" / "stores" / "lua"
PATIENCE = 60.0  # seconds for the tests of one change
NO_TESTS_RAN = 99
KILLED, SURVIVED, TIMEOUT, UNTESTED = "killed", "survived", "timeout", "no tests"


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one change."""

    key: str
    script: str
    line: int
    was: str
    now: str
    verdict: str
    tests: str  # digest of their names; another one tries survivors again

    @property
    def is_dead(self) -> bool:
        """Whether a test noticed. A script that never ends is noticed by whoever waits."""
        return self.verdict in (KILLED, TIMEOUT)


class BrokenTests(Exception):
    """The tests of a script fail without any change, so they can tell nothing."""


class Notes:
    """One line of JSON per change that was tried."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._tried = {each.key: each for each in (Tried(**json.loads(line)) for line in lines)}

    def get(self, key: str) -> Tried | None:
        """What is known of a change."""
        return self._tried.get(key)

    def add(self, tried: Tried) -> None:
        """One more."""
        self._tried[tried.key] = tried
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(tried)) + "\n")


def try_scripts(names: Sequence[str], work: Path, sample: int, seed: int) -> list[Tried]:
    """Every change of these scripts (names without .lua), or at most `sample` of each."""
    work.mkdir(parents=True, exist_ok=True)
    notes = Notes(work / "lua.jsonl")
    with OwnValkey(work / "valkey") as valkey:
        uses = find_uses(work, valkey.url)
        return [
            tried for name in names for tried in _try_script(name, uses.get(name, []), notes, valkey, (sample, seed))
        ]


def _try_script(
    name: str, uses: Sequence[Use], notes: Notes, valkey: OwnValkey, size: tuple[int, int]
) -> Iterator[Tried]:
    source = (FOLDER / f"{name}.lua").read_text()
    tests = _digest(" ".join(use.test for use in uses))
    control = False
    for change in _chosen(source, *size):
        key = _digest(f"{name}\n{change.text}")
        known = notes.get(key)
        if known is None or not (known.is_dead or known.tests == tests):
            if not control:
                _require_passing(name, source, uses, valkey)
                control = True
            verdict = _verdict(name, change.text, uses, valkey)
            known = Tried(key, name, change.line, change.was, change.now, verdict, tests)
            notes.add(known)
            print(f"{verdict:9} {name}.lua:{change.line}  {change.was}  ->  {change.now}", flush=True)
        yield known


def _chosen(source: str, sample: int, seed: int) -> list[Change]:
    found = list(changes(source))
    if len(found) <= sample:
        return found
    return sorted(random.Random(seed).sample(found, sample), key=lambda change: change.line)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _require_passing(name: str, source: str, uses: Sequence[Use], valkey: OwnValkey) -> None:
    tries = (_verdict(name, source, uses, valkey) for _ in range(3))
    if not any(verdict in (SURVIVED, UNTESTED) for verdict in tries):
        tests = " ".join(use.test for use in uses)
        raise BrokenTests(f"the tests of {name}.lua fail although nothing was changed: {tests}")


def _verdict(name: str, text: str, uses: Sequence[Use], valkey: OwnValkey) -> str:
    if not uses:
        return UNTESTED
    status = _in_child(lambda: _run_tests(name, text, uses, valkey.url), PATIENCE)
    if status is None:
        valkey.restart()
        return TIMEOUT
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise BrokenTests(f"pytest ended with {status} on the tests of {name}.lua")
    return SURVIVED if status == 0 else KILLED


def _run_tests(name: str, text: str, uses: Sequence[Use], url: str) -> int:
    """In a child: the tests with the changed script."""
    read = scripts._read
    scripts._read = lambda script: text if script == name else read(script)
    os.environ["TEST_VALKEY"] = url
    # plain: its modules were imported before, so that pytest could not rewrite them any more
    options = ["-x", "-q", "--assert=plain", "--no-header", "-p", "no:cacheprovider", "--hypothesis-profile", "mutants"]
    return int(pytest.main([*options, *(str(ROOT / use.test) for use in uses)]))


def _in_child(step: Callable[[], int], seconds: float) -> int | None:
    """Its status, or None when it took too long. The child has a session of its own, which ends with it."""
    child = os.fork()
    if child == 0:
        os.setsid()
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        try:
            os._exit(step())
        finally:
            os._exit(NO_TESTS_RAN)
    try:
        return _wait(child, seconds)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)


def _wait(child: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
