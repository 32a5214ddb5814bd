"""celery-batches: 50 messages go to one call of the task, which stores each one's result, as its manual shows."""

import sys

from celery_app import app, enqueue, run
from celery_batches import Batches, SimpleRequest
from common import unlink_many

app.conf.worker_prefetch_multiplier = 100  # of 16 threads: each may have its batch, and the next ones fill up


@app.task(name="unlink_batch", base=Batches, flush_every=50, flush_interval=0.2)
def unlink_batch(requests: list[SimpleRequest]) -> None:
    words = run(unlink_many([request.args for request in requests]))
    for request, word in zip(requests, words, strict=True):
        app.backend.mark_as_done(request.id, word, request=request)


if __name__ == "__main__":
    enqueue(unlink_batch, int(sys.argv[1]))
