"""dramatiq with its AsyncIO middleware."""

import sys

import dramatiq
from common import REDIS, unlink_one
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware.asyncio import AsyncIO
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=REDIS)
broker.add_middleware(AsyncIO())
broker.add_middleware(Results(backend=RedisBackend(url=REDIS), store_results=True, result_ttl=3_600_000))
dramatiq.set_broker(broker)


@dramatiq.actor
async def unlink(parentid: int, childid: int) -> str:
    return await unlink_one(parentid, childid)


if __name__ == "__main__":
    for child in range(1, int(sys.argv[1]) + 1):
        unlink.send(7, child)
