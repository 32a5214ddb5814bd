"""`unlinker.redrive`: one pass of housekeeping. A scheduler sends it every few minutes; it may run twice at once."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from typing import Any, Protocol

import structlog
from redis.exceptions import RedisError

from tasks.housekeeping import Housekeeping, Patience
from tasks.redriving import Redriver
from tasks.replay import Replayer
from worker.engine.coroutine_task import CoroutineTask
from worker.engine.runtime import Runtime
from worker.engine.threads import in_thread
from worker.stores.archive import Archive, ArchiveUnwritable
from worker.stores.clearing import Clearing
from worker.stores.connecting import connect
from worker.stores.dead_letters import DeadLetters
from worker.stores.wishes import Wishes
from worker.unlinking.redriving import RedrivePolicy

log = structlog.get_logger(__name__)
NAME = "unlinker.redrive"
TELL_FOR = 60.0  # seconds until telling somebody is given up
PASS = 45.0  # seconds a pass may take, less than its lease; what is left is the next one's


class Redrive(CoroutineTask):
    """No arguments. The result: {"redriven": n, "letters_dropped": n, "journal_dropped": n}, or {"busy": true}."""

    name = NAME

    async def body(self, runtime: Runtime, request: Mapping[str, Any]) -> object:
        """In a thread of its own: the stores of this are without a loop."""
        try:
            return await asyncio.to_thread(_keep_house, runtime)
        except ArchiveUnwritable as error:
            teller: Teller | None = self.app.teller
            if teller is not None:
                await _tell(teller, str(error))
            raise


class Teller(Protocol):
    """Who tells people; blocks."""

    def tell(self, name: str, title: str, text: str) -> None:
        """Something needs a person. `name`: what it is, so that it is told once in a while only."""


async def _tell(teller: Teller, why: str) -> None:
    title = "old dead letters and journal entries stay: they cannot be archived, and Redis fills up"
    try:
        await in_thread(lambda: teller.tell("archive", title, why), TELL_FOR)
    except (RedisError, TimeoutError) as error:
        log.warning("nobody was told", title=title, why=str(error))


def _keep_house(runtime: Runtime) -> dict[str, object]:
    options = runtime.options
    with connect(options.records_url) as client:
        may_go_on = Patience(PASS, lambda: runtime.is_draining)
        archive = None if options.archive_dir is None else Archive(options.archive_dir, lambda: secrets.token_hex(4))
        redriver = Redriver(DeadLetters(client), Replayer(Wishes(client), time.time), RedrivePolicy(), time.time)
        clearing = Clearing(client, options.keep, archive, may_go_on)
        housekeeping = Housekeeping(client=client, redriver=redriver, clearing=clearing, may_go_on=may_go_on)
        return housekeeping.run(time.time())
