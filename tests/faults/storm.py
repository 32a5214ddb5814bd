"""The storm: workers and Redis are killed, the API resets, hangs, lies, cuts and throttles, all at once.

`make storm` runs the long one; SEED, STORM_JOBS and STORM_KILLS change it. The seed is printed first.
"""

import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from config.embedded_valkey import ensure_running
from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN
from tests.harness import House, eventually
from worker.stores import keys

SECOND_TOKEN, SECOND_SECRET = "second-token-0123456789abcdefghi"[:32], "second-secret-" + "z" * 50
ACCOUNTS = ("default", "second")
CHUNK = 40  # rows
RATE = 60  # requests per second and account
LATE = 1.5  # seconds after its answer a request is carried out
READ_LAG = 1.0  # seconds that reads go on showing a deleted link
# their deletes are carried out, and answered with an error code
LIES = ("lie_error", "doubled", "echo")
FAULTS: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("reset_before", 0.02, {}),
    ("reset_after", 0.02, {}),
    ("hang_before", 0.004, {"seconds": 4}),
    ("hang_after", 0.004, {"seconds": 4}),
    ("cut_body", 0.01, {"bytes": 60}),
    ("throttle_429", 0.02, {"retry_after": "1"}),
    ("throttle_429", 0.01, {}),
    ("unavailable_503", 0.01, {"retry_after": "-1"}),
    ("bad_gateway_502", 0.01, {}),
    ("html_200", 0.01, {}),
    ("truncated_json", 0.01, {}),
    ("drop_results", 0.02, {"count": 2}),
    ("swap_results", 0.03, {}),
    ("foreign_identifier", 0.02, {}),
    ("lie_ok", 0.02, {}),
    ("lie_error", 0.02, {}),
    ("request_code", 0.01, {"code": 1}),
    # carried out, at once or late, and answered as if the server had refused it
    ("unavailable_503", 0.01, {"retry_after": "1", "done": True}),
    ("throttle_429", 0.005, {"retry_after": "1", "done": True}),
    ("bad_gateway_502", 0.01, {"done_after": LATE}),
    ("doubled", 0.02, {}),
    ("echo", 0.01, {"what": "body", "where": "page"}),
    ("echo", 0.01, {"what": "token", "where": "message"}),
    ("slow", 0.02, {"seconds": 1}),
)
# a delete that answers 80 while its link is there is a dead letter, and rightly so; a read that does is asked again
READ_FAULTS = (
    {"kind": "action_code", "times": None, "probability": 0.02, "match": {"action": "get"}, "params": {"code": 80}},
)
Link = tuple[str, int, int]


@dataclass
class Asked:
    """What was wished, and what must come of it."""

    present: dict[str, Link] = field(default_factory=dict)  # id -> link that is there
    absent: dict[str, Link] = field(default_factory=dict)
    kept: dict[str, Link] = field(default_factory=dict)  # cannot be deleted
    unknown: list[str] = field(default_factory=list)  # ids of jobs with a relation type that does not exist
    chunks: dict[str, list[str]] = field(default_factory=dict)  # id -> what must come of each row

    @property
    def ids(self) -> list[str]:
        """All of them."""
        return [*self.present, *self.absent, *self.kept, *self.unknown, *self.chunks]

    @property
    def links_kept(self) -> set[Link]:
        """What must be there in the end."""
        return set(self.kept.values()) | self.kept_rows

    @property
    def links_there(self) -> set[Link]:
        """What was there before, and must be again after an undo."""
        return self.links_kept | set(self.present.values()) | self.present_rows

    kept_rows: set[Link] = field(default_factory=set)
    present_rows: set[Link] = field(default_factory=set)


@dataclass
class Figures:
    """What happened."""

    jobs: int = 0
    kills: int = 0
    redis_kills: int = 0
    full_disks: int = 0
    demotions: int = 0  # Redis was a read-only replica for a while
    connection_kills: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    deletes_sent: int = 0
    worst_second: dict[str, int] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)


