"""Dead letters as new jobs."""

import json
import uuid
from collections.abc import Callable, Sequence

from tasks import undo, unlink
from worker.engine import envelope
from worker.stores import keys
from worker.stores.letter import Letter
from worker.stores.records import Fields
from worker.stores.wishes import Accepted, Wish, Wishes
from worker.unlinking.attribution import By, Known, pack
from worker.unlinking.job import Job

BULK = keys.QUEUES[2]


class Replayer:
    """Sends dead letters again. Raises redis.exceptions.RedisError.

    A letter is moved exactly once, whoever else tries, and whatever dies meanwhile. Letters that name nothing to unlink
    are passed over.
    """

    def __init__(self, wishes: Wishes, clock: Callable[[], float]) -> None:
        self._wishes = wishes
        self._clock = clock  # Unix seconds

    def replay(self, letters: Sequence[Letter]) -> list[str]:
        """Somebody asked for it, who knows that they are still meant; the ids of the new jobs.

        A deadline that has passed is left out; one that has not stays.
        """
        now = self._clock()
        alive = [(letter, letter.not_after if (letter.not_after or 0) > now else None) for letter in letters]
        return self._move([self._wish(letter, not_after, redrives=0) for letter, not_after in alive])

    def redrive(self, letters: Sequence[Letter]) -> list[str]:
        """Nobody asked for it: the deadline stays, and what is past it stays dead."""
        now = self._clock()
        alive = [(letter, letter.deadline) for letter in letters if letter.deadline > now]
        return self._move([self._wish(letter, end, redrives=letter.redrives + 1) for letter, end in alive])

    def _move(self, wishes: Sequence[Wish | None]) -> list[str]:
        possible = [wish for wish in wishes if wish is not None]
        moved: list[str] = []
        for queue in sorted({wish.queue for wish in possible}):
            some = [wish for wish in possible if wish.queue == queue]
            accepted = zip(some, self._wishes.enqueue_many(some), strict=True)
            moved += [wish.job.id for wish, how in accepted if how is not Accepted.GONE]
        return moved

    def _wish(self, letter: Letter, not_after: float | None, redrives: int) -> Wish | None:
        if not letter.names_relation:
            return None
        job = Job(
            id=str(uuid.uuid4()),
            relation=letter.relation,
            terms=letter.terms(not_after),
            restore=letter.restore,
            confirmation=letter.confirmation,
        )
        extra: Fields = {"replay_of": letter.id, "replays": letter.replays + 1, "redrives": redrives}
        if letter.by is By.UNKNOWN:  # what may have been ours stays so, whatever the new job is answered
            extra["known"] = json.dumps(pack(Known(forgotten=True)))
        if letter.run is not None:
            extra |= {name: letter.record[name] for name in ("run", "row") if name in letter.record}
        if job.restore:
            return _restoring(job, letter.id, extra)
        return Wish(job, envelope.write(unlink.NAME, job.id, job.as_arguments()), letter=letter.id, extra=extra)


def _restoring(job: Job, letter: str, extra: Fields) -> Wish:
    """What was to bring a link back is replayed as that: a chunk of one row, under the id of the new job."""
    named = {"run": extra.get("run"), "first_row": int(extra.get("row", 0))} if "run" in extra else {}
    message = envelope.write(undo.NAME, job.id, undo.arguments_for(job) | named, BULK)
    return Wish(job, message, queue=BULK, letter=letter, extra=extra)
