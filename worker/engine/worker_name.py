"""Celery's name of a worker: unique, since remote control, monitors and logs tell workers apart by nothing else."""

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
import structlog
from celery.utils.nodenames import default_nodename, host_format, nodename, nodesplit

from worker.stores import keys
from worker.stores.refusals import told

log = structlog.get_logger(__name__)
LEASE_MS = 10_000  # a name is free again so long after its worker died on another machine
RENEW_EVERY = 3.0  # seconds


@contextmanager
def unique_name(client: "redis.Redis", wanted: str | None) -> Iterator[str]:
    """A name that is this worker's alone while it lives: the wanted one, or one like it if that is taken."""
    if wanted is None:
        yield host_format(_numbered("unlinker") + "@%h")
        return
    name = host_format(default_nodename(wanted))
    if not _take(client, name):
        node, host = nodesplit(name)
        another = nodename(_numbered(node or "unlinker"), host)
        log.warning("another worker has this name, so this one gets another", wanted=name, name=another)
        yield another
        return
    over = threading.Event()
    threading.Thread(target=_renew, args=(client, name, over), name="worker-name", daemon=True).start()
    try:
        yield name
    finally:
        over.set()
        with suppress(redis.exceptions.RedisError):  # it ends by itself
            client.delete(keys.worker_name(name))


def _numbered(node: str) -> str:
    return f"{node}-{secrets.token_hex(3)}"


def _me() -> str:
    return f"{socket.gethostname()} {os.getpid()}"


def _take(client: "redis.Redis", name: str) -> bool:
    """Whether it is ours now. While Redis refuses, it waits: a worker without Redis has nothing to do."""
    while True:
        try:
            if client.set(keys.worker_name(name), _me(), nx=True, px=LEASE_MS):
                return True
            holder: Any = client.get(keys.worker_name(name))
            if holder is None or not _is_dead(holder.decode(errors="replace")):
                return False
            return bool(client.set(keys.worker_name(name), _me(), px=LEASE_MS))
        except redis.exceptions.RedisError as error:
            log.warning("waiting for Redis", **told(error))
            time.sleep(1.0)


def _is_dead(holder: str) -> bool:
    """Whether it was a process of this machine that is no more: one that was killed, and is started again just now."""
    host, _, pid = holder.rpartition(" ")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    if int(pid) == os.getpid():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _renew(client: "redis.Redis", name: str, over: threading.Event) -> None:
    while not over.wait(RENEW_EVERY):
        with suppress(redis.exceptions.RedisError):  # it may be away; its name is the least of a worker's cares then
            client.set(keys.worker_name(name), _me(), px=LEASE_MS)
