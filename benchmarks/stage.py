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
PEERS = ROOT / ".bench" / "peers" / "bin" / "python"
SAQ = ROOT / ".bench" / "saq" / "bin" / "python"
ARQ = ROOT / ".bench" / "arq" / "bin" / "python"
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
        ours = {f"UNLINKER_{name}": str(value) for name, value in chosen.items()}
        name = f"bench{len(self.workers)}@{self.home.name}"
        command = [sys.executable, "-m", "gateway.cli", "worker", "--log-level", "ERROR", "--name", name]
        return self._start(command, ROOT, ours)

    def start_peer(self, *command: str) -> "subprocess.Popen[bytes]":
        """A peer's worker."""
        folder = ROOT / "benchmarks" / "peers"
        return self._start(list(command), folder, {})

    def run_peer(self, *command: str) -> float:
        """A peer's program to its end; returns the seconds."""
        start = time.monotonic()
        environment = self._environment({})
        subprocess.run(command, cwd=ROOT / "benchmarks" / "peers", env=environment, check=True, capture_output=True)
        return time.monotonic() - start

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("UNLINKER_")}
        return clean | {"BENCH_API": self.address, "BENCH_REDIS": self.redis_url} | more

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
        for worker in found.workers if found else []:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(10)
        api.kill()
        api.wait(10)
        stop(home)
        shutil.rmtree(home, ignore_errors=True)
