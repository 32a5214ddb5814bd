"""Deadlines, cancelling, joined wishes, and what strangers may put into a message's headers."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.faults.test_workers import LINK, many
from tests.harness import House, eventually

WISH = {"relationtype": LINK[0], "parentid": LINK[1], "childid": LINK[2]}


def moment(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def result(house: House, job_id: str) -> dict[str, Any] | None:
    stored: Any = house.client.get(f"celery-task-meta-{job_id}")
    return None if stored is None else json.loads(stored)


def test_a_cancelled_job_never_runs_though_no_worker_was_up(house: House) -> None:
    """Celery's own revoke is forgotten when no worker hears it."""
    job_id = house.unlink(*LINK)
    cancelled = house.here("cancel", job_id, "--json")
    assert cancelled.returncode == 0
    assert json.loads(cancelled.stdout)["outcome"] == "cancelled"
    house.start_worker()
    other = house.unlink(*many(house, 1)[0])
    house.ended(other)
    eventually(lambda: house.client.hlen("unlinker:claimed") == 0)
    assert LINK in house.sandbox.links()
    stored = result(house, job_id)
    assert stored is not None
    assert stored["status"] == "REVOKED"
    again = house.here("cancel", job_id)
    assert again.returncode == 0


def test_a_job_whose_request_is_out_can_no_longer_be_cancelled(house: House) -> None:
    house.sandbox.fault("slow", params={"seconds": 2})
    house.start_worker()
    job_id = house.unlink(*LINK)
    eventually(lambda: house.status(job_id) == "sent")
    late = house.here("cancel", job_id)
    assert late.returncode == 1
    assert "its request is out" in late.stderr
    assert house.ended(job_id)["outcome"] == "unlinked"
    assert "it has ended" in house.here("cancel", job_id).stderr


def test_wishes_for_one_relation_share_an_action_and_keep_their_own_outcomes(house: House) -> None:
    first = house.unlink(*LINK, requested_by="crm")
    second = house.unlink(*LINK, requested_by="portal")
    third = house.unlink(*LINK)
    assert house.client.llen("unlink") == 1
    assert house.job(second)["joined"] == first
    assert house.here("cancel", third).returncode == 0
    house.start_worker()
    documents = house.all_ended([first, second, third])
    assert [documents[job_id]["outcome"] for job_id in (first, second, third)] == ["unlinked", "unlinked", "cancelled"]
    assert len(house.sandbox.actions()) == 1
    for job_id, state in ((first, "SUCCESS"), (second, "SUCCESS"), (third, "REVOKED")):
        stored = result(house, job_id)
        assert stored is not None
        assert (stored["status"], stored["task_id"]) == (state, job_id)


def test_a_job_cancelled_by_its_first_wisher_runs_for_the_others(house: House) -> None:
    first, second = house.unlink(*LINK), house.unlink(*LINK)
    house.here("cancel", first)
    house.start_worker()
    assert house.ended(second)["outcome"] == "unlinked"
    assert house.job(first)["outcome"] == "cancelled"


def test_when_all_wishes_are_taken_back_nothing_is_deleted(house: House) -> None:
    first, second = house.unlink(*LINK), house.unlink(*LINK)
    house.here("cancel", first)
    house.here("cancel", second)
    house.start_worker()
    house.ended(house.unlink(*many(house, 1)[0]))
    eventually(lambda: house.client.hlen("unlinker:claimed") == 0)
    assert LINK in house.sandbox.links()


def test_a_wish_made_after_the_request_left_is_a_job_of_its_own(house: House) -> None:
    """The link may have been made anew in between."""
    house.sandbox.fault("slow", params={"seconds": 1.5})
    house.start_worker()
    first = house.unlink(*LINK)
    eventually(lambda: house.status(first) == "sent")
    second = house.unlink(*LINK)
    assert "joined" not in house.job(second)
    documents = house.all_ended([first, second])
    assert {documents[first]["outcome"], documents[second]["outcome"]} == {"unlinked", "already_absent"}
    assert len(house.sandbox.actions()) == 2


def test_a_stale_job_does_not_delete(house: House) -> None:
    mine = house.unlink(*LINK, not_after=moment(1))
    theirs = house.push({**WISH, "parentid": 672}, expires=moment(1))
    plain = house.push({**WISH, "parentid": 673}, expires=moment(3600))
    time.sleep(1.2)
    house.start_worker()
    documents = house.all_ended([mine, theirs, plain])
    assert [documents[x]["outcome"] for x in (mine, theirs, plain)] == ["expired", "expired", "already_absent"]
    stored = result(house, theirs)
    assert stored is not None
    assert (stored["status"], stored["result"]["exc_type"]) == ("FAILURE", "Expired")
    assert LINK in house.sandbox.links()
    assert house.here("job", mine).returncode == 1


def test_a_strangers_eta_is_waited_for_outside_the_workers(house: House) -> None:
    house.start_worker()
    start = time.monotonic()
    job_id = house.push(WISH, eta=moment(2))
    eventually(lambda: house.status(job_id) == "delayed")
    assert house.client.hlen("unlinker:claimed") == 0
    assert house.ended(job_id)["outcome"] == "unlinked"
    assert time.monotonic() - start > 1.5


def test_a_stranger_who_wants_no_result_gets_none(house: House) -> None:
    house.start_worker()
    job_id = house.push(WISH, ignore_result=True)
    assert house.ended(job_id)["outcome"] == "unlinked"
    assert result(house, job_id) is None


def test_the_same_id_twice_is_run_once(house: House) -> None:
    job_id = house.push(WISH)
    message = house.client.lindex("unlink", 0)
    assert isinstance(message, bytes)
    for _ in range(3):
        house.client.lpush("unlink", message)
    house.start_worker()
    assert house.ended(job_id)["outcome"] == "unlinked"
    eventually(lambda: house.client.hlen("unlinker:claimed") == 0 and house.client.llen("unlink") == 0)
    assert len(house.sandbox.actions()) == 1
    house.client.lpush("unlink", message)
    eventually(lambda: house.client.hlen("unlinker:claimed") == 0 and house.client.llen("unlink") == 0)
    assert house.job(job_id)["outcome"] == "unlinked"
    assert len(house.sandbox.actions()) == 1, "a job that has an outcome never reaches the API again"
