"""saq with a batcher of its user's: jobs wait for one of 16 senders, and each takes up to 50 of them."""

import asyncio
from typing import Any

import saq_app
from common import REDIS, unlink_many
from saq import Queue

AT_ONCE, IN_FLIGHT, ACTIONS = 400, 16, 50
LINGER = 0.005  # seconds until a request leaves that is not full
waiting: "asyncio.Queue[tuple[tuple[int, int], asyncio.Future[str]]]" = asyncio.Queue()
gathering = asyncio.Lock()


async def unlink(_context: dict[str, Any], *, parentid: int, childid: int) -> str:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiting.put_nowait(((parentid, childid), answer))
    return await answer


async def send() -> None:
    """Request after request, for ever."""
    while True:
        async with gathering:
            batch = [await waiting.get()]
            await asyncio.sleep(LINGER)
            batch += [waiting.get_nowait() for _ in range(min(waiting.qsize(), ACTIONS - 1))]
        (words,) = await asyncio.gather(unlink_many([link for link, _ in batch]), return_exceptions=True)
        for place, (_, answer) in enumerate(batch):
            if isinstance(words, BaseException):
                answer.set_exception(words)
            else:
                answer.set_result(words[place])


async def start(context: dict[str, Any]) -> None:
    context["senders"] = [asyncio.create_task(send()) for _ in range(IN_FLIGHT)]


settings = saq_app.settings | {
    "queue": Queue.from_url(f"{REDIS}?max_connections={3 * AT_ONCE}"),
    "functions": [unlink],
    "concurrency": AT_ONCE,
    "startup": start,
}
