"""The conductor: feeds the chunks of bulk runs into the queue as the workers get through them, in every worker process.

Redis stays small, a run goes on without whoever started it, and no account's chunks lie in front of another's. What may
be fed, and whether a brake stops the run, is decided by one script (lua/run_look.lua).
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from redis.exceptions import RedisError

from worker.engine import envelope
from worker.stores import keys
from worker.stores.deliveries import Deliveries
from worker.stores.refusals import told
from worker.stores.run_feed import Look, RunFeed
from worker.stores.runs import Row, RowsMissing, Run
from worker.unlinking.runs import RunState, chunk_id

log = structlog.get_logger(__name__)
LOOK_EVERY = 0.2  # seconds, while there are runs
IDLE_LOOK = 0.5  # seconds
REDIS_PAUSE = 1.0
UNPARK_AT_ONCE = 100
QUEUE = keys.QUEUES[2]
MOVING = (RunState.RUNNING, RunState.CANCELLED)  # their parked chunks go on: to their rows' ends


class Conductor:
    """Looks after all runs. `tasks`: action of a run -> task of its chunks."""

    def __init__(self, feed: RunFeed, deliveries: Deliveries, tasks: Mapping[str, str]) -> None:
        self._feed = feed
        self._deliveries = deliveries
        self._tasks = tasks

    async def run(self) -> None:
        """Run for ever."""
        while True:
            try:
                pause = LOOK_EVERY if await self._round() else IDLE_LOOK
            except RedisError as error:
                log.warning("bulk runs wait for Redis", **told(error))
                pause = REDIS_PAUSE
            await asyncio.sleep(pause)

    async def _round(self) -> bool:
        runs = await self._feed.open_runs()
        parked = await self._deliveries.parking_runs() if runs else frozenset()
        for run_id in runs:
            look = await self._feed.look(run_id)
            if run_id in parked and look.state in MOVING:
                await self._deliveries.unpark_run(run_id, UNPARK_AT_ONCE)
            if look.count:
                # whoever dies in between leaves chunks that are put there twice, and run once
                try:
                    await self._put_into_queue(run_id, look)
                except RowsMissing as error:
                    log.warning("a bulk run is stopped", run=run_id, why=str(error))
                    await self._feed.stop(run_id, str(error))
                    continue
                await self._feed.fed(run_id, look.first, look.count)
        return bool(runs)

    async def _put_into_queue(self, run_id: str, look: Look) -> None:
        run, chunks = await self._feed.chunks(run_id, look.first, look.count)
        task = self._tasks[run.fields["action"]]
        messages = [chunk_message(run, task, number, rows) for number, rows in enumerate(chunks, start=look.first)]
        await self._deliveries.add(QUEUE, messages)


def chunk_message(run: Run, task: str, number: int, rows: Sequence[Row]) -> str:
    """The message of one chunk, as often as it is asked for."""
    first, _ = run.layout.span(number)
    arguments: dict[str, object] = {
        "relations": rows,
        "run": run.id,
        "first_row": first,
        "account": run.fields["account"],
        "requested_by": run.fields["by"],
        "reason": run.fields["because"] or None,
    }
    return envelope.write(task, chunk_id(run.id, number), arguments, QUEUE)
