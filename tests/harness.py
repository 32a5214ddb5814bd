"""A house for tests: a real Valkey, a sandbox process and real worker processes, each in a folder of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import redis

from config.embedded_valkey import ensure_running, stop
from gateway.cli import run as run_command
from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN
from tasks.unlink import NAME
from tasks.unlink_many import NAME as UNLINK_MANY
from worker.engine import envelope
from worker.stores import keys
from worker.stores.wishes import Wish, Wishes
from worker.unlinking.job import Job

ROOT = Path(__file__).parent.parent
START_TIMEOUT = 30.0  # seconds
END_TIMEOUT = 60.0


def eventually(what: Callable[[], Any], timeout: float = END_TIMEOUT, every: float = 0.05) -> Any:
    """The first true value of `what`; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(every)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Control:
    """The sandbox's control API."""

    address: str

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One call; returns the JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/_sandbox/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def links(self) -> set[tuple[str, int, int]]:
        """Every link there is."""
        return {(x["relationtype"], x["parentid"], x["childid"]) for x in self.call("GET", "state")["links"]}

    def add_links(self, links: Iterable[tuple[str, int, int]], *, undeletable: bool = False) -> None:
        """Make links."""
        documents = [
            {"relationtype": kind, "parentid": parent, "childid": child, "undeletable": undeletable}
            for kind, parent, child in links
        ]
        self.call("PUT", "links", documents)

    def fault(self, kind: str, times: int | None = 1, **rest: Any) -> None:
        """Add a fault."""
        self.call("POST", "faults", {"kind": kind, "times": times, **rest})

    def actions(self, name: str = "delete") -> list[dict[str, Any]]:
        """All logged actions of a kind."""
        log = self.call("GET", "log?limit=1000000")
        return [action for request in log for action in request["actions"] if action["action"] == name]

    def requests(self) -> list[dict[str, Any]]:
        """All logged requests."""
        found: list[dict[str, Any]] = self.call("GET", "log?limit=1000000")
        return found


@dataclass
class Process:
    """One started process and its log."""

    popen: "subprocess.Popen[bytes]"
    log: Path

    def text(self) -> str:
        """The log."""
        return self.log.read_text(errors="replace")

    def wait_for(self, word: str) -> str:
        """The first line with `word`."""

        def found() -> str | None:
            assert self.popen.poll() is None, self.text()
            return next((line for line in self.text().splitlines() if word in line), None)

        line: str = eventually(found, START_TIMEOUT)
        return line

    def kill(self) -> None:
        """SIGKILL."""
        self.popen.kill()
        self.popen.wait(10)

    def terminate(self, number: int = signal.SIGTERM, timeout: float = 60) -> float:
        """A signal, and the seconds until the end."""
        start = time.monotonic()
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        self.popen.wait(timeout)
        return time.monotonic() - start


