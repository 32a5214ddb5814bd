"""Connections to Redis on a loop."""

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from worker.stores.scripts import AsyncRedis

MAX_CONNECTIONS = 1000  # a few per account; redis-py refuses the 101st otherwise
REDIS_TIMEOUT = 5.0  # seconds; a half-open connection is dropped after it


def connect(url: str) -> AsyncRedis:
    """A client that fails fast and repeats no command by itself: a script may have run though its reply was lost."""
    return redis.asyncio.Redis.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT,
        socket_connect_timeout=REDIS_TIMEOUT,
        socket_keepalive=True,
        health_check_interval=5,
        retry=Retry(NoBackoff(), 0),
        max_connections=MAX_CONNECTIONS,
    )
