"""Of which relation types an account has been seen to see links: what makes an absence proven (API facts 7.4)."""

from collections.abc import Iterable
from typing import Any

from worker.stores import keys
from worker.stores.scripts import AsyncRedis


class StoredSightings:
    """Sightings of one account, shared by all workers and remembered by this one."""

    def __init__(self, client: AsyncRedis, account: str) -> None:
        self._client = client
        self._key = keys.sightings(account)
        self._known: set[str] = set()

    async def seen(self, relationtypes: Iterable[str]) -> frozenset[str]:
        """Those of the types that were seen before."""
        asked = set(relationtypes)
        if asked - self._known:
            stored: Any = await self._client.smembers(self._key)
            self._known |= {name.decode() for name in stored}
        return frozenset(asked & self._known)

    async def add(self, relationtypes: Iterable[str]) -> None:
        """Remember a positive read of these types."""
        fresh = set(relationtypes) - self._known
        if fresh:
            await self._client.sadd(self._key, *fresh)
            self._known |= fresh
