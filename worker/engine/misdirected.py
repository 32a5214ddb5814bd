"""Our tasks in a queue that no worker of ours reads: who sends without `queue=` fills Celery's own queue `celery`."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Any

import structlog
from redis.exceptions import RedisError

from worker.engine.envelope import Envelope, Newer, read
from worker.stores import keys
from worker.stores.scripts import AsyncRedis

log = structlog.get_logger(__name__)
CELERYS_QUEUE = "celery"
SAMPLE = 20  # messages of each list
LOOK_EVERY = 30.0  # seconds
TELL_EVERY = 3600.0  # seconds
ADVICE = (
    'send them with queue="unlink" (unlink_many: "bulk"); `unlinker rejected requeue --from-queue celery` moves '
    "those that lie there"
)


def lists_of(queue: str) -> list[str]:
    """The lists of a queue, one a priority."""
    return [keys.queue_list(queue, step) for step in keys.PRIORITY_STEPS]


def ours(messages: Iterable[bytes], tasks: Collection[str]) -> list[tuple[bytes, str]]:
    """Those that are messages of our tasks, each with its task; "" for one that only a newer worker can read."""
    found = ((message, read(message, tasks)) for message in messages)
    return [
        (message, how.task if isinstance(how, Envelope) else "")
        for message, how in found
        if isinstance(how, Envelope | Newer)
    ]


class Lookout:
    """Tells of them in the log, once an hour; touches nothing."""

    def __init__(self, client: AsyncRedis, tasks: Collection[str]) -> None:
        self._client = client
        self._tasks = tasks

    async def run(self) -> None:
        """Run for ever."""
        while True:
            found = await self._look()
            if found:
                log.error("jobs lie in a queue that no worker reads", queue=CELERYS_QUEUE, seen=found, advice=ADVICE)
            await asyncio.sleep(TELL_EVERY if found else LOOK_EVERY)

    async def _look(self) -> int:
        found = 0
        for name in lists_of(CELERYS_QUEUE):
            try:
                some: list[Any] = await self._client.lrange(name, -SAMPLE, -1)
            except RedisError:  # away, or a key of another type: neither is told here
                continue
            found += len(ours(some, self._tasks))
        return found
