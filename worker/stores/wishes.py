"""Wishes: what producers do with jobs. For processes without a loop; batches go in one round trip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import redis

from worker.stores import keys
from worker.stores.cancelling import Cancelled, cancel_call
from worker.stores.job_document import job_document
from worker.stores.records import Fields, Retention, Status, record_fields
from worker.stores.scripts import Call, Word, run_now
from worker.unlinking.job import Job

WISHES_AT_ONCE = 200  # a script of so many takes about 5 ms of Redis


class Accepted(StrEnum):
    """What became of a wish."""

    QUEUED = "queued"
    JOINED = "joined"  # another job waits for the same relation and answers for this one too
    EXISTS = "exists"  # this job is known already
    REUSED = "reused"  # its id names another job: it becomes a dead letter `IdReused`
    GONE = "gone"  # the dead letter it replays was replayed or discarded before


@dataclass(frozen=True, slots=True)
class Wish:
    """A job and its message."""

    job: Job
    message: str
    queue: str = keys.QUEUES[0]
    letter: str = ""  # id of the dead letter it replays
    extra: Fields = field(default_factory=dict)  # of the record, besides the job's

    @property
    def joins_as(self) -> str:
        """What later wishes for the same relation find it by; "" for a restore, which joins nobody, and nobody it."""
        job, relation = self.job, self.job.relation
        if job.restore:
            return ""
        return keys.relation(job.account, relation.relationtype, relation.parentid, relation.childid)


class Wishes:
    """A producer's view of queue and records. Raises redis.exceptions.RedisError when the server cannot be reached."""

    def __init__(self, client: "redis.Redis", retention: Retention | None = None) -> None:
        self._client = client
        self._retention = retention or Retention()

    def enqueue(self, wish: Wish) -> Accepted:
        """Store the record, then the message or the joining, in one script: no id without both."""
        return self.enqueue_many([wish])[0]

    def enqueue_many(self, wishes: Sequence[Wish]) -> list[Accepted]:
        """The same for many wishes of one queue, in few round trips; what became of each, in their order.

        A call that fails half-way has taken in a first part of them; repeated with the same ids it does no harm.
        """
        found: list[Accepted] = []
        for start in range(0, len(wishes), WISHES_AT_ONCE):
            portion = wishes[start : start + WISHES_AT_ONCE]
            words = run_now(self._client, _enqueue_call(portion, self._retention))
            found += [Accepted(word.decode()) for word in words]
        return found

    def cancel(self, job_id: str, result: Mapping[str, object], unclaimed: Fields | None = None) -> Cancelled:
        """Take a wish back; durable, and effective until the last moment before the request.

        `unclaimed`: the fields of the record of a stranger's job that lies in the queue and was never claimed.
        """
        call = cancel_call(job_id, result, self._retention, unclaimed=unclaimed)
        return Cancelled(run_now(self._client, call).decode())

    def document(self, job_id: str) -> dict[str, object] | None:
        """The job as users see it, or None for an id nobody knows."""
        record = self._record(job_id)
        if "status" not in record:
            return None
        status = record["status"]
        head: Any = self._client.lindex(keys.GROUP_PREFIX + record["joined"], 0) if "joined" in record else None
        if head is not None and status != Status.ENDED:
            record["joined"] = head.decode()
            status = self._record(record["joined"]).get("status", status)
        return job_document(job_id, record, status)

    def _record(self, job_id: str) -> dict[str, str]:
        stored: Any = self._client.hgetall(keys.job(job_id))
        return {name.decode(): value.decode(errors="replace") for name, value in stored.items()}


def _enqueue_call(wishes: Sequence[Wish], retention: Retention) -> Call:
    arguments: list[Word] = [keys.JOB_PREFIX, keys.GROUP_PREFIX, keys.OPEN_PREFIX, retention.records]
    for wish in wishes:
        fields = record_fields(wish.job) | wish.extra
        arguments += (wish.job.id, wish.joins_as, wish.message, wish.letter, 2 * len(fields))
        for name, value in fields.items():
            arguments += (name, value)
    return Call("enqueue", [keys.queue_list(wishes[0].queue)], arguments)