def run(home: Path, seed: int, jobs: int, kills: int) -> Figures:
    """One storm. Raises AssertionError when a promise does not hold."""
    chance = random.Random(seed)
    house = _house(home)
    figures = Figures(jobs=jobs)
    start = time.monotonic()
    try:
        bystanders = [("calendar:estate", number, 9) for number in range(1, 501)]
        house.sandbox.add_links(bystanders)
        before = house.sandbox.links()
        house.sandbox.call(
            "POST", "faults", [{"kind": k, "times": None, "probability": p, "params": x} for k, p, x in FAULTS]
        )
        house.sandbox.call("POST", "faults", list(READ_FAULTS))
        asked = _storm(house, chance, figures, jobs, kills)
        house.all_ended(asked.ids, timeout=300)
        figures.seconds = time.monotonic() - start
        _check(house, asked, before, figures)
        _undo(house)
        _check_undone(house, asked, before)
    finally:
        house.close()
    return figures


def _house(home: Path) -> House:
    house = House(home)
    house.start_sandbox("--account", f"second:{SECOND_TOKEN}:{SECOND_SECRET}")
    house.sandbox.call("PATCH", "options", {"latency_ms": 20, "read_lag_s": READ_LAG})
    accounts = home / "accounts.toml"
    accounts.write_text(f'[accounts.second]\ntoken = "{SECOND_TOKEN}"\nsecret = "{SECOND_SECRET}"\n')
    house.settings |= {
        "UNLINKER_ACCOUNTS_FILE": str(accounts),
        "UNLINKER_REQUESTS_PER_SECOND": str(RATE),
        "UNLINKER_ACTIONS_PER_REQUEST": "6",
        "UNLINKER_MAX_IN_FLIGHT": "10",
        "UNLINKER_REQUEST_TIMEOUT": "2",
        "UNLINKER_MAX_ATTEMPTS": "25",  # so many faults at once would use up five
        "UNLINKER_VERIFY": "always",  # the API lies
        "UNLINKER_READ_LAG": str(4 * READ_LAG),
        "UNLINKER_LOOK_FIRST": "true",  # so that an undo can tell what was ours
    }
    return house


