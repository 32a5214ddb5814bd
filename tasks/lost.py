"""Lost jobs: what their message must have been, so that a worker brings them to their end after all."""

from collections.abc import Mapping, Sequence

from tasks import undo, unlink, unlink_many
from worker.engine import envelope
from worker.engine.conductor import chunk_message
from worker.stores import keys
from worker.stores.lost_jobs import Candidate, LostJobs
from worker.stores.runs import Runs
from worker.unlinking.job import Job, Relation, read_terms
from worker.unlinking.runs import CHUNK_MARK, is_chunk_of

SINGLES, BULK = keys.QUEUES[0], keys.QUEUES[2]


class BringBack:
    """Puts messages back. What is past its deadline is looked at if it was sent, and expires; nothing is deleted."""

    def __init__(self, lost: LostJobs, runs: Runs) -> None:
        self._lost = lost
        self._runs = runs

    def bring_back(self, candidates: Sequence[Candidate]) -> int:
        """How many could be; a chunk of no run names no relations, and cannot."""
        messages: dict[str, list[str]] = {SINGLES: [], BULK: []}
        for each in candidates:
            message = self._of_chunk(each.job.id) if each.is_chunk else self._of_job(each.job.id)
            if message is not None:
                messages[BULK if each.is_chunk else SINGLES].append(message)
        for queue, some in messages.items():
            self._lost.put_back(queue, some)
        return sum(map(len, messages.values()))

    def _of_job(self, job_id: str) -> str | None:
        record = self._lost.record(job_id)
        if not {"relationtype", "parentid", "childid", "account"} <= set(record):
            return None
        if "restore" in record:  # its message is a chunk of one row, see tasks.replay
            return envelope.write(undo.NAME, job_id, undo.arguments_for(_restored(job_id, record)), BULK)
        return envelope.write(unlink.NAME, job_id, _arguments(record))

    def _of_chunk(self, chunk_id: str) -> str | None:
        run_id, _, number = chunk_id.rpartition(CHUNK_MARK)
        run = self._runs.get(run_id)
        if run is None or not is_chunk_of(run_id, chunk_id):
            return None
        rows = self._runs.chunk(run_id, int(number))
        task = undo.NAME if run.fields["action"] == "restore" else unlink_many.NAME
        return None if rows is None else chunk_message(run, task, int(number), rows)


def _restored(job_id: str, record: Mapping[str, str]) -> Job:
    relation = Relation(record["relationtype"], int(record["parentid"]), int(record["childid"]))
    arguments = _arguments(record)
    return Job(
        id=job_id,
        relation=relation,
        terms=read_terms({name: arguments.get(name) for name in ("account", "requested_by", "reason", "not_after")}),
        restore=True,
        confirmation=record.get("confirmation"),
    )


def _arguments(record: Mapping[str, str]) -> dict[str, object]:
    """The kwargs that its producer sent."""
    found: dict[str, object] = {name: record[name] for name in ("relationtype", "account")}
    found |= {name: int(record[name]) for name in ("parentid", "childid")}
    found |= {name: record[name] for name in ("requested_by", "reason") if name in record}
    if "not_after" in record:
        found["not_after"] = int(float(record["not_after"])) / 1000
    return found
