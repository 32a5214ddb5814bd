"""`make demo` and `make serve`: the whole of unlinker on this machine, against the sandbox, never against the real API.

Everything runs under .unlinker/demo, without the caller's UNLINKER_ settings and without a .env file.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.embedded_valkey import ensure_running, stop
from config.settings import PREFIX
from gateway.composition import connect
from gateway.output import note, print_jobs
from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN
from tasks.unlink import NAME
from worker.engine import envelope
from worker.stores import keys
from worker.stores.wishes import Wishes

HOME = Path(".unlinker/demo")
START_TIMEOUT = 30.0  # seconds
END_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Example:
    """One job of the demo and how it must end."""

    relationtype: str
    parentid: int
    childid: int
    outcome: str
    reason: str | None = None


EXAMPLES = (
    Example("calendar:address", 671, 153, "unlinked"),
    Example("estate:address:buyer", 10, 20, "unlinked"),
    Example("calendar:address", 671, 999, "already_absent"),
    Example("estate:address:owner", 42, 7, "dead", "NotDeletable"),
    Example("estate:adress:owner", 42, 7, "dead", "UnknownRelationType"),
)


@dataclass(frozen=True, slots=True)
class House:
    """What runs."""

    redis_url: str
    sandbox: str  # the line with its addresses
    environment: Mapping[str, str]


def demo() -> int:
    """Start everything, run the examples, print their outcomes, stop everything. 0 if all ended as they must."""
    with _running_house(latency_ms=50, port=0) as house:
        wishes = Wishes(connect(house.redis_url))
        ids = [_send(house.redis_url, example) for example in EXAMPLES]
        documents = [_wait(wishes, job_id) for job_id in ids]
    print_jobs(documents, title="what became of the demo's jobs")
    wrong = [
        example
        for example, document in zip(EXAMPLES, documents, strict=True)
        if (document.get("outcome"), document.get("reason")) != (example.outcome, example.reason)
    ]
    for example in wrong:
        note(f"not as expected: {example}; the logs are under {HOME}")
    return 1 if wrong else 0


def serve(port: int = 8099) -> int:
    """Start everything and leave it running until Ctrl-C."""
    with _running_house(latency_ms=50, port=port) as house:
        note(house.sandbox)
        note(f"worker: running, log {HOME / 'worker.log'}")
        note("in another terminal, to talk to it:")
        for name in sorted(house.environment):
            if name.startswith(PREFIX):
                note(f"  export {name}={house.environment[name]}")
        note("  .venv/bin/unlinker unlink calendar:address 671 153 --wait")
        note("Ctrl-C stops all of it.")
        try:
            signal.pause()
        except KeyboardInterrupt:
            note("stopping")
    return 0


@contextmanager
def _running_house(latency_ms: int, port: int) -> Iterator[House]:
    HOME.mkdir(parents=True, exist_ok=True)
    redis_url = ensure_running(HOME)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with ExitStack() as stack:
        stack.callback(stop, HOME)
        arguments = ["sandbox", "--port", str(port), "--latency-ms", str(latency_ms)]
        sandbox = stack.enter_context(_process("sandbox", arguments, environment))
        line = _first_line(sandbox, HOME / "sandbox.log", "sandbox: ")
        environment |= {
            f"{PREFIX}REDIS_URL": redis_url,
            f"{PREFIX}ONOFFICE_URL": line.split()[1],
            f"{PREFIX}ONOFFICE_TOKEN": DEFAULT_TOKEN,
            f"{PREFIX}ONOFFICE_SECRET": DEFAULT_SECRET,
        }
        worker = stack.enter_context(_process("worker", ["worker"], environment))
        _first_line(worker, HOME / "worker.log", "ready")
        yield House(redis_url, line, environment)


@contextmanager
def _process(name: str, arguments: list[str], environment: Mapping[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    with (HOME / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "gateway.cli", *arguments]
        process = subprocess.Popen(
            command, cwd=HOME, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(END_TIMEOUT)


def _first_line(process: "subprocess.Popen[bytes]", log: Path, word: str) -> str:
    """The first line of a log that holds a word; ends the demo if the process ends before."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        text = log.read_text(errors="replace")
        found = [line for line in text.splitlines() if word in line]
        if found:
            return found[0]
        if process.poll() is not None:
            raise SystemExit(f"did not start: {text.strip() or log}")
        time.sleep(0.05)
    raise SystemExit(f"not ready after {START_TIMEOUT:.0f} s; see {log}")


def _send(redis_url: str, example: Example) -> str:
    """As a stranger would: straight into the queue, so that the worker is the one who judges."""
    job_id = str(uuid.uuid4())
    arguments = {
        "relationtype": example.relationtype,
        "parentid": example.parentid,
        "childid": example.childid,
        "requested_by": "demo",
    }
    connect(redis_url).lpush(keys.QUEUES[0], envelope.write(NAME, job_id, arguments))
    return job_id


def _wait(wishes: Wishes, job_id: str) -> dict[str, object]:
    deadline = time.monotonic() + END_TIMEOUT
    while time.monotonic() < deadline:
        document = wishes.document(job_id)
        if document is not None and document["status"] == "ended":
            return document
        time.sleep(0.05)
    raise SystemExit(f"job {job_id} has not ended after {END_TIMEOUT:.0f} s; see {HOME / 'worker.log'}")


def main() -> int:
    """`python -m gateway.demo [serve]`."""
    if sys.argv[1:] == ["serve"]:
        return serve()
    if sys.argv[1:] == []:
        return demo()
    note(f"unknown arguments: {json.dumps(sys.argv[1:])}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
