"""Ways to make a Valkey refuse, and to mend it again."""

import resource
from collections.abc import Callable

import redis

Fault = Callable[["redis.Redis"], Callable[[], object]]  # makes it refuse; what it returns mends it


def pid_of(client: "redis.Redis") -> int:
    """The server's process."""
    return int(client.info("server")["process_id"])


def full_disk(client: "redis.Redis") -> Callable[[], object]:
    """No file may grow: writing the append-only file fails, as on a full disk (Python's children ignore SIGXFSZ)."""
    pid = pid_of(client)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    client.incr("unlinker:test-of-a-full-disk")  # what makes the server notice
    return lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def out_of_memory(client: "redis.Redis") -> Callable[[], object]:
    """No memory for anything new."""
    client.config_set("maxmemory", "1")
    return lambda: client.config_set("maxmemory", "0")


def read_only_replica(client: "redis.Redis") -> Callable[[], object]:
    """A replica of a server that is not there."""
    client.slaveof("127.0.0.1", 1)
    return client.slaveof


def takes_writes(client: "redis.Redis") -> bool:
    """Whether it is mended: a server with a full disk looks once a second."""
    try:
        return bool(client.set("unlinker:test-of-writes", 1))
    except redis.exceptions.RedisError:
        return False
