"""Messages that no worker has claimed yet. Strangers' jobs have no record before: only the queue knows of them."""

import json
from collections.abc import Iterator

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
        # as JSON writers put it; protocol 1 has its id in the body, which may be packed, and in the correlation id
        spelled = dict.fromkeys((json.dumps(job_id), json.dumps(job_id, ensure_ascii=False)))
        words = [
            f'"{name}":{space}{text}' for name in ("id", "correlation_id") for space in (" ", "") for text in spelled
        ]
        for name in keys.CLAIM_ORDER:
            message = self._find_in(name, words)
            if message is not None:
                return message
        return self._find_newer(words)

    def _find_newer(self, words: list[str]) -> bytes | None:
        """Among those that wait for a newer worker."""
        named = [word.encode() for word in words]
        entries: Iterator[tuple[bytes, float]] = self._client.zscan_iter(keys.NEWER, count=AT_ONCE)
        messages = (entry.partition(b"\n")[2] for entry, _ in entries)
        return next((message for message in messages if any(word in message for word in named)), None)

    def _find_in(self, name: str, words: list[str]) -> bytes | None:
        first = 0
        while True:
            seen, message = run_now(self._client, Call("find", [name], [first, first + AT_ONCE - 1, *words]))
            if message:
                return bytes(message)
            if seen < AT_ONCE:
                return None
            first += AT_ONCE
