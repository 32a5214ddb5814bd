"""Solitude: a suspect job runs while nothing else of this process is on the wire, so that a death is its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Solitude:
    """Many together, or one alone."""

    def __init__(self) -> None:
        self._one_alone = asyncio.Lock()
        self._free = asyncio.Event()  # nobody runs, or waits to run, alone
        self._free.set()
        self._empty = asyncio.Event()  # nobody runs together
        self._empty.set()
        self._together = 0
        self._lonely = 0  # waiting or running

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Run beside others; waits while somebody runs, or waits to run, alone."""
        while self._lonely:
            await self._free.wait()
        self._together += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._together -= 1
            if not self._together:
                self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Run while nobody else does."""
        self._lonely += 1
        self._free.clear()
        try:
            async with self._one_alone:
                await self._empty.wait()
                yield
        finally:
            self._lonely -= 1
            if not self._lonely:
                self._free.set()
