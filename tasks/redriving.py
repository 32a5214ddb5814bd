"""Automatic redrive: which dead letters are due, and moving them."""

from collections.abc import Callable, Iterator, Sequence

from tasks.replay import Replayer
from worker.stores.dead_letters import DeadLetters
from worker.stores.letter import LONGEST_WAIT, Filter, Letter
from worker.unlinking.errors import TRANSIENT
from worker.unlinking.redriving import RedrivePolicy

BY = "redrive"  # in the audit
BECAUSE = "their reasons may have passed by themselves"


class Redriver:
    """Tries letters of transient reasons again. May run twice at once: a letter is moved once.

    Raises redis.exceptions.RedisError.
    """

    def __init__(
        self, letters: DeadLetters, replayer: Replayer, policy: RedrivePolicy, clock: Callable[[], float]
    ) -> None:
        self._letters = letters
        self._replayer = replayer
        self._policy = policy
        self._clock = clock  # Unix seconds

    def due(self) -> Iterator[Sequence[Letter]]:
        """The letters that are to be tried again now, in portions; those whose deadline has passed are not."""
        now, begin = self._clock(), self._letters.now()
        for redrives, before in self._policy.due(now):
            for reason in sorted(TRANSIENT):
                # what ended longer ago is past every deadline
                wanted = Filter(reason=reason, redrives=redrives, before=before, since=now - LONGEST_WAIT)
                for some in self._letters.walk(wanted, begin):
                    yield [letter for letter in some if letter.deadline > now]

    def move(self, letters: Sequence[Letter]) -> list[str]:
        """The ids of the new jobs."""
        return self._replayer.redrive(letters)
