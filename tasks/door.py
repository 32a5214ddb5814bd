"""The Python door: jobs by the thousand from one process, without a message per result.

For our own doors (command line, gateway, bulk) and for programs that run in this environment. Other systems send the
task `unlinker.unlink` with any Celery app, or use HTTP; what they send is the same message.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import redis

from tasks.unlink import NAME
from worker.engine import envelope
from worker.stores.wishes import Accepted, Wish, Wishes
from worker.unlinking.job import Job


@dataclass(frozen=True, slots=True)
class Receipt:
    """One job that was taken in."""

    id: str  # its Celery task id: `AsyncResult(id)` or `document(id)` tells how it ends
    accepted: Accepted


class Door:
    """Where jobs come in. Raises redis.exceptions.RedisError when the server cannot be reached."""

    def __init__(self, client: "redis.Redis") -> None:
        self._wishes = Wishes(client)

    def enqueue(self, wanted: Iterable[Mapping[str, object]]) -> list[Receipt]:
        """Enqueue jobs given by the kwargs of `unlinker.unlink`; one receipt each, in their order.

        Nothing is enqueued if one of them cannot be read: raises BadArguments or UnknownRelationType for the first.
        """
        return self.enqueue_jobs([Job.from_arguments(str(uuid.uuid4()), each) for each in wanted])

    def enqueue_jobs(self, jobs: Sequence[Job]) -> list[Receipt]:
        """The same for jobs that were read already, under ids of the caller: repeated ids are run once."""
        wishes = [Wish(job, envelope.write(NAME, job.id, job.as_arguments())) for job in jobs]
        accepted = self._wishes.enqueue_many(wishes)
        return [Receipt(job.id, how) for job, how in zip(jobs, accepted, strict=True)]

    def document(self, job_id: str) -> dict[str, object] | None:
        """The job as `unlinker job` shows it, or None for an id nobody knows."""
        return self._wishes.document(job_id)
