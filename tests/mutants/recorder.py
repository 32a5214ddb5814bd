"""A pytest plugin: which tests run which Lua scripts, and how long they take. `--scripts FILE` is where it says so."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from worker.stores import scripts


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where to write."""
    parser.addoption("--scripts", type=Path)


def pytest_configure(config: pytest.Config) -> None:
    """Begin."""
    config.pluginmanager.register(Recorder(config.getoption("--scripts")))


class Recorder:
    """Notes the scripts of one test after the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._now: set[str] = set()
        self._used: dict[str, dict[str, Any]] = {}

    def pytest_sessionstart(self) -> None:
        """Listen where every call passes."""
        evalsha = scripts._evalsha

        def listening(call: scripts.Call) -> tuple[Any, ...]:
            self._now |= parts_of(call.script)
            return evalsha(call)

        scripts._evalsha = listening

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """One test; those that start processes are left out: theirs cannot be changed."""
        self._now.clear()
        result = yield
        if self._now and "house" not in getattr(item, "fixturenames", ()):
            self._used.setdefault(item.nodeid, {})["scripts"] = sorted(self._now)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """How long it took."""
        if report.when == "call" and report.passed:
            self._used.setdefault(report.nodeid, {})["seconds"] = round(report.duration, 3)

    def pytest_sessionfinish(self) -> None:
        """Only what passed is of use."""
        found = {test: each for test, each in self._used.items() if len(each) == 2}
        self._path.write_text(json.dumps(found))


def parts_of(script: str) -> set[str]:
    """The script, and those whose functions it has."""
    first, _, _ = scripts._read(script).partition("\n")
    with_others = first.startswith(scripts.WITH)
    return {script, *(first.removeprefix(scripts.WITH).split(", ") if with_others else ())}
