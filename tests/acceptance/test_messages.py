"""What anybody may put into the queue: every form of plain Celery is read, and what is no job is kept and answered."""

import base64
import bz2
import csv
import json
import subprocess
import sys
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult

from tests.faults.test_workers import fast, many
from tests.harness import ROOT, House, Process, eventually
from worker.engine import envelope
from worker.stores import keys

NAME = "unlinker.unlink"
NUMBERS = iter(range(1000, 100_000))
IDS = [
    'crm "A" 7',
    "back\\slash",
    "line\nfeed",
    "tab\tand  spaces ",
    "ünïcode €",
    "@ID@",
    "{x}",
    "a'b;$(c)",
    "\x1b[2J",
    "*?[a]",
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for all tests here: each has links and ids of its own."""
    house = House(tmp_path_factory.mktemp("messages") / "house")
    try:
        house.start_sandbox()
        fast(house)
        house.worker = house.start_worker()  # type: ignore[attr-defined]  # of this file only
        yield house
    finally:
        house.close()


def client(house: House, **conf: object) -> Celery:
    app = Celery("stranger", broker=house.redis_url, backend=house.redis_url, set_as_current=False)
    app.conf.update(conf)
    return app


def wish(house: House, **more: object) -> dict[str, object]:
    ((kind, parent, child),) = many(house, 1, first=next(NUMBERS))
    return {"relationtype": kind, "parentid": parent, "childid": child, **more}


def is_gone(house: House, wanted: dict[str, object]) -> bool:
    return (wanted["relationtype"], wanted["parentid"], wanted["childid"]) not in house.sandbox.links()


def raised(app: Celery, job_id: str) -> BaseException:
    """What the producer's `get` raises, once there is a result."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # its type is made by Celery from a name
        AsyncResult(job_id, app=app).get(timeout=30)
    return caught.value


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("compression", [None, "gzip", "zlib", "bzip2", "lzma"])
def test_every_form_of_plain_celery_is_read(house: House, protocol: int, compression: str | None) -> None:
    with client(house, task_protocol=protocol, task_compression=compression) as app:
        plain, late, linked, following = (wish(house) for _ in range(4))
        sent = app.send_task(NAME, kwargs=plain, queue="unlink", expires=3600)
        stale = app.send_task(NAME, kwargs=late, queue="unlink", expires=-1)
        then = app.signature(NAME, kwargs=following, queue="unlink", immutable=True)
        first = app.send_task(NAME, kwargs=linked, queue="unlink", link=then, countdown=0.2)
        assert sent.get(timeout=30)["outcome"] == first.get(timeout=30)["outcome"] == "unlinked"
        assert type(raised(app, stale.id)).__name__ == "Expired"
    eventually(lambda: is_gone(house, following))
    assert not is_gone(house, late)


@pytest.mark.parametrize("utc", [True, False])
def test_times_of_protocol_1_are_read_as_celery_does(house: House, utc: bool) -> None:
    """Without UTC they are this machine's."""
    with client(house, task_protocol=1, enable_utc=utc) as app:
        waits, runs = wish(house), wish(house)
        later = app.send_task(NAME, kwargs=waits, queue="unlink", countdown=3000)
        assert app.send_task(NAME, kwargs=runs, queue="unlink", countdown=0.1).get(timeout=30)["outcome"] == "unlinked"
        eventually(lambda: house.status(later.id) == "delayed")
        assert house.here("cancel", later.id).returncode == 0


def raw(job_id: str, wanted: dict[str, object], **changes: Any) -> dict[str, Any]:
    """As celery-node and celery-php write protocol 1."""
    body = {"task": NAME, "id": job_id, "args": [], "kwargs": wanted, "retries": 0, "eta": None, "expires": None}
    return {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "UTF-8",
        "headers": {},
        "properties": {"body_encoding": "base64", "correlation_id": job_id, "delivery_mode": 2, "delivery_tag": "x"},
    } | changes


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"headers": []},
        {"headers": None, "content-type": "application/json; charset=utf-8"},
        {"properties": {"body_encoding": "base64"}},
    ],
)
def test_other_clients_are_read_too(house: House, changes: dict[str, Any]) -> None:
    job_id, wanted = str(uuid.uuid4()), wish(house)
    house.client.lpush("unlink", json.dumps(raw(job_id, wanted) | changes))
    assert house.ended(job_id)["outcome"] == "unlinked"


def test_a_message_without_delivery_info_can_go_through_celery(house: House) -> None:
    wanted = wish(house)
    with client(house) as app:
        message = json.loads(envelope.write(NAME, str(uuid.uuid4()), wanted))
        del message["properties"]["delivery_info"]
        message["headers"] |= {"timelimit": [60, 60], "lang": "js"}
        house.client.lpush("unlink", json.dumps(message))
        assert AsyncResult(message["headers"]["id"], app=app).get(timeout=30)["outcome"] == "unlinked"


