"""Group commit: what several coroutines ask of Redis at the same moment goes in one round trip."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class GroupCommit(Generic[T, R]):
    """Runs `commit` for one batch at a time; what comes meanwhile makes up the next batch.

    `commit` gets items and returns one result for each, in their order. What it raises reaches everybody of its batch.
    """

    def __init__(self, commit: Callable[[Sequence[T]], Awaitable[Sequence[R]]], most: int) -> None:
        self._commit = commit
        self._most = most  # items in a batch, unless one caller alone brings more
        self._waiting: list[tuple[Sequence[T], asyncio.Future[Sequence[R]]]] = []
        self._busy = False
        self._runner: asyncio.Task[None] | None = None  # kept, or the loop would forget it

    async def __call__(self, items: Sequence[T]) -> Sequence[R]:
        """The results of these items."""
        if not items:
            return []
        if self._busy:
            future: asyncio.Future[Sequence[R]] = asyncio.get_running_loop().create_future()
            self._waiting.append((items, future))
            return await future
        self._busy = True
        try:
            return await self._commit(items)  # alone, without the detour of a task
        finally:
            self._go_on()

    def _go_on(self) -> None:
        if self._waiting:
            self._runner = asyncio.get_running_loop().create_task(self._run())
        else:
            self._busy = False

    async def _run(self) -> None:
        try:
            await self._run_batch(self._next_batch())
        finally:
            self._go_on()

    def _next_batch(self) -> list[tuple[Sequence[T], "asyncio.Future[Sequence[R]]"]]:
        size = taken = 0
        for items, _ in self._waiting:
            if taken and size + len(items) > self._most:
                break
            size += len(items)
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch

    async def _run_batch(self, batch: Sequence[tuple[Sequence[T], "asyncio.Future[Sequence[R]]"]]) -> None:
        try:
            results = await self._commit([item for items, _ in batch for item in items])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            if not isinstance(error, Exception):
                raise
            return
        at = 0
        for items, future in batch:
            if not future.done():  # else its caller was cancelled
                future.set_result(results[at : at + len(items)])
            at += len(items)
