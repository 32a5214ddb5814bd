"""Joined jobs: one delete for all, and each keeps its own deadline, cancel and outcome."""

from datetime import UTC, datetime, timedelta

from celery import Celery

from tests.faults.test_workers import LINK, many
from tests.harness import House, eventually
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


def test_nobody_joins_a_job_that_was_tried_before(house: House) -> None:
    """Its first request was answered clearly, and it waits for the next: the relation may have been made anew."""
    house.settings |= {"UNLINKER_MAX_ATTEMPTS": "50"}
    house.sandbox.fault("action_code", times=None, params={"code": 137}, match={"action": "delete"})
    house.start_worker()
    tried = house.unlink(*LINK)
    eventually(lambda: house.status(tried) == "delayed" or house.job(tried).get("attempts"))
    ours, theirs = house.unlink(*LINK), house.push(WISH)
    eventually(lambda: house.status(theirs) is not None)
    assert house.job(ours).get("joined") != tried
    assert house.job(theirs).get("joined") != tried
    house.sandbox.call("DELETE", "faults")
    house.all_ended([tried, ours, theirs])


def test_nobody_joins_a_job_in_doubt(house: House) -> None:
    """Its delete was carried out, its answer lost, and nobody can look: what it finds says nothing of a later one."""
    house.sandbox.fault("reset_after", times=1, match={"action": "delete"})
    house.sandbox.fault("bad_gateway_502", times=None, match={"action": "get"})
    house.start_worker()
    doubtful = house.unlink(*LINK)
    eventually(lambda: LINK not in house.sandbox.links() and house.status(doubtful) != "sent")
    house.sandbox.add_links([LINK])  # made anew
    ours, theirs = house.unlink(*LINK), house.push(WISH)
    assert "joined" not in house.job(ours) or house.job(ours)["joined"] != doubtful
    eventually(lambda: house.status(theirs) is not None)
    assert house.job(theirs).get("joined") != doubtful
    house.sandbox.call("DELETE", "faults")
    house.all_ended([doubtful, ours, theirs])
    assert LINK not in house.sandbox.links()
