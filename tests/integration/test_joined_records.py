"""Records of joined jobs, and cancelling in every state: rule by rule, where the state machine goes by chance."""

from typing import Any

import pytest
import redis.asyncio

from worker.engine.settling import as_stored
from worker.stores import keys
from worker.stores.cancelling import Cancelled, Revocations
from worker.stores.records import (
    Admission,
    Arrival,
    Ending,
    Intent,
    Intention,
    Records,
    Retention,
    Status,
    record_fields,
)
from worker.unlinking.attribution import NOTHING, Known
from worker.unlinking.decisions import Ticket
from worker.unlinking.job import Job, JobTerms, Relation
from worker.unlinking.outcome import CANCELLED, EXPIRED, Kind, Outcome

RELATION = Relation("calendar:address", 671, 153)
NAMED = keys.relation("default", "calendar:address", 671, 153)
UNLINKED = Outcome(kind=Kind.UNLINKED)
LOST = Known().after_loss(5.0)
LONG_AGO = 1.0  # Unix seconds


class Desk:
    """What a worker does with records."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self.client = client
        self.records = Records(client, Retention(), same_server_as_queue=True)
        self.revocations = Revocations(client, Retention())

    def job(self, job_id: str, *, late: bool = False) -> Job:
        return Job(id=job_id, relation=RELATION, terms=JobTerms(not_after=LONG_AGO if late else None))

    async def admit(self, job_id: str, *, late: bool = False) -> Any:
        claim = f"claim of {job_id}"
        await self.client.hset(keys.CLAIMED, claim, f"unlink\nmessage of {job_id}")
        fields = record_fields(self.job(job_id, late=late))
        (known,) = await self.records.admit([Arrival(id=job_id, fields=fields, claim=claim, relation=NAMED)])
        return known

    async def send(self, job_id: str) -> Intent:
        (intent,) = await self.records.intend([Intention(self.job(job_id), f"claim of {job_id}")])
        return intent

    async def defer(self, job_id: str, status: Status, *, in_doubt: bool, question: bool) -> None:
        ticket = Ticket(job=self.job(job_id), known=LOST if in_doubt else NOTHING, question=question)
        assert await self.records.defer(f"claim of {job_id}", status, ticket, "why")

    async def finish(self, job_id: str, how: Outcome) -> None:
        ending = Ending(job_id, NAMED, as_stored(how, 0.0))
        await self.records.finish([ending], as_stored(EXPIRED, 0.0))

    async def ends(self, *ids: str) -> list[str | None]:
        found = [await self.records.end_of(job_id) for job_id in ids]
        return [None if each is None else each[0] for each in found]

    async def revoke(self, job_id: str) -> Cancelled:
        return await self.revocations.revoke(job_id, {"status": "REVOKED"})

    async def queue(self) -> list[str]:
        messages: Any = await self.client.lrange("unlink", 0, -1)
        return [message.decode().removeprefix("message of ") for message in messages]


@pytest.fixture
def desk(store: "redis.asyncio.Redis") -> Desk:
    return Desk(store)


async def test_joined_jobs_end_with_the_first_by_their_own_terms(desk: Desk) -> None:
    assert (await desk.admit("a")).admission is Admission.RUN
    assert (await desk.admit("late", late=True)).admission is Admission.JOINED
    assert (await desk.admit("b")).admission is Admission.JOINED
    assert await desk.revoke("b") is Cancelled.CANCELLED
    assert (await desk.admit("c")).admission is Admission.JOINED
    assert (await desk.admit("c")).admission is Admission.JOINED, "its ack was lost"
    assert await desk.send("a") is Intent.GO
    assert (await desk.admit("c")).admission is Admission.JOINED
    assert await desk.client.llen(keys.GROUP_PREFIX + "a") == 4
    assert (await desk.admit("d")).admission is Admission.RUN, "a request was sent, the relation may be new"
    assert (await desk.admit("e")).admission is Admission.JOINED, "of which there is a new first one now"
    await desk.finish("a", UNLINKED)
    assert await desk.ends("a", "late", "b", "c", "d", "e") == [
        "unlinked",
        "expired",
        "cancelled",
        "unlinked",
        None,
        None,
    ]
    assert await desk.revoke("d") is Cancelled.CANCELLED
    assert await desk.queue() == ["e"]
    await desk.finish("e", UNLINKED)
    assert [key async for key in desk.client.scan_iter("unlinker:joined:*")] == []
    assert not await desk.client.exists(keys.OPEN_PREFIX + NAMED)


@pytest.mark.parametrize("how", [EXPIRED, CANCELLED])
async def test_the_next_one_goes_on_and_knows_what_was_sent(desk: Desk, how: Outcome) -> None:
    for job_id in ("a", "b", "c", "d"):
        await desk.admit(job_id)
    assert await desk.revoke("b") is Cancelled.CANCELLED
    assert await desk.send("a") is Intent.GO
    await desk.defer("a", Status.PARKED, in_doubt=True, question=False)
    await desk.finish("a", how)
    assert await desk.ends("a", "b", "c", "d") == [str(how.kind), "cancelled", None, None]
    assert await desk.queue() == ["c"], "the first that is still wanted"
    assert await desk.revoke("c") is Cancelled.DOUBT
    assert await desk.revoke("d") is Cancelled.DOUBT, "it waits for one in doubt"
    known = await desk.admit("c")
    assert (known.admission, known.known.in_doubt) == (Admission.RUN, True)
    assert (await desk.admit("e")).admission is Admission.RUN, "nobody joins what was tried before"
    await desk.finish("c", UNLINKED)
    assert await desk.ends("c", "d", "e") == ["unlinked", "unlinked", None]


async def test_who_was_in_time_for_the_first_request_was_in_time(desk: Desk) -> None:
    """Also when it was repeated since, and by another job of the group."""
    for job_id in ("a", "b", "c"):
        await desk.admit(job_id)
    await desk.send("a")
    first_sent: Any = await desk.client.hget(keys.job("a"), "first_sent_at")
    await desk.client.hset(keys.job("c"), "deadline", first_sent)
    await desk.defer("a", Status.DELAYED, in_doubt=True, question=False)
    await desk.admit("a")
    await desk.send("a")
    await desk.finish("a", EXPIRED)
    await desk.admit("b")
    await desk.send("b")
    await desk.finish("b", UNLINKED)
    assert await desk.ends("a", "b", "c") == ["expired", "unlinked", "unlinked"]


@pytest.mark.parametrize("alone", [True, False])
async def test_what_was_sent_or_is_waited_for_joins_nobody(desk: Desk, alone: bool) -> None:
    await desk.admit("a")
    if not alone:
        await desk.admit("b")
    await desk.send("a")
    await desk.client.delete(keys.CLAIMED)  # its worker died
    assert (await desk.admit("x")).admission is Admission.RUN
    known = await desk.admit("a")
    assert (known.admission, known.known.in_doubt) == (Admission.RUN, True)
    await desk.admit("y")
    await desk.client.set(keys.OPEN_PREFIX + NAMED, "z")
    await desk.client.hset(keys.job("z"), "status", "queued")
    assert (await desk.admit("x")).admission is Admission.RUN


@pytest.mark.parametrize("status", [Status.QUEUED, Status.DELAYED, Status.PARKED, Status.UNVERIFIED])
@pytest.mark.parametrize(("in_doubt", "question"), [(True, False), (False, True), (True, True), (False, False)])
@pytest.mark.parametrize("again", [False, True])
async def test_what_may_have_been_carried_out_is_not_cancelled(
    desk: Desk, status: Status, in_doubt: bool, question: bool, again: bool
) -> None:
    """`again`: its message was claimed once more."""
    await desk.admit("a")
    await desk.send("a")
    assert await desk.revoke("a") is Cancelled.TOO_LATE
    await desk.defer("a", status, in_doubt=in_doubt, question=question)
    if again:
        await desk.admit("a")
    unclear = in_doubt or question or (status is Status.UNVERIFIED and not again)
    assert await desk.revoke("a") is (Cancelled.DOUBT if unclear else Cancelled.CANCELLED)
    assert await desk.ends("a") == [None if unclear else "cancelled"]


async def test_what_a_dead_worker_sent_is_not_cancelled(desk: Desk) -> None:
    await desk.admit("a")
    await desk.send("a")
    await desk.client.delete(keys.CLAIMED)
    assert await desk.revoke("a") is Cancelled.TOO_LATE
    assert (await desk.admit("a")).known.in_doubt
    assert await desk.revoke("a") is Cancelled.DOUBT


async def test_a_revoked_stamp_ends_no_job_that_was_sent_and_every_other(desk: Desk) -> None:
    fields = record_fields(desk.job("a")) | {"stamps": '["x", "y"]'}
    await desk.client.hset(keys.CLAIMED, "claim of a", "unlink\n{}")
    arrival = Arrival(id="a", fields=fields, claim="claim of a")
    (known,) = await desk.records.admit([arrival])
    assert not known.revoked
    await desk.revocations.revoke_stamps(["y"])
    assert await desk.send("a") is Intent.CANCELLED
    (known,) = await desk.records.admit([arrival])
    assert known.revoked


async def test_what_another_application_has_stored_for_its_task_stands(desk: Desk) -> None:
    await desk.client.set(keys.RESULT_PREFIX + "theirs", '{"status": "STARTED"}')
    assert await desk.revoke("theirs") is Cancelled.CANCELLED
    assert await desk.client.get(keys.RESULT_PREFIX + "theirs") == b'{"status": "STARTED"}'
