"""Cancelling a job: one script, for operators (`unlinker cancel`) and for Celery's `revoke` alike."""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum

from worker.stores import keys
from worker.stores.records import Fields, Retention
from worker.stores.scripts import AsyncRedis, Call, Word, run

REVOKED_UNSEEN = 30 * 86400  # seconds that a revoke is remembered whose message no worker has seen


class Cancelled(StrEnum):
    """What became of it."""

    CANCELLED = "cancelled"
    TOO_LATE = "too_late"  # its request is out, or one of a chunk's rows was sent
    DOUBT = "doubt"  # an earlier request may have been carried out, and nobody knows yet
    ENDED = "ended"
    UNKNOWN = "unknown"


TOO_LATE: Mapping[Cancelled, str] = {
    Cancelled.TOO_LATE: "its request is out",
    Cancelled.DOUBT: "an earlier request may have been carried out; its worker will look",
    Cancelled.ENDED: "it has ended",
}


class Revocations:
    """What Celery's remote control revokes; for workers. Raises redis.exceptions.RedisError."""

    def __init__(self, client: AsyncRedis, retention: Retention) -> None:
        self._client = client
        self._retention = retention

    async def revoke(self, job_id: str, result: Mapping[str, object]) -> Cancelled:
        """Cancel a job. An id that nobody has seen yet is cancelled too: whoever claims its message finds that."""
        call = cancel_call(job_id, result, self._retention, keep_unseen=REVOKED_UNSEEN)
        return Cancelled((await run(self._client, call)).decode())

    async def revoke_stamps(self, stamps: Iterable[str]) -> None:
        """Cancel every job with one of these stamps (see `stamp`) when it is claimed or about to be sent."""
        arguments: list[Word] = [1000 * REVOKED_UNSEEN, *stamps]
        await run(self._client, Call("revoke_stamps", [keys.REVOKED_STAMPS], arguments))


def cancel_call(
    job_id: str,
    result: Mapping[str, object],
    retention: Retention,
    *,
    unclaimed: Fields | None = None,
    keep_unseen: int | None = None,
) -> Call:
    """The script that cancels a job. `result`: Celery's, of a cancelled job.

    unclaimed: fields of the record of a job that lies in the queue and was never claimed, if it has none yet.
    keep_unseen: seconds to remember an id of which nothing is known; None to answer UNKNOWN.
    """
    arguments: list[Word] = [
        job_id,
        keys.JOB_PREFIX,
        keys.GROUP_PREFIX,
        keys.OPEN_PREFIX,
        json.dumps({**result, "task_id": job_id}),
        keys.RESULT_PREFIX,
        retention.results,
        retention.records,
        "" if keep_unseen is None else keep_unseen,
    ]
    for field in (unclaimed or {}).items():
        arguments += field
    return Call("cancel", [keys.job(job_id), keys.COUNTERS, keys.rows(job_id)], arguments)


def stamp(header: str, value: object) -> str:
    """How a stamp of a Celery message is named in records and in Redis."""
    return json.dumps([header, value])
