"""Jobs by their ids: by their records, or in the queue, where a stranger's job lies until a worker claims it."""

from tasks.undo import NAME as UNDO
from tasks.unlink import NAME as UNLINK
from tasks.unlink_many import NAME as UNLINK_MANY
from worker.engine.arrivals import arrive_chunk, arrive_job
from worker.engine.envelope import Envelope, Newer, read
from worker.stores import keys
from worker.stores.deliveries import Claimed
from worker.stores.job_document import job_document
from worker.stores.records import Fields, Status
from worker.stores.unclaimed import Unclaimed
from worker.stores.wishes import Wishes

TASKS = frozenset({UNLINK, UNLINK_MANY, UNDO})


class JobLookup:
    """Raises redis.exceptions.RedisError."""

    def __init__(self, wishes: Wishes, unclaimed: Unclaimed) -> None:
        self._wishes = wishes
        self._unclaimed = unclaimed

    def document(self, job_id: str) -> dict[str, object] | None:
        """The job as users see it; None for an id that is neither known nor queued."""
        known = self._wishes.document(job_id)
        if known is not None:
            return known
        fields = self.unclaimed_fields(job_id)
        if fields is not None:
            return job_document(job_id, {name: str(value) for name, value in fields.items()}, Status.QUEUED)
        return self._wishes.document(job_id)  # it may have been claimed while we looked

    def unclaimed_fields(self, job_id: str) -> Fields | None:
        """What the record of a queued job will be made from."""
        message = self._unclaimed.find(job_id)
        found = None if message is None else read(message, TASKS)
        if message is None or not isinstance(found, Envelope | Newer) or found.id != job_id:
            return None
        if isinstance(found, Newer):
            return {"why": f"its payload has version {found.version} and waits for a newer worker"}
        claimed = Claimed("", message, "", keys.QUEUES[0])
        if found.task == UNLINK:
            return arrive_job(claimed, found).arrival.fields
        return arrive_chunk(claimed, found, restore=found.task == UNDO).arrival.fields
