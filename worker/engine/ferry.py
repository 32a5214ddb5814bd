"""The ferry: carries messages from the records' server to the broker's, where these are two.

Our doors store a job's record and its message in one script, so both lie on the records' server: no id without both.
Messages are carried at least once; a copy does no harm, as a job ends once.
"""

import asyncio
import secrets

import structlog
from redis.exceptions import RedisError, ResponseError

from worker.stores import keys
from worker.stores.scripts import AsyncRedis, Call, run

log = structlog.get_logger(__name__)
PORTION = 200  # messages
IDLE = 0.1  # seconds between looks
REDIS_PAUSE = 1.0
TURN = 5000  # ms that one worker carries before another may; renewed with every portion


class Ferry:
    """Runs in every worker process; one of them carries at a time."""

    def __init__(self, store: AsyncRedis, broker: AsyncRedis, me: str) -> None:
        self._store = store
        self._broker = broker
        self._me = me.encode()

    async def run(self) -> None:
        """Run for ever; ends if the two are one server under two addresses, where there is nothing to carry."""
        while True:
            try:
                if await self._is_one_server():
                    return
                while True:
                    carried = await self._has_the_turn() and await self._carry()
                    await asyncio.sleep(0 if carried else IDLE)
            except RedisError as error:
                log.warning("the ferry waits for Redis", error=str(error))
                await asyncio.sleep(REDIS_PAUSE)

    async def _is_one_server(self) -> bool:
        await self._store.set(keys.ONE_SERVER, secrets.token_hex(8), nx=True)
        here, there = await self._store.get(keys.ONE_SERVER), await self._broker.get(keys.ONE_SERVER)
        return here is not None and here == there

    async def _has_the_turn(self) -> bool:
        if await self._store.set(keys.FERRY, self._me, nx=True, px=TURN):
            return True
        if await self._store.get(keys.FERRY) != self._me:
            return False
        return bool(await self._store.pexpire(keys.FERRY, TURN))

    async def _carry(self) -> int:
        """How many messages were carried: a portion of each list."""
        carried = 0
        for name in keys.CLAIM_ORDER:
            try:
                some = await self._store.lrange(name, -PORTION, -1)
            except ResponseError:  # a key of another type is no queue
                continue
            if some:
                await run(self._broker, Call("ferry", [keys.ferried(name), name], some))
                pipeline = self._store.pipeline(transaction=False)
                for message in reversed(some):
                    pipeline.lrem(name, -1, message)  # type: ignore[arg-type]  # redis-py's stubs know no bytes here
                await pipeline.execute()
                carried += len(some)
        return carried
