"""Blocking work that may hang: in a thread that nobody has to wait for."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def in_thread(work: Callable[[], Result], seconds: float | None = None) -> Result:
    """What `work` returns or raises; TimeoutError after `seconds`.

    asyncio.to_thread would do, but for its threads' being joined when the process ends: a database driver that hangs
    would hold up the end of a worker for ever.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Result] = loop.create_future()

    def tell(settle: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: None if outcome.done() else settle())

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # it is raised again where the work is awaited
            failure = error
            tell(lambda: outcome.set_exception(failure))
        else:
            tell(lambda: outcome.set_result(result))

    threading.Thread(target=run, name="blocking-work", daemon=True).start()
    async with asyncio.timeout(seconds):
        return await outcome
