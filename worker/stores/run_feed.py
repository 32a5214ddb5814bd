"""Bulk runs as workers see them: which chunks may be fed, and that they are."""

from dataclasses import dataclass
from typing import Any

from worker.stores import keys
from worker.stores.records import Retention
from worker.stores.runs import Row, Run, unpack
from worker.stores.scripts import AsyncRedis, Call, Word, run

FEEDING_LEASE = 2000  # ms one worker has to put chunks into the queue
MOST_AHEAD = 24_000  # rows on their way, of one run
LEAST_AHEAD = 1000


@dataclass(frozen=True, slots=True)
class Look:
    """What looking after a run came to."""

    state: str
    first: int = 0  # chunk that may be fed next
    count: int = 0  # how many may be


class RunFeed:
    """A worker's view. Raises redis.exceptions.RedisError."""

    def __init__(self, client: AsyncRedis, retention: Retention, me: str) -> None:
        self._client = client
        self._retention = retention
        self._me = me

    async def open_runs(self) -> list[str]:
        """Those to look after."""
        members: Any = await self._client.smembers(keys.RUNS_OPEN)
        return sorted(name.decode() for name in members)

    async def look(self, run_id: str) -> Look:
        """End it, stop it, or say what may be fed."""
        account: Any = await self._client.hget(keys.run(run_id), "account")
        names = [
            keys.run(run_id),
            keys.RUNS_OPEN,
            keys.run_slot((account or b"").decode()),
            keys.run_pace(run_id),
            keys.run_rows(run_id),
        ]
        arguments: list[Word] = [run_id, self._me, FEEDING_LEASE, MOST_AHEAD, LEAST_AHEAD, self._retention.runs]
        state, *span = await run(self._client, Call("run_look", names, arguments))
        return Look(state.decode(), *span)

    async def chunks(self, run_id: str, first: int, count: int) -> tuple[Run, list[list[Row]]]:
        """The rows of some chunks, and the run they are of."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hgetall(keys.run(run_id))
        pipeline.hmget(keys.run_rows(run_id), [str(number) for number in range(first, first + count)])
        stored, packed = await pipeline.execute()
        fields = {name.decode(): value.decode(errors="replace") for name, value in stored.items()}
        return Run(run_id, fields), [unpack(each) for each in packed]

    async def fed(self, run_id: str, first: int, count: int) -> None:
        """These chunks lie in the queue."""
        await run(self._client, Call("run_fed", [keys.run(run_id)], [first, count]))
