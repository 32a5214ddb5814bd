"""A connection to Redis for processes and threads without a loop."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

REDIS_TIMEOUT = 5.0  # seconds


def connect(url: str) -> "redis.Redis":
    """A client that fails fast and repeats no command by itself: a script may have run though its reply was lost."""
    return redis.Redis.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT,
        socket_connect_timeout=REDIS_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
