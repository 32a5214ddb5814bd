"""Joined jobs: one delete for all, and each keeps its own deadline, cancel and outcome."""

from datetime import UTC, datetime, timedelta

from celery import Celery

from tests.faults.test_workers import LINK, many
from tests.harness import House, eventually, with_another_account
from worker.stores import keys

WISH = {"relationtype": LINK[0], "parentid": LINK[1], "childid": LINK[2]}


def moment(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def outcomes(house: House, ids: list[str]) -> list[object]:
    documents = house.all_ended(ids)
    return [documents[job_id]["outcome"] for job_id in ids]


def test_each_keeps_its_own_deadline(house: House) -> None:
    """Of each relation the first or a later one is too late; the others have time."""
    links = many(house, 4)
    late = {link: house.unlink(*link, not_after=moment(-1)) for link in links[:2]}
    in_time = [house.unlink(*link) for link in links for _ in range(2)]
    late |= {link: house.unlink(*link, not_after=moment(-1)) for link in links[2:]}
    assert house.client.llen("unlink") == 4
    house.start_worker()
    assert outcomes(house, in_time) == ["unlinked"] * 8
    assert outcomes(house, list(late.values())) == ["expired"] * 4
    assert not set(links) & house.sandbox.links()
    assert len(house.sandbox.actions()) == 4, "each relation was deleted once"
    assert not list(house.client.scan_iter("unlinker:joined:*")), "nothing is kept of groups that are over"
    assert not list(house.client.scan_iter("unlinker:open:*"))


def test_when_all_are_too_late_nothing_is_deleted(house: House) -> None:
    late = [house.unlink(*LINK, not_after=moment(-1)) for _ in range(5)]
    house.start_worker()
    assert outcomes(house, late) == ["expired"] * 5
    assert LINK in house.sandbox.links()


def test_jobs_of_other_applications_join_too(house: House) -> None:
    """500 sends of one relation; those that are claimed once its request has left make up the next."""
    house.settings["UNLINKER_REQUESTS_PER_SECOND"] = "1"
    with Celery(broker=house.redis_url, backend=house.redis_url) as app:
        sent = [app.send_task("unlinker.unlink", kwargs=WISH, queue="unlink").id for _ in range(500)]
        house.start_worker()
        assert set(outcomes(house, sent)) <= {"unlinked", "already_absent"}
        assert len(house.sandbox.actions()) <= 5, "a claim takes a hundred of them"
        assert {app.AsyncResult(job_id).state for job_id in sent} == {"SUCCESS"}
    eventually(lambda: house.client.hlen(keys.CLAIMED) == 0)
    assert not list(house.client.scan_iter("unlinker:joined:*"))


def test_nobody_joins_a_job_that_waits_for_its_eta(house: House) -> None:
    house.start_worker()
    patient = house.push(WISH, eta=moment(3600))
    eventually(lambda: house.status(patient) == "delayed")
    assert house.ended(house.unlink(*LINK))["outcome"] == "unlinked"
    other = house.push(WISH)
    assert house.ended(other)["outcome"] == "already_absent"
    assert house.status(patient) == "delayed"


def test_nobody_joins_a_job_that_was_tried_before_or_is_in_doubt(house: House) -> None:
    """One was told clearly that it cannot be done now; of the other the answer was lost. Both wait for their account.

    Relations may be made anew meanwhile: what is found out for the first jobs says nothing of the later ones.
    """
    tried, doubtful = many(house, 2)
    with_another_account(house)
    house.settings |= {"UNLINKER_MAX_ATTEMPTS": "50", "UNLINKER_ACTIONS_PER_REQUEST": "1"}
    of_tried = {"action": "delete", "parentid": tried[1]}
    house.sandbox.fault("action_code", times=None, params={"code": 137}, match=of_tried)
    house.sandbox.fault("reset_after", times=1, match={"action": "delete", "parentid": doubtful[1]})
    house.sandbox.fault("bad_gateway_502", times=None, match={"action": "get"})
    house.start_worker()
    first = [house.unlink(*tried), house.unlink(*doubtful)]
    eventually(lambda: all(house.job(job_id).get("sent_at") for job_id in first))
    house.here("accounts", "halt", "default", "--reason", "test")
    eventually(lambda: [house.status(job_id) for job_id in first] == ["parked", "parked"])
    house.sandbox.add_links([doubtful])
    ours = [house.unlink(*tried), house.unlink(*doubtful)]
    theirs = [house.push({**WISH, "parentid": link[1], "childid": link[2]}) for link in (tried, doubtful)]
    eventually(lambda: all(house.status(job_id) == "parked" for job_id in theirs))
    for job_id in ours + theirs:
        assert house.job(job_id).get("joined") not in first
    house.sandbox.call("DELETE", "faults")
    house.here("accounts", "resume", "default")
    house.all_ended([*first, *ours, *theirs])
    assert not {tried, doubtful} & house.sandbox.links()
