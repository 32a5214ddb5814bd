"""The peers' rows: the same API, Redis and machine, one process, a result per job."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.stage import ARQ, BATCHES, PEERS, SAQ, cpu_seconds, stage, wait_until

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Peer:
    """How a peer enqueues and runs; tuned as its own documentation advises."""

    program: str  # in benchmarks/peers
    worker: tuple[str, ...]  # its arguments after the interpreter
    settings: str
    python: str = str(PEERS)


CELERY = ("worker", "-P", "threads", "-l", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat")
ONE_ACTION = {
    "celery": Peer(
        "celery_app.py",
        ("-m", "celery", "-A", "celery_app", *CELERY, "-c", "200"),
        "5.7.0, 200 threads, late acks, one priority step",
    ),
    "taskiq": Peer(
        "taskiq_app.py",
        ("-m", "taskiq", "worker", "taskiq_app:broker", "--workers", "1", "--max-async-tasks", "200", "--log-level",
         "ERROR"),
        "0.13.0, Redis streams, 200 at once",
    ),
    "saq": Peer("saq_app.py", ("-m", "saq", "saq_app.settings"), "0.26.4, 80 at once", str(SAQ)),
    "arq": Peer("arq_app.py", ("-m", "arq", "arq_app.WorkerSettings"), "0.28.0, 200 at once", str(ARQ)),
    "dramatiq": Peer(
        "dramatiq_app.py",
        ("-m", "dramatiq", "dramatiq_app", "--processes", "1", "--threads", "128"),
        "2.2.1, AsyncIO, 128 threads",
    ),
    "streaq": Peer("streaq_app.py", ("-m", "streaq", "run", "streaq_app:worker"), "7.2.0, 200 at once"),
}  # fmt: skip
BATCHING = {
    "celery-batches": Peer(
        "celery_batches_app.py",
        ("-m", "celery", "-A", "celery_batches_app", *CELERY, "-c", "16"),
        "0.11 on Celery 5.6.3, 50 a batch, 16 threads, late acks, one priority step",
        str(BATCHES),
    ),
    "saq": Peer(
        "saq_app.py",
        ("-m", "saq", "saq_batched_app.settings"),
        "0.26.4, 400 at once, a batcher in front: 50 a request, 16 in flight",
        str(SAQ),
    ),
}


def peer(row: Peer, jobs: int) -> Figures:
    """Enqueue all, start one worker, and take the API's first arrival and last answer. Acks are not waited for."""
    with stage() as place:
        enqueueing = place.run_peer(row.python, row.program, str(jobs))
        process = place.start_peer(row.python, *row.worker)
        try:
            wait_until(lambda: place.ask("stats")["links"] >= jobs, every=0.1)
        except TimeoutError:
            return {"unfinished": place.ask("stats")["links"]}
        stats = place.ask("stats")
        return {
            "per_second": jobs / (stats["last_answer"] - stats["first"]),
            "worker_cpu_us": _family_cpu(process.pid) / jobs * 1e6,
            "enqueued_per_second": jobs / enqueueing,
            "requests": stats["requests"],
        }


def _family_cpu(pid: int) -> float:
    """Of the process and its children, start-up included."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_seconds(pid) + sum(cpu_seconds(int(child)) for child in children)
