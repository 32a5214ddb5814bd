"""The pure modules: mutmut makes the mutants and runs tests/unit against them, in a copy of the tree."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import ROOT

CONFIG = """
[tool.mutmut]
source_paths = ["config", "worker", "tasks", "gateway", "sandbox"]
only_mutate = {files}
also_copy = ["README.md", "CHANGELOG.md", "Dockerfile", "docker-compose.yml", "Makefile", "docs", "benchmarks"]
pytest_add_cli_args = ["-q", "-p", "no:cacheprovider", "--hypothesis-profile", "mutants"]
pytest_add_cli_args_test_selection = ["tests/unit"]
use_git_change_detection = false
"""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A mutant that no test noticed."""

    name: str  # mutmut's
    file: str
    line: int  # 0: it cannot be told
    was: str
    now: str


class Mutmut:
    """mutmut at work on a copy of the tree. `program`: its command; `copy`: a folder that keeps what was tried."""

    def __init__(self, program: Path, copy: Path) -> None:
        self._program = program
        self._copy = copy

    def run(self, files: Sequence[str], processes: int, *, again: bool) -> None:
        """Try what was not tried yet. `again`: the survivors once more, with the tests there are now."""
        self._copy_tree(files)
        names = [name for name, _ in self._alive()] if again else []
        command: list[str | Path] = [self._program, "run", "--max-children", str(processes), *names]
        subprocess.run(command, cwd=self._copy, check=True)

    def counts(self) -> dict[str, int]:
        """Mutants by what became of them."""
        self._say("export-cicd-stats")
        found: dict[str, int] = json.loads((self._copy / "mutants" / "mutmut-cicd-stats.json").read_text())
        return found

    def survivors(self) -> Iterator[Survivor]:
        """Those that are alive."""
        for name, state in self._alive():
            if state in ("survived", "no tests"):
                yield self._survivor(name)

    def _alive(self) -> list[tuple[str, str]]:
        lines = (line.strip().rpartition(": ") for line in self._say("results").splitlines())
        return [(name, state) for name, _, state in lines if name.startswith("worker.")]

    def _survivor(self, name: str) -> Survivor:
        lines = self._say("show", name).splitlines()
        file = next((line.removeprefix("--- ") for line in lines if line.startswith("--- ")), "")
        was, now = (
            next((line[1:] for line in lines if line.startswith(sign) and not line.startswith(sign * 3)), "")
            for sign in "-+"
        )
        return Survivor(name, file, _line_of(was, ROOT / file), was.strip(), now.strip())

    def _say(self, *words: str) -> str:
        return subprocess.run(
            [self._program, *words], cwd=self._copy, check=True, capture_output=True, text=True
        ).stdout

    def _copy_tree(self, files: Sequence[str]) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split("\0")
        there = {name for name in listed if name and (ROOT / name).is_file()}
        for folder in ("config", "worker", "tasks", "gateway", "sandbox", "tests"):
            shutil.rmtree(self._copy / folder, ignore_errors=True)
        for name in there:
            (self._copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self._copy / name)
        with (self._copy / "pyproject.toml").open("a") as file:
            file.write(CONFIG.format(files=json.dumps(list(files))))


def _line_of(text: str, path: Path) -> int:
    """mutmut shows a function without its place."""
    if not path.is_file() or not text.strip():
        return 0
    lines = [line.strip() for line in path.read_text().splitlines()]
    return lines.index(text.strip()) + 1 if text.strip() in lines else 0
