"""What every row needs: the API, a Valkey with AOF everysec, worker processes, and a look at their cost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from config.embedded_valkey import ensure_running, stop
from worker.stores import keys

ROOT = Path(__file__).parent.parent
PEERS, SAQ, ARQ, BATCHES = (ROOT / ".bench" / name / "bin" / "python" for name in ("peers", "saq", "arq", "batches"))
PEERS_FOLDER = ROOT / "benchmarks" / "peers"
UNLINKER = str(Path(sys.executable).with_name("unlinker"))
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PATIENCE = 900.0  # seconds


def wait_until(what: Callable[[], Any], every: float = 0.01, patience: float = PATIENCE) -> None:
    """Return once `what` is true. Raises TimeoutError."""
    deadline = time.monotonic() + patience
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {patience} s")
        time.sleep(every)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(pid: int) -> float:
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20


@dataclass
class Stage:
    """One row's processes; nothing of it is left afterwards."""

    home: Path
    api: "subprocess.Popen[str]"
    address: str
    redis_url: str
    client: "redis.Redis"
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def ask(self, path: str) -> Any:
        """The API's figures."""
        with urllib.request.urlopen(self.address + path, timeout=30) as response:
            return json.load(response)

    @property
    def valkey_pid(self) -> int:
        """The server's process."""
        return int(self.client.info("server")["process_id"])

    def start_worker(self, **settings: object) -> "subprocess.Popen[bytes]":
        """Our worker, with the limit off unless `settings` say otherwise."""
        name = f"bench{len(self.workers)}@{self.home.name}"
        return self._start([UNLINKER, "worker", "--log-level", "ERROR", "--name", name], ROOT, self._ours(settings))

    def run_ours(self, *command: str) -> float:
        """A command of ours to its end; returns the seconds. Raises CalledProcessError."""
        return self._run([UNLINKER, *command], ROOT, self._ours({}))

    def start_peer(self, *command: str) -> "subprocess.Popen[bytes]":
        """A peer's worker."""
        return self._start(list(command), PEERS_FOLDER, {})

    def run_peer(self, *command: str) -> float:
        """A peer's program to its end; returns the seconds."""
        return self._run(list(command), PEERS_FOLDER, {})

    def kill(self, worker: "subprocess.Popen[bytes]") -> None:
        """SIGKILL for a worker and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(10)
        self.workers.remove(worker)

    def _ours(self, settings: dict[str, object]) -> dict[str, str]:
        chosen = {
            "REDIS_URL": self.redis_url,
            "ONOFFICE_URL": self.address,
            "ONOFFICE_TOKEN": "t" * 32,
            "ONOFFICE_SECRET": "s" * 64,
            "REQUESTS_PER_SECOND": 100_000,
            "ACTIONS_PER_REQUEST": 50,
            "MAX_IN_FLIGHT": 8,
            **settings,
        }
        return {f"UNLINKER_{name}": str(value) for name, value in chosen.items()}

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("UNLINKER_")}
        return clean | {"BENCH_API": self.address, "BENCH_REDIS": self.redis_url} | more

    def _run(self, command: list[str], folder: Path, more: dict[str, str]) -> float:
        start = time.monotonic()
        subprocess.run(command, cwd=folder, env=self._environment(more), check=True, capture_output=True)
        return time.monotonic() - start

    def _start(self, command: list[str], folder: Path, more: dict[str, str]) -> "subprocess.Popen[bytes]":
        with (self.home / f"worker-{len(self.workers)}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=self._environment(more),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # some peers leave processes of their own behind
            )
        self.workers.append(process)
        return process

    def left(self) -> int:
        """Messages in our queues and claims, delayed and parked."""
        queued = sum(self.client.llen(name) for name in keys.QUEUES)
        return (
            queued + self.client.hlen(keys.CLAIMED) + self.client.zcard(keys.DELAYED) + self.client.scard(keys.PARKING)
        )

    def wait_for_ready(self) -> None:
        """Our workers have claimed nothing yet and wait for messages."""
        wait_until(lambda: len(self.client.client_list(_type="normal")) >= 3 * len(self.workers) + 1)
        time.sleep(1.0)


@contextmanager
def stage(latency_ms: float = 50) -> Iterator[Stage]:
    """Everything a row needs, on free ports and in a folder of its own."""
    home = Path(tempfile.mkdtemp(prefix="unlinker-bench-"))
    python = str(PEERS) if PEERS.exists() else sys.executable
    api = subprocess.Popen([python, str(ROOT / "benchmarks" / "api.py"), "0"], stdout=subprocess.PIPE, text=True)
    found = None
    try:
        line = api.stdout.readline() if api.stdout else ""
        redis_url = ensure_running(home)
        found = Stage(home, api, line.split()[1], redis_url, redis.Redis.from_url(redis_url))
        found.ask(f"reset?latency_ms={latency_ms}")
        yield found
    finally:
        if found is not None:
            for worker in list(found.workers):
                found.kill(worker)
        api.kill()
        api.wait(10)
        stop(home)
        shutil.rmtree(home, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox with links in it; the API above only counts, this one knows what is there."""

    url: str

    def ask(self, path: str, document: object = None) -> Any:
        """A call of its control API."""
        data = None if document is None else json.dumps(document).encode()
        with urllib.request.urlopen(f"{self.url.split('/api/')[0]}/_sandbox/{path}", data, timeout=300) as response:
            return json.load(response)

    def stats(self) -> Any:
        """Its figures."""
        return self.ask("stats")


@contextmanager
def sandbox(relationtype: str, first_parent: int, parents: int, children: int) -> Iterator[Sandbox]:
    """A sandbox process with so many parents, and links from each of them to so many children."""
    command = [UNLINKER, "sandbox", "--port", "0", "--latency-ms", "50"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        found = Sandbox(line.split()[1])
        links = {"relationtype": relationtype, "parents": parents, "children_per_parent": children}
        found.ask("links/generate", {**links, "first_parent": first_parent})
        yield found
    finally:
        process.kill()
        process.wait(10)
