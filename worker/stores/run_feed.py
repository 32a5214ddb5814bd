"""Bulk runs as workers see them: which chunks may be fed, and that they are."""

from dataclasses import dataclass
from typing import Any

from worker.stores import keys
from worker.stores.records import Retention
from worker.stores.runs import Row, RowsMissing, Run, unpack
from worker.stores.scripts import AsyncRedis, Call, Word, run
from worker.unlinking.runs import RunState

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
        named: Any = await self._client.hmget(keys.run(run_id), ["account", "rows_key"])
        account, rows_key = ((word or b"").decode() for word in named)
        names = [keys.run(run_id), keys.RUNS_OPEN, keys.run_slot(account), keys.run_pace(run_id), rows_key]
        arguments: list[Word] = [run_id, self._me, FEEDING_LEASE, MOST_AHEAD, LEAST_AHEAD, self._retention.runs]
        state, *span = await run(self._client, Call("run_look", names, arguments))
        return Look(state.decode(), *span)

    async def chunks(self, run_id: str, first: int, count: int) -> tuple[Run, list[list[Row]]]:
        """The rows of some chunks, and the run they are of. Raises RowsMissing."""
        stored: Any = await self._client.hgetall(keys.run(run_id))
        found = Run(run_id, {name.decode(): value.decode(errors="replace") for name, value in stored.items()})
        if "rows_key" not in found.fields:
            raise RowsMissing(f"the records of run {run_id} are gone: Redis has lost its data")
        numbers = [str(number) for number in range(first, first + count)]
        packed: Any = await self._client.hmget(found.fields["rows_key"], numbers)
        if None in packed:
            raise RowsMissing(f"rows of run {run_id} are not stored any more")
        return found, [unpack(each) for each in packed]

    async def stop(self, run_id: str, why: str) -> None:
        """As a brake does."""
        words: list[Word] = [str(RunState.STOPPED), why, "", "", str(RunState.RUNNING)]
        await run(self._client, Call("run_steer", [keys.run(run_id)], words))

    async def fed(self, run_id: str, first: int, count: int) -> None:
        """These chunks lie in the queue."""
        await run(self._client, Call("run_fed", [keys.run(run_id)], [first, count]))
