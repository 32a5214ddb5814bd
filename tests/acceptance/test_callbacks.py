"""However a job ends, Celery's callbacks run: link, link_error, chain, chord; at least once, also after a crash."""

from celery import Celery, chain, chord
from celery.canvas import Signature
from celery.exceptions import ChordError

from tests.faults.test_workers import LINK, many
from tests.harness import House, eventually
from worker.stores import keys

NAME = "unlinker.unlink"
BAD = {"relationtype": "calendar:address", "parentid": "x", "childid": 5}


def unlink(app: Celery, link: tuple[str, int, int], **more: object) -> Signature:
    kwargs = {"relationtype": link[0], "parentid": link[1], "childid": link[2], **more}
    return app.signature(NAME, kwargs=kwargs, queue="unlink", immutable=True)


def gone(house: House, *links: tuple[str, int, int]) -> None:
    eventually(lambda: not set(links) & house.sandbox.links())


def all_acked(house: House) -> None:
    eventually(lambda: not house.client.hlen(keys.CLAIMED) and not house.client.llen("unlink"))


def test_a_chord_learns_of_a_row_that_never_ran(house: House, app: Celery) -> None:
    """Its arguments cannot be read, it is cancelled or too late, nobody knows its account."""
    sound = {**BAD, "parentid": 999}
    rows = {
        "unreadable": BAD,
        "no type": {**sound, "relationtype": "no:type"},
        "too late": {**sound, "not_after": 1.0},
        "no account": {**sound, "account": "nobody's"},
        "cancelled": {**sound, "parentid": 998},
    }
    links = iter(many(house, 4 * len(rows)))
    bodies, bad_ones, told = {}, {}, []
    for name, kwargs in rows.items():
        bad = app.signature(NAME, kwargs=kwargs, queue="unlink", immutable=True)
        good, of_chord, of_row = next(links), next(links), next(links)
        bad.link_error(unlink(app, of_row))
        result = chord([unlink(app, good), bad], app=app)(unlink(app, next(links)).on_error(unlink(app, of_chord)))
        bodies[name], bad_ones[name] = result.id, result.parent.children[1].id
        told += [good, of_chord, of_row]
    assert house.here("cancel", bad_ones["cancelled"]).returncode == 0
    house.start_worker()
    for name, body in bodies.items():
        result = app.AsyncResult(body)
        eventually(lambda result=result: result.state == "FAILURE")  # type: ignore[misc]  # mypy cannot type it
        assert isinstance(result.result, ChordError)
        assert bad_ones[name] in str(result.result)
        assert app.AsyncResult(bad_ones[name]).state == ("REVOKED" if name == "cancelled" else "FAILURE")
    gone(house, *told)
    all_acked(house)
    assert len(house.sandbox.actions()) == len(told), "no body ran"


def test_what_follows_a_dead_job_in_a_chain_is_told(house: House, app: Celery) -> None:
    never = chain(app.signature(NAME, kwargs=BAD, queue="unlink", immutable=True), unlink(app, LINK)).apply_async().id
    house.start_worker()
    eventually(lambda: app.AsyncResult(never).state == "FAILURE")
    assert "parentid" in str(app.AsyncResult(never).result)
    assert LINK in house.sandbox.links()
    assert house.job(never) == {}, "it is no job: it was never sent"


def test_callbacks_are_sent_though_the_worker_dies_between_outcome_and_callback(house: House, app: Celery) -> None:
    """The outcome is written as a worker does that dies then: its message is still claimed, nothing was called back."""
    (follows,) = many(house, 1)
    sent = app.send_task(NAME, kwargs=unlink(app, LINK).kwargs, queue="unlink", link=unlink(app, follows))
    message = house.client.lindex("unlink", 0)
    assert isinstance(message, bytes)
    worker = house.start_worker()
    gone(house, LINK, follows)
    all_acked(house)
    worker.kill()
    house.sandbox.add_links([LINK, follows])  # made anew
    house.client.hset(keys.CLAIMED, "dead:1", b"unlink\n" + message)
    house.client.zadd(keys.LEASES, {"dead:1": 0})
    house.start_worker()
    eventually(lambda: not house.client.hlen(keys.CLAIMED))
    assert house.job(sent.id)["outcome"] == "unlinked"
    gone(house, follows)
    assert LINK in house.sandbox.links(), "it has its outcome, and reaches the API no more"


def test_a_job_cancelled_while_it_waits_at_a_worker_calls_back(house: House, app: Celery) -> None:
    """The API is slow: the job is claimed, and cancelled before its request."""
    told, first = many(house, 2)
    house.settings |= {"UNLINKER_MAX_IN_FLIGHT": "1"}
    house.sandbox.fault("slow", params={"seconds": 3}, match={"parentid": first[1]})
    house.start_worker()
    house.unlink(*first)
    eventually(lambda: any(key for key in house.client.scan_iter("unlinker:in-flight:*")))
    sent = unlink(app, LINK).apply_async(link_error=unlink(app, told))
    eventually(lambda: house.status(sent.id) == "queued")
    assert house.here("cancel", sent.id).returncode == 0
    gone(house, told)
    assert sent.state == "REVOKED"
    assert LINK in house.sandbox.links()
    all_acked(house)


def test_a_chunk_that_cannot_be_read_calls_back(house: House, app: Celery) -> None:
    house.start_worker()
    chunk = app.signature("unlinker.unlink_many", kwargs={"relations": []}, queue="bulk", immutable=True)
    sent = chunk.apply_async(link_error=unlink(app, LINK))
    gone(house, LINK)
    assert sent.state == "FAILURE"
    eventually(lambda: not house.client.hlen(keys.CLAIMED))
