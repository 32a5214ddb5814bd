"""What is not speed: memory, what Redis keeps, a command's start, a worker's death."""

import statistics
import time
from collections.abc import Callable

from benchmarks.load import PARENT, TYPE, Figures, push_singles, until_done, used_bytes, wanted
from benchmarks.stage import Stage, resident_mb, sandbox, stage, wait_until
from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN
from tasks.door import Door
from worker.stores import keys


def memory(minutes: float) -> Figures:
    """A worker under a steady load."""
    with stage() as place:
        worker = place.start_worker()
        place.wait_for_ready()
        begin, samples, sent = time.monotonic(), [], 0
        door = Door(place.client)
        while time.monotonic() - begin < minutes * 60:
            door.enqueue(wanted(500, first=1 + sent))
            sent += 500
            time.sleep(1.0)
            samples.append(resident_mb(worker.pid))
        quarter = max(1, len(samples) // 4)
        return {
            "memory_mb": max(samples),
            "first_quarter_mb": statistics.mean(samples[:quarter]),
            "last_quarter_mb": statistics.mean(samples[-quarter:]),
            "jobs": sent,
        }


def ended_job(jobs: int, push: Callable[[Stage, list[dict[str, object]]], None]) -> Figures:
    """What a job takes in Redis while its message waits, and once it has ended: record, result, journal and all."""
    with stage() as place:
        before = used_bytes(place)
        push(place, wanted(jobs))
        queued = used_bytes(place)
        worker = place.start_worker()
        until_done(place, jobs)
        place.kill(worker)
        wait_until(lambda: len(place.client.client_list(_type="normal")) == 1)  # its connections' buffers are gone
        return {"queued_bytes": (queued - before) / jobs, "ended_bytes": (used_bytes(place) - before) / jobs}


def command_start(times: int) -> Figures:
    """From the shell to the end of a command that does little."""
    with stage() as place:
        (receipt,) = Door(place.client).enqueue(wanted(1))
        commands = {"help_seconds": ["--help"], "job_seconds": ["job", receipt.id]}
        return {
            name: statistics.median(place.run_ours(*command) for _ in range(times))
            for name, command in commands.items()
        }


def recovery(jobs: int, visibility_timeout: float) -> Figures:
    """A worker is killed with requests on the wire, and another is started at that moment."""
    with stage() as place, sandbox(TYPE, PARENT, 1, jobs) as onoffice:
        settings = {
            "ONOFFICE_URL": onoffice.url,
            "ONOFFICE_TOKEN": DEFAULT_TOKEN,
            "ONOFFICE_SECRET": DEFAULT_SECRET,
            "VISIBILITY_TIMEOUT": visibility_timeout,
            "MAX_IN_FLIGHT": 16,
        }
        victim = place.start_worker(**settings)
        place.wait_for_ready()
        push_singles(place, wanted(jobs))
        wait_until(lambda: onoffice.stats()["deleted"] > jobs / 5)
        place.kill(victim)
        killed = time.monotonic()
        deleted = onoffice.stats()["deleted"]
        place.start_worker(**settings)
        wait_until(lambda: _results(place) == jobs, every=0.1)
        stats = onoffice.stats()
        return {
            "seconds_over_timeout": time.monotonic() - killed - visibility_timeout,
            "deleted_before": deleted,
            "links_left": sum(link["parentid"] == PARENT for link in onoffice.ask("state")["links"]),
            "deleted_twice": len(stats["deleted_twice"]),
        }


def _results(place: Stage) -> int:
    return sum(1 for _ in place.client.scan_iter(f"{keys.RESULT_PREFIX}*", count=1000))
