"""`unlinker job ID` and Celery's AsyncResult agree, whatever the end; ids nobody knows are told from queued ones."""

import json
from datetime import datetime
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult

from tests.faults.test_workers import LINK, many
from tests.harness import House, eventually
from worker.stores import keys

OWNER = ("estate:address:owner", 42, 7)  # the sandbox keeps it
WISH = {"relationtype": LINK[0], "parentid": LINK[1], "childid": LINK[2]}


def seen(house: House, job_id: str) -> tuple[int, dict[str, Any]]:
    """Exit code and document."""
    answer = house.here("job", job_id, "--json")
    return answer.returncode, json.loads(answer.stdout) if answer.stdout else {}


def check(app: Celery, house: House, job_id: str, outcome: str, state: str) -> AsyncResult:
    """Both sides; the result for more."""
    result = AsyncResult(job_id, app=app)
    eventually(lambda: result.state == state, timeout=20)
    document = house.job(job_id)
    assert (document["status"], document["outcome"]) == ("ended", outcome)
    return result


def test_both_agree_for_every_end(house: House) -> None:
    (first,) = many(house, 1)
    house.sandbox.fault("action_code", times=None, params={"code": 174}, match={"parentid": 1, "action": "delete"})
    stale = house.unlink("calendar:address", 300, 5, not_after=1_000_000)
    wishes = [house.unlink(*first) for _ in range(3)]
    house.here("cancel", wishes[2])
    house.start_worker()
    with Celery(broker=house.redis_url, backend=house.redis_url) as app:
        done = check(app, house, house.unlink(*LINK), "unlinked", "SUCCESS")
        ended_at = datetime.fromisoformat(done.result.pop("ended_at")).timestamp()
        assert done.result == {"outcome": "unlinked", "evidence": "answered", "proven": True, "by": "us"}
        assert abs(ended_at - house.job(done.id)["ended_at"]) < 1
        absent = check(app, house, house.unlink("calendar:address", 300, 6), "already_absent", "SUCCESS")
        assert absent.result["outcome"] == "already_absent"
        kept = check(app, house, house.unlink(*OWNER), "dead", "FAILURE")
        document = house.job(kept.id)
        assert tuple(kept.result.args) == (document["reason"], document["code"], document["message"])
        assert type(kept.result).__name__ == document["reason"] == "NotDeletable"
        late = check(app, house, stale, "expired", "FAILURE")
        assert type(late.result).__name__ == house.job(stale)["reason"] == "Expired"
        for joined in wishes[:2]:
            assert type(check(app, house, joined, "dead", "FAILURE").result).__name__ == "MissingRight"
        check(app, house, wishes[2], "cancelled", "REVOKED")
        chunk = check(app, house, house.push_chunk([first, OWNER, ("calendar:address", 300, 7)]), "done", "SUCCESS")
        document = house.job(chunk.id)
        counts = {"unlinked": 0, "already_absent": 1, "dead": 2, "expired": 0}
        assert {name: chunk.result[name] for name in counts} == {name: document[name] for name in counts} == counts
    codes = {job_id: seen(house, job_id)[0] for job_id in (done.id, absent.id, kept.id, stale, wishes[2], chunk.id)}
    assert list(codes.values()) == [0, 0, 1, 1, 1, 1], "0 only if all of it succeeded"


def test_a_chunk_is_shown_as_one_and_succeeds_as_a_whole(house: House) -> None:
    chunk = house.push_chunk([["calendar:address", 300, 7]], run="night", first_row=40)
    code, document = seen(house, chunk)
    named = {"id": chunk, "account": "default", "run": "night", "rows": 1, "first_row": 40}
    assert (code, document) == (0, {**named, "status": "queued"})
    house.start_worker()
    house.ended(chunk)
    code, document = seen(house, chunk)
    assert (code, document["outcome"], document["already_absent"], document["rows"]) == (0, "done", 1, 1)
    assert "relationtype" not in document


@pytest.mark.parametrize("priority", [0, 6])
def test_a_strangers_queued_job_is_told_from_an_unknown_one_and_can_be_cancelled(house: House, priority: int) -> None:
    """No worker has seen it yet, so that only the queue knows of it."""
    with Celery(broker=house.redis_url) as app:
        before = app.send_task("unlinker.unlink", kwargs=WISH | {"parentid": 5}, queue="unlink", priority=priority)
        sent = app.send_task("unlinker.unlink", kwargs=WISH, queue="unlink", priority=priority, root_id=before.id)
        many_more = [app.send_task("unlinker.unlink", kwargs=WISH | {"parentid": 9}, queue="unlink") for _ in range(3)]
    code, document = seen(house, sent.id)
    assert (code, document["status"], document["parentid"], document["account"]) == (0, "queued", 671, "default")
    assert seen(house, before.id)[1]["parentid"] == 5, "another's id may stand in a message too"
    unknown = house.here("job", "00000000-0000-0000-0000-000000000000")
    assert (unknown.returncode, "is known or queued" in unknown.stderr) == (2, True)
    waited = house.here("job", sent.id, "--wait", "--timeout", "0.2")
    assert waited.returncode == 3
    cancelled = house.here("cancel", sent.id, "--json")
    assert json.loads(cancelled.stdout)["outcome"] == "cancelled"
    assert house.here("cancel", "00000000-0000-0000-0000-000000000000").returncode == 2
    assert house.client.ttl(keys.job(sent.id)) == -1, "for as long as its message is queued"
    house.start_worker()
    house.all_ended([before.id, *(each.id for each in many_more)])
    eventually(lambda: house.client.hlen(keys.CLAIMED) == 0)
    assert LINK in house.sandbox.links()
    assert house.job(sent.id)["outcome"] == "cancelled"
    assert 0 < house.client.ttl(keys.job(sent.id)) <= 8 * 86400
    with Celery(backend=house.redis_url) as app:
        assert AsyncResult(sent.id, app=app).state == "REVOKED"


def test_a_chunk_can_be_cancelled_before_its_first_row_is_sent_and_not_after(house: House) -> None:
    links = many(house, 3)
    chunk, other = house.push_chunk(links), house.push_chunk(links)
    assert house.here("cancel", chunk).returncode == 0
    house.sandbox.fault("action_code", times=1, params={"code": 1}, match={"parentid": 2, "action": "delete"})
    house.start_worker()
    eventually(lambda: house.rows(other).count(b"u") == 2)
    late = house.here("cancel", other)
    assert late.returncode == 1
    assert house.ended(other)["unlinked"] == 3
    assert house.job(chunk)["outcome"] == "cancelled"
    assert house.rows(chunk) == b""


def test_a_job_in_doubt_is_not_called_cancelled(house: House) -> None:
    """The API failed in the middle: nobody may say that nothing was done, though the job waits for its next attempt."""
    house.sandbox.fault("action_code", times=None, params={"code": 1}, match={"action": "delete"})
    house.settings |= {"UNLINKER_MAX_ATTEMPTS": "50", "UNLINKER_REQUESTS_PER_SECOND": "50"}
    house.start_worker()
    job_id = house.unlink(*LINK)
    said: set[str] = set()

    def cancelled_in_vain() -> bool:
        if house.status(job_id) == "delayed":
            late = house.here("cancel", job_id)
            assert late.returncode == 1
            said.add(late.stderr)
        return any("may have been carried out" in each for each in said)

    eventually(cancelled_in_vain)
    house.sandbox.call("DELETE", "faults")
    assert house.ended(job_id)["outcome"] == "unlinked"
