"""Moving our tasks out of a queue that no worker of ours reads, and leaving everybody else's there."""

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from gateway.exits import CommandError, Exit
from tasks.reconcile import NAME as RECONCILE
from tasks.redrive import NAME as REDRIVE
from tasks.undo import NAME as UNDO
from tasks.unlink import NAME as UNLINK
from tasks.unlink_many import NAME as UNLINK_MANY
from worker.engine.misdirected import lists_of, ours
from worker.stores import keys
from worker.stores.scripts import Call, run_now

UNLINK_QUEUE, CONTROL, BULK = keys.QUEUES
QUEUE_OF = {UNLINK: UNLINK_QUEUE, UNLINK_MANY: BULK, UNDO: BULK, REDRIVE: CONTROL, RECONCILE: CONTROL}
LOOKED_AT = 1000  # messages of each list, the oldest


@dataclass(frozen=True, slots=True)
class Found:
    """A message of ours, and where it lies."""

    message: bytes
    list_name: str
    task: str  # "" if only a newer worker can read it


class Misdirected:
    """Raises redis.exceptions.RedisError."""

    def __init__(self, client: "redis.Redis", queue: str) -> None:
        if queue in keys.QUEUES:
            raise CommandError(Exit.BAD_INPUT, f"workers read the queue {queue!r}: nothing lies there in vain")
        self._client = client
        self._queue = queue

    def find(self) -> list[Found]:
        """Those of ours among the oldest, the oldest first."""
        return [
            Found(message, name, task)
            for name in lists_of(self._queue)
            for message, task in ours(reversed(self._messages(name)), QUEUE_OF)
        ]

    def _messages(self, name: str) -> list[bytes]:
        try:
            found: list[bytes] = self._client.lrange(name, -LOOKED_AT, -1)  # type: ignore[assignment]  # the stubs know no bytes
        except redis.exceptions.ResponseError:  # a key of another type is no queue
            return []
        return found

    def move(self, some: Sequence[Found]) -> list[Found]:
        """Into the queues that workers read; those that this call moved."""
        moved = []
        for each in some:
            target = keys.queue_list(QUEUE_OF.get(each.task, UNLINK_QUEUE))
            if run_now(self._client, Call("redirect", [each.list_name, target], [each.message])):
                moved.append(each)
        return moved
