"""Dead letters as new jobs."""

import uuid
from collections.abc import Callable, Sequence

from tasks.unlink import NAME
from worker.engine import envelope
from worker.stores.dead_letters import Letter
from worker.stores.records import Fields
from worker.stores.wishes import Accepted, Wish, Wishes

CARRIED = ("run", "row")  # of the record; where the wish came from


class Replayer:
    """Sends dead letters again. Raises redis.exceptions.RedisError."""

    def __init__(self, wishes: Wishes, clock: Callable[[], float]) -> None:
        self._wishes = wishes
        self._clock = clock  # Unix seconds

    def replay(self, letters: Sequence[Letter], *, redrive: bool = False) -> list[str]:
        """The ids of the new jobs. A letter is moved exactly once, whoever else tries, and whatever dies meanwhile.

        Letters that name no relation are passed over. `redrive`: nobody asked for it, so it is counted.
        """
        wishes = [wish for letter in letters if (wish := self._wish(letter, redrive=redrive)) is not None]
        moved = zip(wishes, self._wishes.enqueue_many(wishes), strict=True)
        return [wish.job.id for wish, how in moved if how is not Accepted.GONE]

    def _wish(self, letter: Letter, *, redrive: bool) -> Wish | None:
        job = letter.job(str(uuid.uuid4()), self._clock())
        if job is None:
            return None
        extra: Fields = {name: letter.record[name] for name in CARRIED if name in letter.record}
        extra["replay_of"] = letter.id
        extra["replays"] = letter.replays + 1
        extra["redrives"] = letter.redrives + 1 if redrive else 0
        return Wish(job, envelope.write(NAME, job.id, job.as_arguments()), letter=letter.id, extra=extra)
