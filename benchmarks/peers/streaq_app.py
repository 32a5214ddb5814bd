"""streaq."""

import asyncio
import sys

from common import REDIS, unlink_one
from streaq import Worker

worker = Worker(redis_url=REDIS, concurrency=200)


@worker.task(ttl=3600)
async def unlink(parentid: int, childid: int) -> str:
    return await unlink_one(parentid, childid)


async def enqueue(count: int) -> None:
    async with worker:
        for start in range(0, count, 500):
            numbers = range(start + 1, min(start + 500, count) + 1)
            await worker.enqueue_many([unlink.enqueue(7, child) for child in numbers])


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1])))