def _storm(house: House, chance: random.Random, figures: Figures, jobs: int, kills: int) -> Asked:
    """Enqueue in portions; between them, kill something."""
    asked = Asked()
    workers = [house.start_worker(), house.start_worker()]
    portions = kills + 2
    for portion in range(portions):
        _enqueue(house, chance, asked, jobs * portion // portions, jobs * (portion + 1) // portions)
        time.sleep(chance.uniform(0.5, 2.5))
        if figures.kills < kills:
            victim = chance.randrange(2)
            workers[victim].kill()
            figures.kills += 1
            workers[victim] = house.start_worker(wait=False)
        _disturb_redis(house, chance, figures, portion)
        for worker in workers:
            assert worker.popen.poll() is None, f"a worker ended by itself: {worker.text()[-3000:]}"
    return asked


def _disturb_redis(house: House, chance: random.Random, figures: Figures, portion: int) -> None:
    if portion % 7 == 3:
        _kill_redis(house, chance)
        figures.redis_kills += 1
    elif portion % 7 == 2:
        _fill_disk(house, chance)
        figures.full_disks += 1
    elif portion % 7 == 5:
        _demote(house, chance)
        figures.demotions += 1
    elif portion % 3 == 1:
        house.client.client_kill_filter(skipme=True)
        figures.connection_kills += 1


def _enqueue(house: House, chance: random.Random, asked: Asked, first: int, last: int) -> None:
    numbers = list(range(first + 1000, last + 1000))
    fates = [chance.choices(("present", "absent", "kept", "unknown"), (80, 9, 9, 2))[0] for _ in numbers]
    links = {number: ("calendar:address", number, 5) for number in numbers}
    house.sandbox.add_links([links[n] for n, fate in zip(numbers, fates, strict=True) if fate == "present"])
    house.sandbox.add_links([links[n] for n, f in zip(numbers, fates, strict=True) if f == "kept"], undeletable=True)
    _enqueue_chunks(house, asked, [(links[n], fate) for n, fate in zip(numbers, fates, strict=True) if n % 5 == 0])
    for number, fate in zip(numbers, fates, strict=True):
        account = ACCOUNTS[number % 2]
        if number % 5 == 0:
            continue
        if fate == "unknown":
            wish = {"relationtype": "calendar:adress", "parentid": number, "childid": 5, "account": account}
            asked.unknown.append(house.push(wish))
            continue
        job_id = house.unlink(*links[number], account=account)
        getattr(asked, fate)[job_id] = links[number]


def _enqueue_chunks(house: House, asked: Asked, rows: list[tuple[Link, str]]) -> None:
    """Every fifth relation goes in a chunk; those of unknown type under that type."""
    for number in range(0, len(rows), CHUNK):
        portion = rows[number : number + CHUNK]
        relations = [("calendar:adress", *link[1:]) if fate == "unknown" else link for link, fate in portion]
        chunk_id = house.push_chunk(relations, account=ACCOUNTS[number // CHUNK % 2])
        asked.chunks[chunk_id] = [fate for _, fate in portion]
        asked.kept_rows |= {link for link, fate in portion if fate == "kept"}
        asked.present_rows |= {link for link, fate in portion if fate == "present"}


def _kill_redis(house: House, chance: random.Random) -> None:
    pid = int(house.client.info("server")["process_id"])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    time.sleep(chance.choice((0.0, 0.5, 2.0)))
    ensure_running(house.home)


def _fill_disk(house: House, chance: random.Random) -> None:
    """Redis' files may not grow, as on a full disk: it refuses every write with MISCONF until there is room again."""
    pid = int(house.client.info("server")["process_id"])
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    time.sleep(chance.uniform(0.5, 2.0))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    _wait_until_writable(house)


def _demote(house: House, chance: random.Random) -> None:
    """Redis is a replica, as after a failover that went elsewhere: it refuses every write with READONLY."""
    house.client.replicaof("127.0.0.1", "1")
    time.sleep(chance.uniform(0.5, 2.0))
    house.client.replicaof("NO", "ONE")
    _wait_until_writable(house)


def _wait_until_writable(house: House) -> None:
    def writes() -> bool:
        try:
            return bool(house.client.set("storm:writable", 1))
        except redis.exceptions.ResponseError:
            return False

    eventually(writes, 30)
    house.client.delete("storm:writable")


def _check(house: House, asked: Asked, before: set[Link], figures: Figures) -> None:
    documents = {job_id: house.job(job_id) for job_id in asked.ids}
    figures.outcomes = Counter(
        f"{d['outcome']}{':' + d['reason'] if 'reason' in d else ''}" for d in documents.values()
    )
    requests = house.sandbox.requests()
    figures.faults = Counter(request["fault"] for request in requests if request["fault"])
    figures.deletes_sent = len(house.sandbox.actions())
    stats = house.sandbox.call("GET", "stats")
    figures.worst_second = stats["worst_second"]
    lied_to = _named(requests, LIES)
    false_success = _named(requests, ("lie_ok",))
    for job_id, link in asked.present.items():
        outcome, by = documents[job_id]["outcome"], documents[job_id]["by"]
        # told an error although it was done, and shown by a read that lags: nobody knows, so undo looks
        unknown = job_id in lied_to and by == "unknown" and outcome in ("already_absent", "dead")
        assert outcome == "unlinked" or unknown, (link, documents[job_id])
    for job_id in asked.absent:
        assert documents[job_id]["outcome"] in ("already_absent", "unlinked"), documents[job_id]
    for job_id in asked.kept:
        contradicted = job_id in false_success and _is_contradicted(documents[job_id])
        assert documents[job_id].get("reason") == "NotDeletable" or contradicted, documents[job_id]
    for job_id in asked.unknown:
        assert documents[job_id]["reason"] == "UnknownRelationType", documents[job_id]
    for chunk_id, fates in asked.chunks.items():
        _check_rows(house, chunk_id, fates, lied_to, false_success)
    _check_links(house, asked, before, documents, false_success)
    assert stats["deleted_twice"] == []
    assert all(worst <= RATE + 1 for worst in figures.worst_second.values()), figures.worst_second
    _check_results(house, documents)
    _check_nothing_is_left(house)
    _check_secrets(house)


def _check_links(
    house: House, asked: Asked, before: set[Link], documents: dict[str, dict[str, Any]], false_success: set[str]
) -> None:
    """Exactly what was asked is gone, except what the API falsely called gone; and that is told."""
    links = house.sandbox.links()
    assert links >= before | asked.links_kept
    left = links - before - asked.links_kept
    jobs = {job_id for job_id, link in asked.present.items() if link in left}
    assert jobs <= false_success, jobs - false_success
    assert all(_is_contradicted(documents[job_id]) for job_id in jobs)
    rows = left - set(asked.present.values())
    assert rows <= asked.present_rows
    assert len(rows) <= house.rows(*asked.chunks).count(b"U")


def _check_undone(house: House, asked: Asked, before: set[Link]) -> None:
    """What was there is there again. Links that were not may come only where an end said that nobody knows: after Redis
    was killed, no job that was waiting can tell whether a request of its was forgotten with the last second."""
    there, wanted = house.sandbox.links(), before | asked.links_there
    assert wanted <= there, f"undo did not bring back {wanted - there}"
    unknown = {link for job_id, link in asked.absent.items() if house.job(job_id)["by"] == "unknown"}
    rows = house.rows(*asked.chunks)
    assert len(there - wanted - unknown) <= sum(rows.count(byte) for byte in b"bBvV"), there - wanted - unknown


def _named(requests: list[dict[str, Any]], faults: tuple[str, ...]) -> set[str]:
    """Ids of the jobs and rows that requests with these faults named."""
    return {action["identifier"] for each in requests if each["fault"] in faults for action in each["actions"]}


def _is_contradicted(document: dict[str, Any]) -> bool:
    """Whether a success was answered, and a read showed the link for longer than reads lag."""
    return document["outcome"] == "unlinked" and not document["proven"]


def _undo(house: House) -> None:
    """Bring back everything that the storm deleted, in good weather."""
    house.sandbox.call("DELETE", "faults")
    time.sleep(LATE)  # until nothing is carried out late any more
    for account in ACCOUNTS:
        plan = house.home / f"{account}.undo.jsonl"
        chosen = ("--account", account, "--since", "1d", "--out", str(plan), "--because", "the storm is over")
        planned = house.run("undo", "plan", *chosen)
        assert planned.returncode == 0, planned.stdout + planned.stderr
        applied = house.run("undo", "apply", str(plan), "--yes", "--max-restores", "1000000")
        assert applied.returncode == 0, applied.stdout + applied.stderr


def _check_rows(house: House, chunk_id: str, fates: list[str], lied_to: set[str], false_success: set[str]) -> None:
    allowed = {"present": "uv", "absent": "aAbBvV", "kept": "dD", "unknown": "d"}
    for row, (byte, fate) in enumerate(zip(house.rows(chunk_id).decode(), fates, strict=True)):
        lie = fate == "present" and byte in "bBD" and f"{chunk_id}:{row}" in lied_to
        contradicted = fate in ("present", "kept") and byte == "U" and f"{chunk_id}:{row}" in false_success
        assert byte in allowed[fate] or lie or contradicted, f"row {row} of {chunk_id}: {fate}, {byte}"


def _check_results(house: House, documents: dict[str, dict[str, Any]]) -> None:
    from celery import Celery

    app = Celery(broker=house.redis_url, backend=house.redis_url)
    for job_id, document in documents.items():
        state = app.AsyncResult(job_id).state
        assert state == ("SUCCESS" if document["outcome"] in ("unlinked", "already_absent", "done") else "FAILURE"), (
            document
        )
    app.close()


def _check_nothing_is_left(house: House) -> None:
    left = {name: house.client.exists(name) for name in (keys.DELAYED, keys.NEWER, keys.REJECTED, *keys.CLAIM_ORDER)}
    left |= {account: house.client.llen(keys.parked(account)) for account in ACCOUNTS}
    assert not any(left.values()), left
    deadline = time.monotonic() + 15
    while house.client.hlen(keys.CLAIMED):
        assert time.monotonic() < deadline, "claims of ended jobs are acked"
        time.sleep(0.1)


def _check_secrets(house: House) -> None:
    secrets = (DEFAULT_TOKEN, DEFAULT_SECRET, SECOND_TOKEN, SECOND_SECRET)
    for process in house.processes:
        assert not any(secret in process.text() for secret in secrets), f"a secret stands in {process.log}"
    aof = [path.read_bytes() for path in (house.home / "valkey").rglob("*") if path.is_file()]
    assert not any(secret.encode() in data for secret in secrets for data in aof), "a secret stands in Redis"


def main() -> int:
    """`make storm`."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    jobs, kills = int(os.environ.get("STORM_JOBS", "12500")), int(os.environ.get("STORM_KILLS", "24"))
    sys.stdout.write(f"storm: SEED={seed}, {jobs} jobs, {kills} kills\n")
    sys.stdout.flush()
    folder = tempfile.mkdtemp(prefix="unlinker-storm-")  # stays after a failure: logs and Redis's data tell why
    sys.stdout.write(f"logs: {folder}\n")
    sys.stdout.flush()
    figures = run(Path(folder) / "house", seed, jobs, kills)
    shutil.rmtree(folder)
    sys.stdout.write(f"passed: {figures}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
