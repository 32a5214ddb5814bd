"""The main job, end to end: a real worker process, a sandbox process, a real Valkey."""

import json
import subprocess
import sys
from pathlib import Path

import celery

from tests.harness import House, eventually

ISOLATED = (sys.executable, "-I", "-S", "-W", "ignore")
STRANGER = """
import json, sys
sys.path.append(sys.argv[3])  # Celery's folder, without the entry that makes unlinker importable
try:
    import worker
except ImportError:
    pass
else:
    sys.exit("the stranger must not be able to import unlinker")
from celery import Celery
app = Celery(broker=sys.argv[1], backend=sys.argv[1])
seen = []
for kwargs in json.loads(sys.argv[2]):
    result = app.send_task("unlinker.unlink", kwargs=kwargs, queue="unlink")
    try:
        value = result.get(timeout=30)
        seen.append([result.state, value["outcome"], result.id])
    except Exception as error:
        seen.append([result.state, type(error).__name__, *error.args])
print(json.dumps(seen))
"""


def relation(kind: str, parentid: object, childid: object) -> dict[str, object]:
    return {"relationtype": kind, "parentid": parentid, "childid": childid}


def test_command_line_unlinks_the_seeds_call_and_says_so(house: House) -> None:
    house.start_worker()
    first = house.run("unlink", "calendar:address", "671", "153", "--wait", "--json")
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    assert document["outcome"] == "unlinked"
    assert document["status"] == "ended"
    assert (document["relationtype"], document["parentid"], document["childid"]) == ("calendar:address", 671, 153)
    assert ("calendar:address", 671, 153) not in house.sandbox.links()

    again = house.run("unlink", "calendar:address", "671", "153", "--wait", "--json")
    assert (again.returncode, json.loads(again.stdout)["outcome"]) == (0, "already_absent")

    urn = "urn:onoffice-de-ns:smart:2.5:relationTypes:estate:address:owner"
    kept = house.run("unlink", urn, "42", "7", "--wait", "--json")
    document = json.loads(kept.stdout)
    assert kept.returncode == 1
    assert (document["outcome"], document["reason"], document["code"]) == ("dead", "NotDeletable", 168)
    assert document["message"] == "Entry could not be deleted"
    assert ("estate:address:owner", 42, 7) in house.sandbox.links()

    shown = house.run("job", document["id"], "--json")
    assert shown.returncode == 1
    assert json.loads(shown.stdout) == document


