"""A wish that a link be there again has nothing to do with wishes that it be gone."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tasks import undo, unlink
from tasks.lost import BringBack
from worker.engine import envelope
from worker.stores import keys
from worker.stores.lost_jobs import LostJobs
from worker.stores.runs import Runs
from worker.stores.wishes import Accepted, Wish, Wishes
from worker.unlinking.chunk import Chunk
from worker.unlinking.fingerprint import of_chunk
from worker.unlinking.job import Job, Relation

BULK = keys.QUEUES[2]


@pytest.fixture
def client(redis_url: str) -> "Iterator[redis.Redis]":
    with redis.Redis.from_url(redis_url) as client:
        yield client


def wish(*, restore: bool) -> Wish:
    job = Job(id=str(uuid.uuid4()), relation=Relation("calendar:address", 671, 153), restore=restore)
    if restore:
        return Wish(job, envelope.write(undo.NAME, job.id, undo.arguments_for(job), BULK), queue=BULK)
    return Wish(job, envelope.write(unlink.NAME, job.id, job.as_arguments()))


def test_a_restore_joins_no_deletion_and_no_deletion_joins_it(client: "redis.Redis") -> None:
    wishes = Wishes(client)
    assert wishes.enqueue(wish(restore=True)) is Accepted.QUEUED
    assert wishes.enqueue(wish(restore=False)) is Accepted.QUEUED
    assert wishes.enqueue(wish(restore=True)) is Accepted.QUEUED
    assert wishes.enqueue(wish(restore=False)) is Accepted.JOINED, "the deletion that waits"
    assert (client.llen("unlink"), client.llen(BULK)) == (1, 2)
    assert json.loads(client.lindex(BULK, 0) or b"{}")["headers"]["task"] == "unlinker.undo"


def test_a_restore_that_waits_can_be_told_and_cancelled(client: "redis.Redis") -> None:
    wishes = Wishes(client)
    deletion, restore = wish(restore=False), wish(restore=True)
    wishes.enqueue(deletion)
    wishes.enqueue(restore)
    assert (wishes.document(restore.job.id) or {})["action"] == "restore"
    assert "action" not in (wishes.document(deletion.job.id) or {})
    assert wishes.cancel(restore.job.id, {}) == "cancelled"
    assert wishes.enqueue(wish(restore=False)) is Accepted.JOINED, "the deletion still waits"


def test_an_orphaned_restore_comes_back_as_what_it_was(client: "redis.Redis") -> None:
    """Under its id a deletion would be another job."""
    lost = wish(restore=True)
    Wishes(client).enqueue(lost)
    client.delete(BULK)
    store = LostJobs(client, client)
    assert BringBack(store, Runs(client)).bring_back(list(store.open_jobs("default"))) == 1
    messages: Any = client.lrange("unlink", 0, -1)
    (message,) = messages
    found = envelope.read(message, {unlink.NAME, undo.NAME})
    assert isinstance(found, envelope.Envelope)
    assert (found.task, found.id) == (undo.NAME, lost.job.id)
    chunk = Chunk.from_arguments(found.id, found.arguments, restore=True)
    assert client.hget(keys.job(lost.job.id), "fingerprint") == of_chunk(chunk).encode()
