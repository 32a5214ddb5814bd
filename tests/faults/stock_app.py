"""A stock Celery app with the settings its own documentation advises for late acks; what unlinker is compared with."""

import os
import signal
import time

from celery import Celery

app = Celery("stock", broker=os.environ["STOCK_URL"], backend=os.environ["STOCK_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 3600},
)


@app.task(name="stock.sleep")
def sleep(seconds: float) -> str:
    """Take a while."""
    time.sleep(seconds)
    return "done"


@app.task(name="stock.die")
def die() -> None:
    """Take the worker's child process along, as a segmentation fault would; counts its runs."""
    import redis

    redis.Redis.from_url(os.environ["STOCK_URL"]).incr("stock:deaths")
    os.kill(os.getpid(), signal.SIGKILL)
