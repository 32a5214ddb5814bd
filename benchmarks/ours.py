"""Our rows. Each function measures once and returns its figures."""

import asyncio
import statistics
import time
from bisect import bisect_left

import aiohttp

from benchmarks.load import TYPE, Figures, enqueue_singles, push_chunks, push_singles, until_done, used_bytes, wanted
from benchmarks.stage import Stage, resident_mb, stage, wait_until
from tasks.door import Door
from worker.onoffice.protocol import Credentials, build_request, delete_relation
from worker.stores import keys
from worker.stores.runs import Runs, RunTerms
from worker.unlinking.runs import Layout


def floor(requests: int = 100) -> Figures:
    """One plain request after the other: what the API itself takes, as a client sees it."""
    with stage() as place:

        async def measure() -> list[float]:
            body = build_request(Credentials("t" * 32, "s" * 64), [delete_relation("x", TYPE, 1, 1)], 0)
            took = []
            async with aiohttp.ClientSession() as session:
                for _ in range(requests):
                    start = time.monotonic()
                    async with session.post(place.address, data=body) as response:
                        await response.read()
                    took.append((time.monotonic() - start) * 1000)
            return sorted(took)

        took = asyncio.run(measure())
        return {"p50_ms": statistics.median(took), "p99_ms": took[int(requests * 0.99)]}


def singles(jobs: int, processes: int = 1, latency_ms: float = 50, **settings: object) -> Figures:
    """Single jobs, all enqueued before; results kept, acks late, records, intents: everything on."""
    with stage(latency_ms) as place:
        for _ in range(processes):
            place.start_worker(**{"MAX_IN_FLIGHT": 16, **settings})
        place.wait_for_ready()
        push_singles(place, wanted(jobs))
        return until_done(place, jobs)


def one_action(jobs: int) -> Figures:
    """As the peers work: one action a request."""
    return singles(jobs, ACTIONS_PER_REQUEST=1, MAX_IN_FLIGHT=200)


def chunks(relations: int, processes: int = 1) -> Figures:
    """Bulk: 500 relations a message."""
    with stage() as place:
        push_chunks(place, relations)
        for _ in range(processes):
            place.start_worker(ACTIONS_PER_REQUEST=200, MAX_IN_FLIGHT=16)
        return until_done(place, relations)


def bulk_run(rows: int, processes: int = 2, **limits: object) -> Figures:
    """A run of many rows, fed by the workers, and a single job every 200 ms meanwhile."""
    settings = {"ACTIONS_PER_REQUEST": 200, "MAX_IN_FLIGHT": 16, **limits}
    with stage() as place:
        runs = Runs(place.client)
        layout = Layout(rows)
        terms = RunTerms(
            id="bench",
            account="default",
            action="unlink",
            layout=layout,
            max_failure_rate=1.0,
            by="bench",
            because="measured",
        )
        before = used_bytes(place)
        start = time.monotonic()
        for _ in runs.load(terms, ([TYPE, 8, child] for child in range(1, rows + 1))):
            pass
        loaded = time.monotonic() - start
        for _ in range(processes):
            place.start_worker(**settings)
        place.wait_for_ready()
        assert runs.open(terms) == "started"
        started = time.time()
        latency = _pace(place, 40, 5)
        wait_until(lambda: (run := runs.get("bench")) is not None and run.is_over, every=0.05)
        ended = runs.get("bench")
        assert ended is not None
        assert ended.counts["unlinked"] == rows
        return {
            "per_second": rows / (float(ended.fields["ended_at"]) / 1000 - started),
            "single_p50_ms": latency["p50_ms"],
            "single_p99_ms": latency["p99_ms"],
            "redis_bytes_a_row": (used_bytes(place) - before) / rows,
            "load_seconds": loaded,
            "memory_mb": max(resident_mb(worker.pid) for worker in place.workers),
        }


def enqueue(jobs: int) -> Figures:
    """The Python door, one process, records and joining included."""
    with stage() as place:
        asked = wanted(jobs)
        start = time.monotonic()
        enqueue_singles(place, asked)
        return {"per_second": jobs / (time.monotonic() - start)}


def latency(jobs: int, per_second: float = 50, bulk: int = 0, **settings: object) -> Figures:
    """From the call of the door to the outcome in Redis, one job at a time at a steady pace."""
    with stage() as place:
        if bulk:
            push_chunks(place, bulk)
        place.start_worker(**settings)
        if bulk:
            wait_until(lambda: place.ask("stats")["actions"] > 0)
        else:
            place.wait_for_ready()
        return _pace(place, jobs, per_second)


def _pace(place: Stage, jobs: int, per_second: float) -> Figures:
    listener = place.client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]  # redis-py's
    listener.psubscribe(f"{keys.RESULT_PREFIX}*")
    listener.get_message(timeout=1)
    door = Door(place.client)
    started: dict[str, float] = {}
    took: list[float] = []
    begin = time.monotonic()
    while len(took) < jobs:
        due = begin + len(started) / per_second
        if len(started) < jobs and time.monotonic() >= due:
            at = time.monotonic()
            (receipt,) = door.enqueue(wanted(1, first=10_000_000 + len(started)))
            started[receipt.id] = at
        message = listener.get_message(timeout=max(0.0, min(0.005, due - time.monotonic())))
        if message is not None:
            job_id = message["channel"].decode().removeprefix(keys.RESULT_PREFIX)
            if job_id in started:
                took.append((time.monotonic() - started[job_id]) * 1000)
    listener.close()
    took.sort()
    return {"p50_ms": statistics.median(took), "p99_ms": took[int(len(took) * 0.99)], "worst_ms": took[-1]}


def limited(rate: float, seconds: float, *, singles: bool = False) -> Figures:
    """A backlog and a limit: how much of it is used, how full requests are, and the worst second at the API."""
    with stage() as place:
        backlog = int(rate * 50 * (seconds + 10))
        if singles:
            push_singles(place, wanted(backlog))
        else:
            push_chunks(place, backlog)
        place.start_worker(REQUESTS_PER_SECOND=rate)
        place.start_worker(REQUESTS_PER_SECOND=rate)
        wait_until(lambda: place.ask("stats")["actions"] > 0)
        time.sleep(2.0)
        begin = time.time()
        time.sleep(seconds)
        end = time.time()
        seen = [(at, actions) for at, actions in place.ask("times") if begin <= at < end]
        times = [at for at, _ in seen]
        worst = max(bisect_left(times, at + 1.0) - number for number, at in enumerate(times))
        return {
            "share_of_limit": len(times) / (rate * seconds),
            "fullness": sum(actions for _, actions in seen) / (50 * len(seen)),
            "worst_second": worst,
            "rate": rate,
        }
