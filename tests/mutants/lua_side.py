"""The Lua scripts: each change runs against the integration tests that use the script, on one Valkey.

Every change is tried in a process of its own, forked from one that has imported everything. What was tried is kept, so
that a run may be stopped at any time and goes on where it was; survivors are tried again once there are other tests.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
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
KILLED, SURVIVED, TIMEOUT, UNTESTED, UNTRIED = "killed", "survived", "timeout", "no tests", ""


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one change."""

    key: str
    script: str
    line: int
    was: str
    now: str
    verdict: str
    tests: str  # digest of them; another one tries survivors again

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
    with OwnValkey(work / "valkey") as valkey:
        trial = Trial(work, valkey, find_uses(work, valkey.url))
        return [tried for name in names for tried in trial.of_script(name, sample, seed)]


class Trial:
    """Tries changes, one at a time."""

    def __init__(self, work: Path, valkey: OwnValkey, uses: Mapping[str, Sequence[Use]]) -> None:
        self._log = work / "tests.log"  # of the last change
        self._notes = Notes(work / "lua.jsonl")
        self._valkey = valkey
        self._uses = uses

    def of_script(self, name: str, sample: int, seed: int) -> list[Tried]:
        """What became of its changes; none of a script whose tests are broken."""
        source = (FOLDER / f"{name}.lua").read_text()
        tests = _digest_of_tests(self._uses.get(name, ()))
        chosen = {_digest(f"{name}\n{change.text}"): change for change in _chosen(source, sample, seed)}
        known = {key: self._notes.get(key) for key in chosen}
        new = [key for key, tried in known.items() if tried is None or not (tried.is_dead or tried.tests == tests)]
        try:
            if new:
                self._require_passing(name, source)
            for key in new:
                change = chosen[key]
                self._try(Tried(key, name, change.line, change.was, change.now, UNTRIED, tests), change.text)
        except BrokenTests as broken:
            print(f"{broken}; see {self._log}", flush=True)
        return [tried for key in chosen if (tried := self._notes.get(key)) is not None]

    def _try(self, tried: Tried, text: str) -> None:
        tried = replace(tried, verdict=self._verdict(tried.script, text))
        self._notes.add(tried)
        print(f"{tried.verdict:9} {tried.script}.lua:{tried.line}  {tried.was}  ->  {tried.now}", flush=True)

    def _require_passing(self, name: str, source: str) -> None:
        """A loaded machine may need more than one try."""
        if not any(self._verdict(name, source) in (SURVIVED, UNTESTED) for _ in range(3)):
            raise BrokenTests(f"the tests of {name}.lua fail although nothing was changed")

    def _verdict(self, name: str, text: str) -> str:
        uses = self._uses.get(name)
        if not uses:
            return UNTESTED
        status = _in_child(lambda: _run_tests(name, text, uses, self._valkey.url), self._log)
        self._valkey.free()
        if status is None:
            return TIMEOUT
        if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            raise BrokenTests(f"pytest ended with {status} on the tests of {name}.lua")
        return SURVIVED if status == pytest.ExitCode.OK else KILLED


def _chosen(source: str, sample: int, seed: int) -> list[Change]:
    found = list(changes(source))
    if len(found) <= sample:
        return found
    return sorted(random.Random(seed).sample(found, sample), key=lambda change: change.line)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _digest_of_tests(uses: Sequence[Use]) -> str:
    files = sorted({use.test.partition("::")[0] for use in uses})
    return _digest(" ".join(use.test for use in uses) + "".join((ROOT / file).read_text() for file in files))


def _run_tests(name: str, text: str, uses: Sequence[Use], url: str) -> int:
    """In a child: the tests with the changed script."""
    read = scripts._read
    scripts._read = lambda script: text if script == name else read(script)
    os.environ["TEST_VALKEY"] = url
    # plain: its modules were imported before, so that pytest could not rewrite them any more
    options = ["-x", "-q", "--assert=plain", "--no-header", "-p", "no:cacheprovider", "--hypothesis-profile", "mutants"]
    return int(pytest.main([*options, *(str(ROOT / use.test) for use in uses)]))


def _in_child(step: Callable[[], int], log: Path) -> int | None:
    """Its status, or None when it took too long. The child has a session of its own, which ends with it."""
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, sys.stdout.fileno())
            os.dup2(output, sys.stderr.fileno())
            os._exit(step())
        finally:
            traceback.print_exc()
            os._exit(NO_TESTS_RAN)
    try:
        return _wait(child, PATIENCE)
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
