"""saq; at 200 jobs at once its default pool of connections is exhausted, so 80 as its own examples stay below 100."""

import asyncio
import sys
from typing import Any

from common import REDIS, unlink_one
from saq import Queue

queue = Queue.from_url(REDIS)


async def unlink(_context: dict[str, Any], *, parentid: int, childid: int) -> str:
    return await unlink_one(parentid, childid)


settings = {"queue": queue, "functions": [unlink], "concurrency": 80, "dequeue_timeout": 1}


async def enqueue(count: int) -> None:
    await queue.connect()
    for start in range(0, count, 50):
        numbers = range(start + 1, min(start + 50, count) + 1)
        await asyncio.gather(*(queue.enqueue("unlink", parentid=7, childid=child, ttl=3600) for child in numbers))
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1])))
