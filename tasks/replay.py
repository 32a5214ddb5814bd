"""Dead letters as new jobs."""

import uuid
from collections.abc import Callable, Sequence

from tasks.unlink import NAME
from worker.engine import envelope
from worker.stores.letter import Letter
from worker.stores.records import Fields
from worker.stores.wishes import Accepted, Wish, Wishes
from worker.unlinking.job import Job


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
        moved = zip(possible, self._wishes.enqueue_many(possible), strict=True)
        return [wish.job.id for wish, how in moved if how is not Accepted.GONE]

    def _wish(self, letter: Letter, not_after: float | None, redrives: int) -> Wish | None:
        if not letter.can_be_replayed:
            return None
        job = Job(id=str(uuid.uuid4()), relation=letter.relation, terms=letter.terms(not_after))
        extra: Fields = {"replay_of": letter.id, "replays": letter.replays + 1, "redrives": redrives}
        if letter.run is not None:
            extra |= {name: letter.record[name] for name in ("run", "row") if name in letter.record}
        return Wish(job, envelope.write(NAME, job.id, job.as_arguments()), letter=letter.id, extra=extra)
