"""The task `unlinker.redrive` on real workers: sent twice at once, stopped, killed, and beside jobs of others."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from celery import Celery

from tests.ends import die
from tests.faults.test_workers import LINK
from tests.harness import House, eventually
from worker.stores import keys
from worker.stores.dead_letters import DeadLetters
from worker.stores.keep_rules import DAY
from worker.stores.letter import Filter
from worker.unlinking.outcome import dead

TASK = "unlinker.redrive"
HOURS_AGO = 2 * 3600


@dataclass
class Heard:
    """What a webhook was told."""

    url: str
    documents: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def web_server() -> Iterator[Heard]:
    """Hears webhooks."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.documents.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        heard = Heard(f"http://127.0.0.1:{server.server_address[1]}/")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield heard
        server.shutdown()


def overdue(house: House, count: int, age: float = HOURS_AGO) -> list[str]:
    """Letters of a passing trouble that ended a while ago; their links are there."""
    house.sandbox.add_links([("calendar:address", number, 5) for number in range(1, count + 1)])
    ids = [f"letter-{number}" for number in range(count)]
    die(house.redis_url, ids, dead("Exhausted", 1, "later"))
    for letter_id in ids:
        house.client.hset(keys.job(letter_id), "ended_at", int((time.time() - age) * 1000))
    return ids


def send(house: House, times: int = 1) -> list[dict[str, Any]]:
    """What the scheduler sends, and what comes of it."""
    with Celery(broker=house.redis_url, backend=house.redis_url) as app:
        sent = [app.send_task(TASK, queue="control") for _ in range(times)]
        return [each.get(timeout=60) for each in sent]


def left(house: House) -> int:
    return DeadLetters(house.client).count(Filter())


def test_a_pass_redrives_what_is_due_and_drops_what_is_old_though_sent_twice(house: House) -> None:
    archive = house.home / "archive"
    house.settings |= {"UNLINKER_ARCHIVE_DIR": str(archive), "UNLINKER_DEAD_LETTERS_DAYS": "30"}
    old = overdue(house, 3, age=40 * DAY)
    due = [f"due-{number}" for number in range(20)]
    die(house.redis_url, due, dead("Exhausted", 1, "later"))
    for letter_id in due:
        house.client.hset(keys.job(letter_id), "ended_at", int((time.time() - HOURS_AGO) * 1000))
    house.sandbox.add_links([("calendar:address", number, 5) for number in range(1, 21)])
    house.start_worker()
    house.start_worker()
    results = send(house, 2)
    assert sum(result.get("redriven", 0) for result in results) == 20
    assert sum(result.get("letters_dropped", 0) for result in results) == 3
    again = [house.job(letter_id)["replayed_as"] for letter_id in due]
    assert {document["outcome"] for document in house.all_ended(again).values()} == {"unlinked"}
    assert left(house) == 0
    assert {file.stat().st_mode & 0o777 for file in archive.glob("*.jsonl")} == {0o600}
    kept = [json.loads(line) for file in archive.glob("*.jsonl") for line in file.read_text().splitlines()]
    assert {line["id"] for line in kept} == set(old)
    acts = {(act["action"], act["by"]): act["count"] for act in house.ask("audit") if act["count"]}
    assert acts == {("redrive", "redrive"): 20, ("drop dead letters", "retention"): 3}


def test_jobs_go_on_beside_a_pass_and_a_stop_need_not_wait_for_it(house: House) -> None:
    """400 letters at 50 a second: eight seconds, in which the loop serves others and SIGTERM is heard."""
    overdue(house, 400)
    worker = house.start_worker(UNLINKER_REQUESTS_PER_SECOND="100")
    with Celery(broker=house.redis_url, backend=house.redis_url) as app:
        sent = app.send_task(TASK, queue="control")
        eventually(lambda: left(house) < 400)
        start = time.monotonic()
        assert house.ended(house.unlink(*LINK))["outcome"] == "unlinked"
        assert time.monotonic() - start < 3
        assert left(house) > 100, "the pass is still at work"
        assert worker.terminate() < 5
        assert left(house) > 50
        house.start_worker()
        assert sent.get(timeout=30) is not None
    moved = [house.job(f"letter-{number}").get("replayed_as") for number in range(400)]
    assert moved.count(None) == left(house), "each letter is where it was, or a job"


def test_a_pass_whose_worker_is_killed_is_taken_over(house: House) -> None:
    ids = overdue(house, 120)
    house.sandbox.call("PATCH", "options", {"latency_ms": 5})
    worker = house.start_worker()
    with Celery(broker=house.redis_url, backend=house.redis_url) as app:
        sent = app.send_task(TASK, queue="control")
        eventually(lambda: left(house) < 100)
        worker.kill()
        house.client.delete(keys.HOUSEKEEPING)  # its lease is two minutes long
        house.start_worker(UNLINKER_REQUESTS_PER_SECOND="100")
        assert sent.get(timeout=30)["redriven"] >= 10
    again = [house.job(letter_id)["replayed_as"] for letter_id in ids]
    assert len(set(again)) == len(ids)
    house.all_ended(again)
    assert house.sandbox.call("GET", "stats")["deleted_twice"] == []


def test_an_archive_that_cannot_be_written_fails_the_task_and_drops_nothing(house: House) -> None:
    overdue(house, 3, age=100 * DAY)
    (house.home / "file").write_text("no folder")
    with web_server() as heard:
        _fail_to_archive(house, heard)


def _fail_to_archive(house: House, heard: Heard) -> None:
    folder = str(house.home / "file")
    worker = house.start_worker(UNLINKER_ARCHIVE_DIR=folder, UNLINKER_NOTIFY_WEBHOOK=heard.url)
    with Celery(broker=house.redis_url, backend=house.redis_url) as app:
        sent = app.send_task(TASK, queue="control")
        eventually(lambda: sent.state == "FAILURE")
        again = app.send_task(TASK, queue="control")
        eventually(lambda: again.state == "FAILURE")
    assert left(house) == 3
    (told,) = heard.documents
    assert told["title"].startswith("old dead letters and journal entries stay")
    assert f"no file can be written in {house.home / 'file'}" in told["text"]
    assert "nothing was dropped" in worker.wait_for(f"no file can be written in {house.home / 'file'}")
    doctor = house.run("doctor", UNLINKER_ARCHIVE_DIR=str(house.home / "file"))
    assert "archive" in doctor.stdout
    assert doctor.returncode == 1


def test_doctor_writes_a_trial_file_into_the_archive_folder(house: House) -> None:
    """A full disk takes no byte more though the folder may be written to; here it is the bound on a process' files."""
    settings = {"UNLINKER_ARCHIVE_DIR": str(house.home)}
    fine = house.run("doctor", "--json", **settings)
    assert fine.returncode == 0, fine.stdout
    limited = ["bash", "-c", 'ulimit -f 16; exec "$0" -m gateway.cli doctor --json', sys.executable]
    full = subprocess.run(
        limited, cwd=house.home, env=house.environment(**settings), capture_output=True, text=True, check=False
    )
    assert full.returncode == 1
    checks = {check["name"]: check for check in json.loads(full.stdout)["checks"]}
    assert "cannot be written to: File too large" in checks["archive folder"]["text"]
    assert list(house.home.glob("tmp*")) == []