def test_dates_as_kombu_writes_them_are_read(house: House) -> None:
    with client(house) as app:
        wanted = wish(house, not_after=datetime.now(UTC) + timedelta(hours=1))
        assert app.send_task(NAME, kwargs=wanted, queue="unlink").get(timeout=30)["outcome"] == "unlinked"


def rejected(house: House, job_id: str) -> dict[str, Any]:
    messages: list[dict[str, Any]] = eventually(
        lambda: [each for each in house.ask("rejected", "list", "--limit", "1000")["messages"] if each["id"] == job_id]
    )
    assert len(messages) == 1
    return messages[0]


def good_message(house: House) -> tuple[str, dict[str, Any]]:
    job_id = str(uuid.uuid4())
    return job_id, json.loads(envelope.write(NAME, job_id, wish(house)))


BOMB = b"0" * (64 * 1024 * 1024)
SPOILT: dict[str, tuple[dict[str, Any], str]] = {
    "yaml": ({"content-type": "application/x-yaml"}, "application/x-yaml"),
    "pickle": ({"content-type": "application/x-python-serialize"}, "serializer='json'"),
    "no content type": ({"content-type": None}, "content type"),
    "brotli": ({"compression": "application/x-brotli"}, "application/x-brotli"),
    "not gzip": ({"compression": "application/x-gzip"}, "the body is no application/x-gzip"),
    "a bomb": ({"compression": "application/x-gzip", "body": zlib.compress(BOMB, 9)}, "larger than"),
    "a bz2 bomb": ({"compression": "application/x-bz2", "body": bz2.compress(BOMB)}, "larger than"),
    "another task": ({"task": "unlinker.unlnk"}, "did you mean 'unlinker.unlink'"),
    "another program's task": ({"task": "tasks.add"}, "unknown task 'tasks.add'; there are"),
    "no body": ({"body": b""}, "unreadable body"),
    "no list": ({"body": b"5"}, "unreadable body"),
    "a deep body": ({"body": b"[" * 100_000}, "unreadable body"),
    "a number of 5,000 digits": ({"body": b"1" * 5000}, "unreadable body"),
    "a bad eta": ({"eta": "soon"}, "unreadable body or times"),
    "an endless expiry": ({"expires": float("inf")}, "out of reach"),
    "version 0": ({"unlinker_version": 0}, "payload version 0"),
    "version x": ({"unlinker_version": "x"}, 'payload version "x"'),
    "version 1.0": ({"unlinker_version": 1.0}, "payload version 1.0"),
    "version 10^30": ({"unlinker_version": 10**30}, "payload version 1000"),
    "2 MB": ({"padding": "x" * (2 * 1024 * 1024)}, "larger than 1048576 bytes"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_no_job_is_kept_and_its_producer_told(house: House, name: str) -> None:
    changes, why = SPOILT[name]
    job_id, message = good_message(house)
    for key, value in changes.items():
        if key == "body":
            message["body"] = base64.b64encode(value).decode()
        elif key in ("content-type", "padding"):
            message[key] = value
        else:
            message["headers"][key] = value
    house.client.lpush("unlink", json.dumps(dict(sorted(message.items()))))
    with client(house) as app:
        error = raised(app, job_id)
    assert type(error).__name__ == "RejectedMessage"
    assert why in error.args[2]
    kept = rejected(house, job_id)
    assert why in kept["why"]
    assert kept["queue"] == "unlink"
    told = house.here("job", job_id)
    assert (told.returncode, "was rejected" in told.stderr) == (1, True)
    assert why in house.here("rejected", "show", kept["number"], "--json").stdout.replace('\\"', '"')


def test_a_real_client_that_sends_pickle_is_told(house: House) -> None:
    with client(house, task_serializer="pickle", result_accept_content=["json"]) as app:
        sent = app.send_task(NAME, kwargs=wish(house), queue="unlink")
        assert type(raised(app, sent.id)).__name__ == "RejectedMessage"


def test_junk_without_an_id_is_kept_and_can_be_discarded_once(house: House) -> None:
    before = house.ask("rejected", "list")["totals"]
    for junk in (b"\xff\x00 no json", b"[" * 5000, b"5", b'"x"', b"{}", b""):
        house.client.rpush("unlink", junk)
    after = eventually(
        lambda: now if (now := house.ask("rejected", "list")["totals"])["came"] == before["came"] + 6 else None
    )
    assert after["kept"] == before["kept"] + 6
    number = house.ask("rejected", "list")["messages"][0]["number"]
    assert house.here("rejected", "discard", number).returncode == 2, "why is not said"
    said = house.ask("rejected", "discard", number, "--because", "test", "--yes")
    assert (said["count"], said["moved"]) == (1, 1)
    assert house.here("rejected", "discard", number, "--because", "test", "--yes").returncode == 2
    assert house.here("rejected", "show", "x").returncode == 2
    acts = [act for act in house.ask("audit") if act["action"] == "rejected discard"]
    assert [act["count"] for act in acts] == [None, 1]
    checks = {check["name"]: check for check in house.ask("doctor")["checks"]}
    assert not checks["rejected messages"]["fine"]


def test_an_outcome_stands_though_junk_comes_under_its_id(house: House) -> None:
    job_id, message = good_message(house)
    house.client.lpush("unlink", json.dumps(message))
    house.ended(job_id)
    house.client.lpush("unlink", json.dumps(message | {"content-type": "application/x-yaml"}))
    rejected(house, job_id)
    with client(house) as app:
        assert AsyncResult(job_id, app=app).get(timeout=30)["outcome"] == "unlinked"


def start_newer(house: House) -> Process:
    log = house.home / "newer.log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "tests.acceptance.newer_worker"]
        popen = subprocess.Popen(command, env=house.environment(), cwd=ROOT, stdout=file, stderr=file)
    process = Process(popen, log)
    house.processes.append(process)
    return process


def test_a_newer_payload_waits_for_a_newer_worker_and_holds_up_nobody(house: House) -> None:
    ids, wanted = [str(uuid.uuid4()) for _ in range(3)], [wish(house) for _ in range(3)]
    for job_id, arguments in zip(ids, wanted, strict=True):
        message = json.loads(envelope.write(NAME, job_id, {}))
        message["headers"]["unlinker_version"] = 2
        message["body"] = base64.b64encode(json.dumps({"job": arguments}).encode()).decode()
        house.client.lpush("unlink", json.dumps(message))
    behind = house.push(wish(house))
    assert house.ended(behind)["outcome"] == "unlinked"
    assert house.client.zcard(keys.NEWER) == 3
    eventually(lambda: house.client.hlen(keys.CLAIMED) == 0)  # nobody holds them
    checks = {check["name"]: check for check in house.ask("doctor")["checks"]}
    assert not checks["messages for newer workers"]["fine"]
    assert "newer worker" in house.ask("job", ids[0])["why"]
    assert house.here("cancel", ids[2]).returncode == 0
    with client(house) as app:
        unknown = app.send_task("unlinker.test_later", queue="unlink")
        assert type(raised(app, unknown.id)).__name__ == "RejectedMessage"
        number = rejected(house, unknown.id)["number"]
        newer = start_newer(house)
        documents = house.all_ended(ids)
        assert [documents[job_id]["outcome"] for job_id in ids] == ["unlinked", "unlinked", "cancelled"]
        assert [is_gone(house, arguments) for arguments in wanted] == [True, True, False]
        house.worker.terminate()  # type: ignore[attr-defined]  # of this file only
        moved = house.ask("rejected", "requeue", number, "--because", "updated", "--yes")["moved"]
        again = house.here("rejected", "requeue", number, "--because", "updated", "--yes")
        assert (moved, again.returncode) == (1, 2), "exactly once"
        eventually(lambda: AsyncResult(unknown.id, app=app).result == "done")
    newer.terminate()
    house.worker = house.start_worker(wait=False)  # type: ignore[attr-defined]  # of this file only


@pytest.mark.parametrize("job_id", IDS)
def test_an_id_may_hold_anything(house: House, job_id: str) -> None:
    with client(house) as app:
        wanted = wish(house)
        assert (
            app.send_task(NAME, kwargs=wanted, queue="unlink", task_id=job_id).get(timeout=30)["outcome"] == "unlinked"
        )
        kept = f"{job_id}|kept"
        app.send_task(
            NAME,
            kwargs=wish(house, parentid=42, childid=7, relationtype="estate:address:owner"),
            queue="unlink",
            task_id=kept,
        )
        assert type(raised(app, kept)).__name__ == "NotDeletable"
        waiting = f"{job_id}|waiting"
        app.send_task(NAME, kwargs=wish(house), queue="unlink", task_id=waiting, countdown=3000)
        eventually(lambda: house.status(waiting) == "delayed")
        assert house.here("cancel", waiting).returncode == 0
        assert type(raised(app, waiting)).__name__ == "TaskRevokedError"
    assert house.ask("job", job_id)["id"] == job_id
    (deed,) = house.ask("journal", "list", "--job", job_id)
    assert (deed["job"], deed["outcome"]) == (job_id, "unlinked"), "its end is found, too"
    assert house.ask("dead", "show", kept)["id"] == kept
    assert house.ask("dead", "discard", kept, "--because", "test", "--yes")["moved"] == 1


def test_jobs_in_celerys_own_queue_are_noticed_and_can_be_moved(house: House) -> None:
    foreign = json.dumps({"headers": {"task": "theirs.add", "id": "t"}, "body": "", "properties": {}})
    house.client.lpush("celery", foreign)
    wanted = wish(house)
    with client(house) as app:
        sent = app.send_task(NAME, kwargs=wanted)
        checks = {check["name"]: check for check in house.ask("doctor")["checks"]}
        assert not checks["queue 'celery'"]["fine"]
        assert "--from-queue celery" in checks["queue 'celery'"]["advice"]
        told = house.start_worker()
        told.wait_for("no worker reads")
        said = house.ask("rejected", "requeue", "--from-queue", "celery", "--because", "test", "--yes")
        assert (said["count"], said["moved"]) == (1, 1)
        assert sent.get(timeout=30)["outcome"] == "unlinked"
    assert house.client.lrange("celery", 0, -1) == [foreign.encode()]
    checks = {check["name"]: check for check in house.ask("doctor")["checks"]}
    assert checks["queue 'celery'"]["fine"]


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"parentid": "0014"}, '"parentid": "0014"'),
    "a fraction": ({"childid": 14.0}, '"childid": 14.0'),
    "too large": ({"parentid": 10**30}, f'"parentid": {10**30}'),
    "a truth value": ({"parentid": True}, '"parentid": true'),
    "lists in lists": ({"parentid": [[[1, {"a": "b"}]]]}, '"parentid": [[[1, {"a": "b"}]]]'),
    "null": ({"relationtype": None}, '"relationtype": null'),
    "not a number": ({"parentid": float("nan")}, '"parentid": NaN'),
    "another type": ({"relationtype": "calendar:adress"}, '"relationtype": "calendar:adress"'),
    "another name": ({"parent_id": 14}, '"parent_id": 14'),
    "a secret by its name": ({"onoffice_token": "geheim"}, '"onoffice_token": "***"'),
    "a secret by its looks": ({"parentid": "k" * 64}, '"parentid": "***"'),
    "a line feed": ({"parentid": "1\n=cmd()"}, '"parentid": "1\\n=cmd()"'),
    "huge": ({"parentid": "1 " * 100_000}, '"parentid": "1 1 1 '),
}


