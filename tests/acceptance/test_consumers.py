"""`cancel_consumer` and `add_consumer`: a worker claims from the queues that Celery consumes, watched or not."""

import pytest
from celery import Celery

from tests.faults.test_workers import LINK, many
from tests.harness import House, eventually
from worker.stores import keys

NAME = "unlinker.unlink"


def send(app: Celery, link: tuple[str, int, int], queue: str = "unlink", **more: object) -> str:
    kwargs = {"relationtype": link[0], "parentid": link[1], "childid": link[2]}
    return str(app.send_task(NAME, kwargs=kwargs, queue=queue, **more).id)


def claims(house: House) -> int:
    return int(house.client.get(keys.CLAIM_NUMBER) or 0)


@pytest.mark.parametrize("watched", [False, True])
def test_a_cancelled_queue_is_left_alone_until_it_is_added_again(house: House, app: Celery, watched: bool) -> None:
    """What is due, and what a dead worker left behind, waits in the queue too; other queues go on."""
    links = many(house, 8)
    house.start_worker()
    due = send(app, links[6], countdown=2)
    eventually(lambda: house.status(due) == "delayed")
    if watched:
        app.control.enable_events(reply=True)
    app.control.cancel_consumer("unlink", reply=True, timeout=10, limit=1)
    before = claims(house)
    ids = [send(app, link) for link in links[:6]]
    message = house.client.lpop("unlink")
    assert isinstance(message, bytes)
    house.client.hset(keys.CLAIMED, "dead:1", b"unlink\n" + message)
    house.client.zadd(keys.LEASES, {"dead:1": 0})
    chunk = house.push_chunk(links[7:])
    assert house.ended(chunk)["unlinked"] == 1
    eventually(lambda: house.client.llen("unlink") == 7)
    assert not house.client.hlen(keys.CLAIMED)
    assert claims(house) == before + 1, "the chunk was all that was claimed"
    assert set(links[:7]) <= house.sandbox.links()
    app.control.add_consumer("unlink", reply=True, timeout=10, limit=1)
    documents = house.all_ended([*ids, due])
    assert {document["outcome"] for document in documents.values()} == {"unlinked"}
    assert claims(house) <= before + 1 + 7 + 1


def test_a_queue_of_any_name_can_be_added(house: House, app: Celery) -> None:
    house.start_worker()
    app.control.add_consumer("clean-up", reply=True, timeout=10, limit=1)
    assert house.ended(send(app, LINK, "clean-up"))["outcome"] == "unlinked"
