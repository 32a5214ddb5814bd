"""What is put into the queue, and what it takes until all of it has ended."""

import time
import uuid
from collections.abc import Sequence

from benchmarks.stage import Stage, cpu_seconds, resident_mb, wait_until
from tasks.door import Door
from tasks.unlink import NAME as UNLINK
from tasks.unlink_many import NAME as UNLINK_MANY
from worker.engine import envelope
from worker.stores import keys

Figures = dict[str, float]
TYPE = "calendar:address"
PARENT = 7
STAGED = "bench-staged"


def wanted(count: int, first: int = 1) -> list[dict[str, object]]:
    """Arguments of single jobs."""
    return [{"relationtype": TYPE, "parentid": PARENT, "childid": child} for child in range(first, first + count)]


def push_singles(place: Stage, jobs: Sequence[dict[str, object]]) -> None:
    """A stranger's jobs, without records; they come into the queue all at once."""
    messages = [envelope.write(UNLINK, str(uuid.uuid4()), job) for job in jobs]
    for start in range(0, len(messages), 1000):
        place.client.lpush(STAGED, *messages[start : start + 1000])
    place.client.rename(STAGED, keys.QUEUES[0])


def enqueue_singles(place: Stage, jobs: Sequence[dict[str, object]]) -> None:
    """The same through the Python door: with records."""
    Door(place.client).enqueue(jobs)


def push_chunks(place: Stage, relations: int, size: int = 500) -> None:
    """A stranger's chunks."""
    for start in range(0, relations, size):
        rows = [[TYPE, 8, child] for child in range(start + 1, min(start + size, relations) + 1)]
        content = {"relations": rows, "run": "bench", "first_row": start}
        message = envelope.write(UNLINK_MANY, str(uuid.uuid4()), content, keys.QUEUES[2])
        place.client.lpush(keys.QUEUES[2], message)


def until_done(place: Stage, relations: int) -> Figures:
    """From the first request at the API until nothing is claimed any more: every job ended, stored and acked."""
    pids = [worker.pid for worker in place.workers]
    before = sum(map(cpu_seconds, pids))
    redis_before = cpu_seconds(place.valkey_pid)
    wait_until(lambda: place.ask("stats")["actions"] > 0)
    wait_until(lambda: place.left() == 0)
    end = time.time()
    stats = place.ask("stats")
    assert stats["links"] == relations, f"{stats['links']} of {relations} links"
    return {
        "per_second": relations / (end - stats["first"]),
        "worker_cpu_us": (sum(map(cpu_seconds, pids)) - before) / relations * 1e6,
        "redis_cpu_us": (cpu_seconds(place.valkey_pid) - redis_before) / relations * 1e6,
        "memory_mb": max(map(resident_mb, pids)),
        "requests": stats["requests"],
    }


def used_bytes(place: Stage) -> int:
    """Memory of Valkey."""
    return int(place.client.info("memory")["used_memory"])