@pytest.mark.parametrize("name", INVALID)
def test_what_was_sent_is_kept_though_it_is_no_job(house: House, name: str) -> None:
    changes, sent = INVALID[name]
    job_id = house.push(wish(house) | changes)
    document = house.ended(job_id)
    assert document["reason"] in ("BadArguments", "UnknownRelationType")
    letter = house.ask("dead", "show", job_id)
    assert letter["sent"] == document["sent"]
    assert sent in letter["sent"]
    assert len(letter["sent"]) <= 2000
    assert len(letter["message"]) <= 1000
    assert 0 not in (letter["parentid"], letter["childid"]), "nobody sent that"
    stored: Any = house.client.hgetall(keys.job(job_id))
    assert b"k" * 64 not in json.dumps({k.decode(): v.decode() for k, v in stored.items()}).encode()
    assert b"geheim" not in b"".join(stored.values())


def test_what_was_sent_by_position_or_missing_is_kept_and_exported(house: House) -> None:
    with client(house) as app:
        by_position = app.send_task(NAME, args=["calendar:address", 671, 153], queue="unlink").id
    missing = house.push({"relationtype": "calendar:address", "childid": 153})
    chunk = house.push_chunk([["calendar:address", "0014", 153], "no row", ["calendar:address", 5]])
    whole = house.push_chunk(["calendar:address"], colour="red")
    house.all_ended([by_position, missing, chunk, whole])
    expected = {
        by_position: '{"args": ["calendar:address", 671, 153], "kwargs": {}}',
        missing: '{"relationtype": "calendar:address", "childid": 153}',
        f"{chunk}:0": '["calendar:address", "0014", 153]',
        f"{chunk}:1": '"no row"',
        f"{chunk}:2": '["calendar:address", 5]',
        whole: '{"relations": ["calendar:address"], "colour": "red"}',
    }
    lines = house.here("dead", "export").stdout.splitlines()
    letters = {letter["id"]: letter for letter in map(json.loads, lines)}
    assert {job_id: letters[job_id]["sent"] for job_id in expected} == expected
    house.here("dead", "export", str(house.home / "letters.csv"), "--format", "csv")
    with (house.home / "letters.csv").open(newline="") as file:
        rows = {row["id"]: row["sent"] for row in csv.DictReader(file)}
    assert {job_id: rows[job_id] for job_id in expected} == expected
    assert "0014" in house.here("dead", "show", f"{chunk}:0").stdout
    left_out = house.ask("dead", "replay", f"{chunk}:0", "--force", "--because", "test", "--yes")
    assert left_out["moved"] == 0, "it names nothing that could be unlinked"
