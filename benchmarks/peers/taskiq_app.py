"""taskiq with Redis streams, which acknowledge (its lists do not)."""

import asyncio
import sys

from common import REDIS, unlink_one
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

broker = RedisStreamBroker(REDIS).with_result_backend(RedisAsyncResultBackend(REDIS, result_ex_time=3600))


@broker.task
async def unlink(parentid: int, childid: int) -> str:
    return await unlink_one(parentid, childid)


async def enqueue(count: int) -> None:
    await broker.startup()
    for start in range(0, count, 100):
        await asyncio.gather(*(unlink.kiq(7, child) for child in range(start + 1, min(start + 100, count) + 1)))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1])))
