"""Messages that no worker has claimed yet. Strangers' jobs have no record before: only the queue knows of them."""

import json

import redis

from worker.stores import keys
from worker.stores.scripts import Call, run_now

AT_ONCE = 1000  # messages looked at in one round trip; about 2 ms of Redis


class Unclaimed:
    """Looks through the queues. Raises redis.exceptions.RedisError."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def find(self, job_id: str) -> bytes | None:
        """The message with this id; None if there is none. With a million queued messages it takes some seconds.

        From the newest to the oldest, as they move while they are looked at: none is missed that stays.
        """
        words = [f'"id":{space}{json.dumps(job_id)}' for space in (" ", "")]  # as JSON writers put it
        for name in keys.CLAIM_ORDER:
            message = self._find_in(name, words)
            if message is not None:
                return message
        return None

    def _find_in(self, name: str, words: list[str]) -> bytes | None:
        first = 0
        while True:
            seen, message = run_now(self._client, Call("find", [name], [first, first + AT_ONCE - 1, *words]))
            if message:
                return bytes(message)
            if seen < AT_ONCE:
                return None
            first += AT_ONCE
