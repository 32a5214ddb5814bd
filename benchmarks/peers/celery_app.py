"""Stock Celery, late acks, threads, one loop per process: the best way to await without a pool of one's own."""

import asyncio
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from celery import Celery, Task
from common import REDIS, unlink_one

Words = TypeVar("Words")
app = Celery("peer", broker=REDIS, backend=REDIS)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=2,
    worker_send_task_events=False,
    broker_transport_options={"priority_steps": [0]},
)
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def run(work: Coroutine[Any, Any, Words]) -> Words:
    """Await it from one of Celery's threads."""
    return asyncio.run_coroutine_threadsafe(work, loop).result()


@app.task(name="unlink")
def unlink(parentid: int, childid: int) -> str:
    return run(unlink_one(parentid, childid))


def enqueue(task: Task, count: int) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for child in range(1, count + 1):
            task.apply_async((7, child), producer=producer)


if __name__ == "__main__":
    enqueue(unlink, int(sys.argv[1]))
