"""arq."""

import asyncio
import sys
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from common import REDIS, unlink_one

SETTINGS = RedisSettings.from_dsn(REDIS)


async def unlink(_context: dict[str, Any], parentid: int, childid: int) -> str:
    return await unlink_one(parentid, childid)


class WorkerSettings:
    functions = [unlink]  # noqa: RUF012  # arq's own way to be configured
    redis_settings = SETTINGS
    max_jobs = 200
    keep_result = 3600


async def enqueue(count: int) -> None:
    pool = await create_pool(SETTINGS)
    for start in range(0, count, 100):
        numbers = range(start + 1, min(start + 100, count) + 1)
        await asyncio.gather(*(pool.enqueue_job("unlink", 7, child) for child in numbers))


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1])))
