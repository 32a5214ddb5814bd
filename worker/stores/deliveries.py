"""Messages between the queue and an outcome: claimed under a lease, delayed, parked, put aside."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from worker.stores import keys
from worker.stores.scripts import AsyncRedis, Call, Word
from worker.stores.scripts import run as run_script

ACK_CHUNK = 1000  # Lua's unpack has a bound
MAX_MESSAGE_BYTES = 1024 * 1024  # no job of ours comes near; what is larger could drown a worker
CUT = b"unlinker cut this: it had "  # what a message begins with of which only both ends are left
MOST_REJECTED = 1000  # messages that were no jobs are kept
MOST_REJECTED_BYTES = 16 * 1024 * 1024  # of them


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that is ours as long as its lease is renewed."""

    claim: str
    message: bytes
    taken_over_from: str  # the claim of a worker that let its lease run out, or ""
    queue: str


class Deliveries:
    """The broker's side of the queue."""

    def __init__(self, client: AsyncRedis, owner: str, lease_seconds: float, reads: int = 1) -> None:
        """`reads`: the newest version of payloads that this process reads."""
        self._client = client
        self._reads = reads
        self._owner = owner
        self._lease_ms = int(lease_seconds * 1000)

    async def claim(self, count: int, bulk: int, queues: Sequence[str]) -> list[Claimed]:
        """Up to `count` messages, `bulk` of them from the bulk queue: abandoned, due, then these queues in order."""
        lists = keys.lists_of(queues)
        names = [keys.CLAIMED, keys.LEASES, keys.CLAIM_NUMBER, keys.DELAYED, keys.NEWER, *lists]
        arguments: list[Word] = [self._owner, self._lease_ms, count, MAX_MESSAGE_BYTES, bulk, self._reads, CUT]
        rows = await run_script(self._client, Call("claim", names, arguments))
        return [
            Claimed(claim.decode(), message, origin.decode(), keys.queue_of(name.decode()))
            for claim, message, origin, name in rows
        ]

    async def alive(self, claims: Sequence[str]) -> list[bool]:
        """Whether each of these claims is still held."""
        found: Any = await self._client.hmget(keys.CLAIMED, list(claims)) if claims else []
        return [entry is not None for entry in found]

    async def now(self) -> float:
        """Unix seconds on the server's clock."""
        seconds, micros = await self._client.time()
        return float(seconds + micros / 1e6)

    async def wait_for_message(self, queue: str, seconds: float) -> None:
        """Return when the queue holds a message, at the latest after `seconds`. Nothing leaves the list."""
        first = keys.queue_list(queue)
        # redis-py's stubs allow whole seconds only
        await self._client.blmove(first, first, seconds, "RIGHT", "RIGHT")  # type: ignore[arg-type]  # see above

    async def renew(self, claims: Sequence[str]) -> list[str]:
        """Prolong the leases; returns the claims that another worker has taken over."""
        if not claims:
            return []
        lost = await run_script(self._client, Call("renew", [keys.LEASES], [self._lease_ms, *claims]))
        return [claim.decode() for claim in lost]

    async def ack(self, claims: Sequence[str]) -> None:
        """Forget messages that are done with."""
        for start in range(0, len(claims), ACK_CHUNK):
            chunk = claims[start : start + ACK_CHUNK]
            await run_script(self._client, Call("ack", [keys.CLAIMED, keys.LEASES], chunk))

    async def give_back(self, claims: Sequence[str]) -> int:
        """Put messages back into their queues, to be claimed next; returns how many were still ours."""
        if not claims:
            return 0
        return int(await run_script(self._client, Call("give_back", [keys.CLAIMED, keys.LEASES], claims)))

    async def delay(self, claim: str, seconds: float) -> None:
        """Let a message wait until `seconds` from now on Redis TIME."""
        names = [keys.CLAIMED, keys.LEASES, keys.DELAYED]
        await run_script(self._client, Call("delay", names, [claim, int(max(0.0, seconds) * 1000)]))

    async def park(self, claim: str, account: str) -> None:
        """Let a message wait until its account is released."""
        names = [keys.CLAIMED, keys.LEASES, keys.parked(account), keys.PARKING]
        await run_script(self._client, Call("park", names, [claim, account]))

    async def park_many(self, account: str, jobs: Sequence[tuple[str, str]], why: str) -> None:
        """The same for (claim, job id) of jobs whose records are on this server; notes it there too."""
        names = [keys.CLAIMED, keys.LEASES, keys.parked(account), keys.PARKING]
        words = [word for job in jobs for word in job]
        await run_script(self._client, Call("park_many", names, [account, keys.JOB_PREFIX, why, *words]))

    async def park_with_run(self, claim: str, run: str) -> None:
        """Let a chunk wait until its run is resumed, or cancelled."""
        names = [keys.CLAIMED, keys.LEASES, keys.parked_run(run), keys.PARKING_RUNS]
        await run_script(self._client, Call("park", names, [claim, run]))

    async def unpark_run(self, run: str, count: int) -> int:
        """Bring up to `count` parked chunks of a run back; returns how many came."""
        names = [keys.parked_run(run), keys.PARKING_RUNS]
        return int(await run_script(self._client, Call("unpark", names, [run, count])))

    async def parking_runs(self) -> frozenset[str]:
        """Runs with parked chunks."""
        members: Any = await self._client.smembers(keys.PARKING_RUNS)
        return frozenset(name.decode() for name in members)

    async def add(self, queue: str, messages: Sequence[str]) -> None:
        """Put messages into a queue, to be claimed in their order."""
        await self._client.lpush(keys.queue_list(queue), *messages)

    async def unpark(self, account: str, count: int) -> int:
        """Bring up to `count` parked messages back to the heads of their queues; returns how many came."""
        names = [keys.parked(account), keys.PARKING]
        return int(await run_script(self._client, Call("unpark", names, [account, count])))

    async def parking_accounts(self) -> list[str]:
        """Accounts with parked messages."""
        members: Any = await self._client.smembers(keys.PARKING)
        return sorted(name.decode() for name in members)

    async def parked(self, accounts: Iterable[str]) -> dict[str, int]:
        """How many messages of each account are parked."""
        return {account: int(await self._client.llen(keys.parked(account))) for account in accounts}

    async def reject(self, claim: str, why: str, *, job_id: str = "", task: str = "", cut: bool = False) -> None:
        """Keep a message that is no job, with the reason."""
        names = [keys.CLAIMED, keys.LEASES, keys.REJECTED, keys.REJECTED_TOTALS]
        arguments: list[Word] = [claim, MOST_REJECTED, MOST_REJECTED_BYTES, why, job_id, task, int(cut)]
        await run_script(self._client, Call("reject", names, arguments))

    async def leave_to_newer(self, claim: str, version: int) -> None:
        """Let a message wait for a worker that reads this version of payloads."""
        names = [keys.CLAIMED, keys.LEASES, keys.NEWER]
        await run_script(self._client, Call("leave_to_newer", names, [claim, version]))

    async def count_death(self, task_id: str) -> int:
        """Note that a worker died with a task that has no record; returns how many did."""
        pipeline = self._client.pipeline()
        pipeline.incr(keys.deaths(task_id))
        pipeline.expire(keys.deaths(task_id), 86400)
        count, _ = await pipeline.execute()
        return int(count)