def test_a_stranger_that_cannot_import_us_gets_results_and_exceptions(house: House, tmp_path: Path) -> None:
    house.start_worker()
    wishes = [
        relation("calendar:address", 671, 153),
        relation("calendar:address", 671, 153),
        relation("estate:address:owner", 42, 7),
        relation("calender:address", 671, 153),
        relation("calendar:address", "671", 153),
        {**relation("calendar:address", 671, 153), "account": "nobody"},
        {"relationtype": "calendar:address", "parentid": 671},
        {**relation("calendar:address", 671, 153), "colour": "red"},
        relation("calendar:address", True, -5),
    ]
    script = tmp_path / "stranger.py"
    script.write_text(STRANGER)
    answer = subprocess.run(
        [*ISOLATED, str(script), house.redis_url, json.dumps(wishes), str(Path(celery.__file__).parent.parent)],
        cwd=tmp_path,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    seen = json.loads(answer.stdout)
    assert [row[:2] for row in seen] == [
        ["SUCCESS", "unlinked"],
        ["SUCCESS", "already_absent"],
        ["FAILURE", "NotDeletable"],
        ["FAILURE", "UnknownRelationType"],
        ["FAILURE", "BadArguments"],
        ["FAILURE", "UnknownAccount"],
        ["FAILURE", "BadArguments"],
        ["FAILURE", "BadArguments"],
        ["FAILURE", "BadArguments"],
    ]
    assert seen[2][2:] == ["NotDeletable", 168, "Entry could not be deleted"]
    assert "did you mean calendar:address?" in seen[3][4]
    assert "childid is missing" in seen[6][4]
    assert "'colour' is no argument" in seen[7][4]
    sent = {(a["relationtype"], a["parentid"], a["childid"]) for a in house.sandbox.actions()}
    assert sent == {("calendar:address", 671, 153), ("estate:address:owner", 42, 7)}, "faulty jobs reach no request"


def test_a_wrong_secret_does_not_look_like_a_bad_job(house: House) -> None:
    house.start_worker(UNLINKER_ONOFFICE_SECRET="x" * 64)
    job_id = house.unlink("calendar:address", 671, 153)
    eventually(lambda: house.status(job_id) == "parked")
    assert ("calendar:address", 671, 153) in house.sandbox.links()
    asked = house.run("job", job_id, "--wait", "--json")
    assert asked.returncode == 4
    assert "137" in asked.stderr or "HMAC" in asked.stderr
    listed = json.loads(house.run("accounts", "list", "--json").stdout)
    assert listed[0]["halted"]["by"] == "credentials"
    assert listed[0]["halted"]["code"] == 137
    assert listed[0]["parked"] == 1


def test_jobs_of_a_wrong_secret_run_once_it_is_mended(house: House) -> None:
    bad = house.start_worker(UNLINKER_ONOFFICE_SECRET="x" * 64)
    job_id = house.unlink("calendar:address", 671, 153)
    eventually(lambda: house.status(job_id) == "parked")
    bad.terminate()
    house.start_worker()
    assert house.run("accounts", "resume", "default").returncode == 0
    assert house.ended(job_id)["outcome"] == "unlinked"


def test_an_unknown_job_and_bad_input_are_told_apart(house: House) -> None:
    unknown = house.run("job", "no-such-id")
    assert unknown.returncode == 2
    assert "no job 'no-such-id' is known" in unknown.stderr
    typo = house.run("unlink", "estate:adress:owner", "42", "7")
    assert typo.returncode == 2
    assert "did you mean estate:address:owner?" in typo.stderr
    zero = house.run("unlink", "calendar:address", "0", "7")
    assert zero.returncode == 2
    assert "parentid must be a positive record id" in zero.stderr


def test_no_redis_is_exit_code_3(house: House) -> None:
    answer = house.run("job", "x", UNLINKER_REDIS_URL="redis://127.0.0.1:1/0")
    assert answer.returncode == 3
    assert "Redis cannot be reached" in answer.stderr


def test_doctor_says_what_is_wrong(house: House) -> None:
    fine = house.run("doctor", "--json")
    assert fine.returncode == 0, fine.stdout
    assert json.loads(fine.stdout)["fine"] is True
    wrong = house.run("doctor", "--json", UNLINKER_ONOFFICE_SECRET="x" * 64, UNLINKER_REQUEST_PER_SECOND="3")
    assert wrong.returncode == 1
    checks = {check["name"]: check for check in json.loads(wrong.stdout)["checks"]}
    assert "137" in checks["default"]["text"]
    assert "secret" in checks["default"]["advice"]
    assert "did you mean UNLINKER_REQUESTS_PER_SECOND?" in checks["settings"]["text"]
    away = house.run("doctor", UNLINKER_ONOFFICE_URL="http://127.0.0.1:1/api.php")
    assert away.returncode == 3


def test_secrets_stand_in_no_log_and_no_record(house: House) -> None:
    secret, token = house.settings["UNLINKER_ONOFFICE_SECRET"], house.settings["UNLINKER_ONOFFICE_TOKEN"]
    worker = house.start_worker()
    house.ended(house.unlink("calendar:address", 671, 153))
    house.ended(house.unlink("estate:address:owner", 42, 7))
    worker.terminate()
    everything = worker.text() + "".join(_dump(house))
    assert secret not in everything
    assert token not in everything


def _dump(house: House) -> list[str]:
    found = []
    for key in house.client.scan_iter():
        match house.client.type(key):
            case b"hash":
                found.append(str(house.client.hgetall(key)))
            case b"string":
                found.append(str(house.client.get(key)))
            case b"list":
                found.append(str(house.client.lrange(key, 0, -1)))
            case b"zset":
                found.append(str(house.client.zrange(key, 0, -1)))
            case _:
                found.append(str(key))
    return found
