"""Solitude: a suspect job runs while nothing else of this process is on the wire, so that a death is its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Solitude:
    """Many together, or one alone."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._together = 0
        self._lonely = 0  # waiting or running

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Run beside others; waits while somebody runs, or waits to run, alone."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._lonely == 0)
            self._together += 1
        try:
            yield
        finally:
            async with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Run while nobody else does."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._lonely == 0)
            self._lonely += 1
            await self._changed.wait_for(lambda: self._together == 0)
        try:
            yield
        finally:
            async with self._changed:
                self._lonely -= 1
                self._changed.notify_all()
