"""Stock Celery, late acks, threads, one loop per process: the best way to await without a pool of one's own."""

import asyncio
import sys
import threading

from celery import Celery
from common import REDIS, unlink_one

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


@app.task(name="unlink")
def unlink(parentid: int, childid: int) -> str:
    return asyncio.run_coroutine_threadsafe(unlink_one(parentid, childid), loop).result()


if __name__ == "__main__":
    with app.producer_pool.acquire(block=True) as producer:
        for child in range(1, int(sys.argv[1]) + 1):
            unlink.apply_async((7, child), producer=producer)
