"""Celery's revoke: as durable as `unlinker cancel`, and never said of a job for which something was sent."""

import pytest
from celery import Celery

from tests.faults.test_workers import LINK, many
from tests.harness import House, eventually, with_another_account
from worker.stores import keys

NAME = "unlinker.unlink"


def arguments(link: tuple[str, int, int]) -> dict[str, object]:
    return {"relationtype": link[0], "parentid": link[1], "childid": link[2]}


def replies(app: Celery, *ids: str, **more: object) -> str:
    """What the workers say to a revoke."""
    return str(app.control.revoke(list(ids), reply=True, timeout=10, limit=1, **more))


def agree(house: House, app: Celery, job_id: str, outcome: str, state: str) -> None:
    assert house.job(job_id).get("outcome") == outcome
    assert app.AsyncResult(job_id).state == state


def test_a_revoke_outlives_the_workers_that_heard_it(house: House, app: Celery) -> None:
    """One job waits for its eta, one no worker has seen; the worker is killed, and another claims their messages."""
    worker = house.start_worker()
    first, second, third = links = many(house, 3)
    delayed = app.send_task(NAME, kwargs=arguments(first), queue="unlink", countdown=3).id
    eventually(lambda: house.status(delayed) == "delayed")
    unseen = "never-seen-by-anybody"
    assert replies(app, delayed, unseen).count("cancelled") == 2
    for job_id in (delayed, unseen):
        agree(house, app, job_id, "cancelled", "REVOKED")
    worker.kill()
    app.send_task(NAME, kwargs=arguments(second), queue="unlink", task_id=unseen)
    house.start_worker()
    assert house.ended(house.unlink(*third))["outcome"] == "unlinked"
    eventually(lambda: not house.client.zcard(keys.DELAYED) and not house.client.hlen(keys.CLAIMED))
    assert set(links) & house.sandbox.links() == {first, second}
    for job_id, link in ((delayed, first), (unseen, second)):
        agree(house, app, job_id, "cancelled", "REVOKED")
        assert house.job(job_id)["parentid"] == link[1]


def test_a_task_that_is_no_job_is_not_run_once_revoked(house: House, app: Celery) -> None:
    house.start_worker()
    assert "cancelled" in replies(app, "a-pass")
    app.send_task("unlinker.redrive", queue="control", task_id="a-pass")
    eventually(lambda: not house.client.llen("control") and not house.client.hlen(keys.CLAIMED))
    assert app.AsyncResult("a-pass").state == "REVOKED"


@pytest.mark.parametrize("watched", [False, True])
def test_nobody_is_told_that_a_job_was_revoked_whose_request_is_out(house: House, app: Celery, watched: bool) -> None:
    house.start_worker()
    if watched:
        app.control.enable_events(reply=True)
    house.sandbox.fault("slow", params={"seconds": 3})
    sent = app.send_task(NAME, kwargs=arguments(LINK), queue="unlink")
    eventually(lambda: house.status(sent.id) == "sent")
    assert "its request is out" in replies(app, sent.id, terminate=True)
    assert sent.state == "PENDING"
    assert sent.get(timeout=30)["outcome"] == "unlinked"
    assert "it has ended" in replies(app, sent.id)
    agree(house, app, sent.id, "unlinked", "SUCCESS")
    eventually(lambda: not house.client.hlen(keys.CLAIMED))


@pytest.mark.parametrize("lost", ["reset_after", "truncated_json"])
def test_a_job_in_doubt_is_neither_revoked_nor_cancelled(house: House, app: Celery, lost: str) -> None:
    """Its delete was carried out, its answer is lost, and it cannot be read back for a while.

    Whatever becomes of the job meanwhile (it waits, is claimed, parked by a halt, given back), cancelling is refused.
    """
    with_another_account(house)
    house.sandbox.fault(lost, times=1, match={"action": "delete"})
    house.sandbox.fault("bad_gateway_502", times=None, match={"action": "get"})
    house.start_worker()
    job_id = house.unlink(*LINK)
    eventually(lambda: house.job(job_id).get("status") in ("unverified", "parked", "delayed"))
    assert LINK not in house.sandbox.links()

    def refused() -> bool:
        assert house.here("cancel", job_id).returncode == 1
        assert "cancelled" not in replies(app, job_id)
        assert app.AsyncResult(job_id).state == "PENDING"
        return True

    for _ in range(5):
        refused()
    house.here("accounts", "halt", "default", "--reason", "test")
    eventually(lambda: refused() and house.status(job_id) == "parked")
    house.here("accounts", "resume", "default")
    for _ in range(5):
        refused()
    house.processes[-1].terminate()
    assert house.here("cancel", job_id).returncode == 1
    house.sandbox.call("DELETE", "faults")
    house.start_worker()
    assert house.ended(job_id)["outcome"] == "unlinked"
    assert LINK not in house.sandbox.links()


def test_jobs_are_revoked_by_their_stamps(house: House, app: Celery) -> None:
    """Those that wait, and those that come later; not those with another stamp."""
    house.start_worker()
    waiting, later, other = many(house, 3)

    def send(link: tuple[str, int, int], tenant: str, **more: object) -> str:
        signature = app.signature(NAME, kwargs=arguments(link), queue="unlink")
        signature.stamp(tenant=tenant)
        return str(signature.apply_async(**more).id)

    delayed = send(waiting, "a", countdown=2)
    eventually(lambda: house.status(delayed) == "delayed")
    app.control.revoke_by_stamped_headers({"tenant": ["a", "c"]}, reply=True, timeout=10, limit=1)
    house.processes[-1].kill()
    house.start_worker()
    ids = [delayed, send(later, "a"), send(other, "b")]
    documents = house.all_ended(ids)
    assert [documents[job_id]["outcome"] for job_id in ids] == ["cancelled", "cancelled", "unlinked"]
    assert [app.AsyncResult(job_id).state for job_id in ids] == ["REVOKED", "REVOKED", "SUCCESS"]
    assert {waiting, later} <= house.sandbox.links()


def test_revoking_one_of_many_joined_jobs_spares_the_others(house: House, app: Celery) -> None:
    house.here("accounts", "halt", "default", "--reason", "test")
    with_another_account(house)
    house.start_worker()
    sent = [app.send_task(NAME, kwargs=arguments(LINK), queue="unlink").id for _ in range(5)]
    eventually(lambda: all(house.status(job_id) == "parked" for job_id in sent))
    assert replies(app, sent[0], sent[2]).count("cancelled") == 2
    house.here("accounts", "resume", "default")
    documents = house.all_ended(sent)
    assert [documents[job_id]["outcome"] for job_id in sent] == [
        "cancelled",
        "unlinked",
        "cancelled",
        "unlinked",
        "unlinked",
    ]
    assert len(house.sandbox.actions()) == 1
    eventually(lambda: not house.client.hlen(keys.CLAIMED))
