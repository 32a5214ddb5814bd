"""Redis' clock: leases, delays and the limiter run on it, and somebody may set it back.

What can be told from its own bounds is put right where it is used (lua/limit.lua, claim.lua). A delay cannot be: an
hour ahead may be meant. So the latest time that was seen is kept, and all delays follow when the clock falls behind it.
"""

from worker.stores import keys
from worker.stores.scripts import AsyncRedis, Call, run


class RedisClock:
    """One server's clock. Raises redis.exceptions.RedisError."""

    def __init__(self, client: AsyncRedis) -> None:
        self._client = client

    async def look(self) -> tuple[float, float]:
        """Unix seconds there, and by how many seconds it had gone back, and all delays with it; mostly 0."""
        names = [keys.CLOCK, keys.DELAYED, keys.HOUSEKEEPING, keys.SCHEDULER_LOCK]
        now, moved = await run(self._client, Call("clock", names, []))
        return now / 1000, moved / 1000
