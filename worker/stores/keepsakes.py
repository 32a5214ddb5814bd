"""What is saved of a link before it is deleted, in the journal. Raises redis.exceptions.RedisError."""

import json
from collections.abc import Mapping

from worker.stores import keys
from worker.stores.scripts import AsyncRedis


class Keepsakes:
    """A worker's view; what was saved is read with the journal."""

    def __init__(self, client: AsyncRedis) -> None:
        self._client = client

    async def store(self, statuses: Mapping[str, str]) -> None:
        """Job id -> confirmation status. Storing the same twice does no harm: the last one counts."""
        await self._client.xadd(keys.JOURNAL, {"kept": json.dumps(dict(statuses), separators=(",", ":"))})
