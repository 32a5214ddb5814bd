"""What `doctor` finds out about a Redis or Valkey server: does it do what unlinker needs, and what to do if not."""

import time
from collections.abc import Callable, Iterator, Mapping

import redis
from redis.exceptions import NoPermissionError, RedisError

from gateway.finding import Finding, clock_finding
from worker.stores import keys
from worker.stores.refusals import explain

NOBODY = "unlinker:doctor"  # a key that nobody makes
RIGHTS = "grant what docs/redis.md lists; `ACL LOG` names what was refused"
# one of each kind of command and of key that workers and commands use; none of them changes anything
TRIED: tuple[tuple[str, ...], ...] = (
    ("GET", NOBODY),
    ("HDEL", NOBODY, "x"),
    ("EVAL", "return 1", "0"),
    ("TIME",),
    ("BLMOVE", NOBODY, NOBODY, "RIGHT", "RIGHT", "0.001"),
    *(("LTRIM", name, "0", "-1") for name in keys.CLAIM_ORDER),
    ("DEL", f"{keys.RESULT_PREFIX}of-doctor"),
    ("SREM", "_kombu.binding.celery.pidbox", "of-doctor"),
    ("SREM", "_kombu.binding_permanent.unlink", "of-doctor"),
    ("PUBLISH", f"{keys.RESULT_PREFIX}of-doctor", ""),
)


def check_redis(client: "redis.Redis", clock: Callable[[], float] = time.time) -> list[Finding]:
    """Everything about one server. `clock`: Unix seconds of this machine."""
    try:
        client.ping()
        found = [*_looked_at(client), *_tried(client)]
        seconds, micros = client.time()
    except NoPermissionError as error:
        return [Finding("redis rights", False, explain(error).what, RIGHTS)]
    except RedisError as error:
        trouble = explain(error)
        return [Finding("redis", False, trouble.what, trouble.cure, unreachable=True)]
    return [*found, clock_finding("clock against Redis", clock() - (seconds + micros / 1e6))]


def _looked_at(client: "redis.Redis") -> Iterator[Finding]:
    """What the server says of itself."""
    try:
        info: Mapping[str, object] = client.info()
    except NoPermissionError:
        text = "it answers; its role, memory and append-only file could not be looked at: its user may not use INFO"
        yield Finding("redis", False, text, "ACL SETUSER NAME +info; workers do without it")
        return
    version = info.get("valkey_version") or info.get("redis_version")
    yield Finding("redis", True, f"version {version}, {info.get('used_memory_human')} used")
    yield _role(info)
    if info.get("cluster_enabled"):
        advice = "use one without (cluster-enabled no)"
        yield Finding("redis cluster", False, "it is a node of a cluster, which is not supported", advice)
    yield _memory(info)
    policy = str(info.get("maxmemory_policy"))
    advice = "" if policy == "noeviction" else "set maxmemory-policy noeviction: evicted keys are lost jobs"
    yield Finding("redis eviction", policy == "noeviction", policy, advice)
    yield _file(info)


def _role(info: Mapping[str, object]) -> Finding:
    role = str(info.get("role"))
    if role == "master":
        return Finding("redis role", True, "primary")
    text = f"replica (READONLY) of {info.get('master_host')}:{info.get('master_port')}"
    if info.get("master_link_status") != "up":
        text += ", which it has lost (MASTERDOWN)"
    return Finding(
        "redis role", False, text, "point UNLINKER_REDIS_URL at the primary, or promote it: REPLICAOF NO ONE"
    )


def _memory(info: Mapping[str, object]) -> Finding:
    most, used = int(str(info.get("maxmemory", 0))), int(str(info.get("used_memory", 0)))
    if most == 0:
        return Finding("redis memory", True, f"{used / 2**20:.0f} MiB used, no bound set")
    text = f"{used / 2**20:.0f} of {most / 2**20:.0f} MiB used ({used / most:.0%})"
    fine = used < 0.9 * most
    return Finding(
        "redis memory", fine, text, "" if fine else "raise maxmemory: when it is full, nothing is taken (OOM)"
    )


def _file(info: Mapping[str, object]) -> Finding:
    if not info.get("aof_enabled"):
        advice = "set appendonly yes: a restart would lose the queue"
        return Finding("redis append-only file", False, "off", advice)
    if info.get("aof_last_write_status") == "ok":
        return Finding("redis append-only file", True, "on")
    return Finding("redis append-only file", False, "it cannot be written (MISCONF)", "make room on the server's disk")


def _tried(client: "redis.Redis") -> Iterator[Finding]:
    """What the server does when it is asked: whether it takes writes, and what its user may not do."""
    refused = []
    for words in TRIED:
        try:
            client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py has no types for it
        except NoPermissionError as error:
            refused.append(f"{words[0]} {words[1] if len(words) > 1 else ''}".strip() + f" ({error})")
        except RedisError as error:
            yield Finding("redis commands", False, explain(error).what, explain(error).cure)
            return
    if refused:
        yield Finding("redis rights", False, f"its user is refused {'; '.join(refused)}", RIGHTS)
        return
    try:
        client.set(NOBODY, 1, xx=True, px=1)  # nothing, since nobody makes the key; but refused as any write is
    except RedisError as error:
        yield Finding("redis writes", False, explain(error).what, explain(error).cure)
        return
    yield Finding("redis rights", True, "all that is needed")