@dataclass
class House:
    """Everything a test needs to see unlinker at work."""

    home: Path
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.redis_url = ensure_running(self.home)
        self.client = redis.Redis.from_url(self.redis_url)
        self.wishes = Wishes(self.client)

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment of our processes, and nothing of the caller's settings."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("UNLINKER_")}
        short = {"UNLINKER_VISIBILITY_TIMEOUT": "3", "UNLINKER_READ_LAG": "2"}  # tests wait for them
        ours = {"UNLINKER_REDIS_URL": self.redis_url, **short, **self.settings, **settings}
        return clean | {"PYTHONPATH": str(ROOT)} | ours

    def start(self, *command: str, **settings: str) -> Process:
        """Start `unlinker COMMAND`."""
        return self.start_module("gateway.cli", *command, **settings)

    def start_module(self, module: str, *words: str, **settings: str) -> Process:
        """Start a Python module with our environment."""
        log = self.home / f"{words[0]}-{len(self.processes)}.log"
        with log.open("wb") as file:
            popen = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=self.home,
                env=self.environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        process = Process(popen, log)
        self.processes.append(process)
        return process

    def start_sandbox(self, *options: str) -> Control:
        """A sandbox on a free port; our processes talk to it from here on."""
        process = self.start("sandbox", "--port", "0", "--latency-ms", "0", *options)
        url = process.wait_for("sandbox: ").split()[1]
        self.settings |= {
            "UNLINKER_ONOFFICE_URL": url,
            "UNLINKER_ONOFFICE_TOKEN": DEFAULT_TOKEN,
            "UNLINKER_ONOFFICE_SECRET": DEFAULT_SECRET,
        }
        self.sandbox = Control(url.split("/api/")[0])
        return self.sandbox

    def start_worker(self, *, wait: bool = True, **settings: str) -> Process:
        """A worker; `settings` are added to its environment."""
        process = self.start("worker", "--name", f"w{len(self.processes)}@test", **settings)
        if wait:
            process.wait_for("ready")
        return process

    def run(self, *command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run `unlinker COMMAND` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "gateway.cli", *command],
            cwd=self.home,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def here(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """The same in this process: one of its own takes a second to start."""
        out, err = StringIO(), StringIO()
        with patch.dict(os.environ, self.environment(), clear=True), redirect_stdout(out), redirect_stderr(err):
            code = run_command(list(command))
        return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())

    def ask(self, *command: str) -> Any:
        """The JSON document of a command, run in this process."""
        return json.loads(self.here(*command, "--json").stdout)

    def push(self, arguments: Mapping[str, object], **headers: object) -> str:
        """A stranger's message, straight into the queue; returns the job's id."""
        job_id = str(uuid.uuid4())
        message = json.loads(envelope.write(NAME, job_id, arguments))
        message["headers"] |= headers
        del message["headers"][envelope.VERSION_HEADER]
        self.client.lpush(keys.QUEUES[0], json.dumps(message))
        return job_id

    def push_chunk(self, relations: Sequence[object], **arguments: object) -> str:
        """A chunk, straight into the bulk queue; returns its id."""
        chunk_id = str(uuid.uuid4())
        content = {"relations": list(relations), **arguments}
        self.client.lpush(keys.QUEUES[2], envelope.write(UNLINK_MANY, chunk_id, content, keys.QUEUES[2]))
        return chunk_id

    def rows(self, *chunk_ids: str) -> bytes:
        """One byte per row of some chunks."""
        stored: Any = [self.client.get(keys.rows(chunk_id)) or b"" for chunk_id in chunk_ids]
        return b"".join(stored)

    def unlink(self, kind: str, parentid: int, childid: int, **more: object) -> str:
        """A job through our own door; returns its id."""
        arguments = {"relationtype": kind, "parentid": parentid, "childid": childid, **more}
        job = Job.from_arguments(str(uuid.uuid4()), arguments)
        self.wishes.enqueue(Wish(job, envelope.write(NAME, job.id, job.as_arguments())))
        return job.id

    def job(self, job_id: str) -> dict[str, Any]:
        """A job's document; empty while nobody knows it."""
        return dict(self.wishes.document(job_id) or {})

    def ended(self, job_id: str, timeout: float = END_TIMEOUT) -> dict[str, Any]:
        """A job's document once it has ended."""
        found: dict[str, Any] = eventually(
            lambda: document if (document := self.job(job_id)).get("status") == "ended" else None, timeout
        )
        return found

    def all_ended(self, ids: Sequence[str], timeout: float = END_TIMEOUT) -> dict[str, dict[str, Any]]:
        """The documents of many jobs once all have ended."""
        waiting, found = list(ids), {}
        deadline = time.monotonic() + timeout
        while waiting:
            for job_id in waiting:
                document = self.job(job_id)
                if document.get("status") == "ended":
                    found[job_id] = document
            waiting = [job_id for job_id in waiting if job_id not in found]
            if waiting:
                assert time.monotonic() < deadline, f"{len(waiting)} jobs have not ended: {self.job(waiting[0])}"
                time.sleep(0.1)
        return found

    def status(self, job_id: str) -> str | None:
        """A job's status."""
        return self.job(job_id).get("status")

    def close(self) -> None:
        """End all processes and the Valkey."""
        for process in reversed(self.processes):
            if process.popen.poll() is None:
                process.popen.send_signal(signal.SIGCONT)
                process.popen.kill()
                process.popen.wait(10)
        self.client.close()
        stop(self.home)


def with_another_account(house: House) -> None:
    """For workers that go on claiming while `default` is halted: they stop once all their accounts are."""
    accounts = house.home / "accounts.toml"
    accounts.write_text(f'[accounts.other]\ntoken = "{DEFAULT_TOKEN}"\nsecret = "{DEFAULT_SECRET}"\n')
    house.settings["UNLINKER_ACCOUNTS_FILE"] = str(accounts)
