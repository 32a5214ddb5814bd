"""The claims of one process: which messages it holds, their leases, and what becomes of them."""

import asyncio
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from worker.stores.deliveries import Deliveries
from worker.stores.refusals import told
from worker.unlinking.chunk import MAX_ROWS

BULK_AT_ONCE = 8  # messages of the bulk queue; one may hold 500 rows
log = structlog.get_logger(__name__)


@dataclass
class Window:
    """How much one process holds at once."""

    jobs: int  # single jobs; tuned while it runs
    rows: int  # rows of chunks, and other messages of the bulk queue


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be claimed now."""

    messages: int
    bulk: int  # of them


class Claims:
    """Lives on the loop."""

    def __init__(self, deliveries: Deliveries, window: Window) -> None:
        self.deliveries = deliveries
        self.window = window
        self.let_go_count = 0
        self.more_to_come = False  # the last claim took all it might, and there is room for the next
        self._held: dict[str, int] = {}  # claim -> rows, or 0 for what is no bulk
        self._rows = 0
        self._done: list[str] = []
        self._back: list[str] = []
        self._to_flush = asyncio.Event()
        self._room_made = asyncio.Event()

    def room(self) -> Room:
        """How many more messages may be claimed."""
        singles = self.window.jobs - len(self._held)
        bulk = min(BULK_AT_ONCE, -(-(self.window.rows - self._rows) // MAX_ROWS))
        return Room(max(0, singles), max(0, bulk))

    async def wait_for_room(self, seconds: float) -> None:
        """Return when a claim was let go, at the latest after `seconds`."""
        self._room_made.clear()
        try:
            await asyncio.wait_for(self._room_made.wait(), seconds)
        except TimeoutError:
            return

    def hold(self, claim: str, rows: int = 0) -> None:
        """A message was claimed: its lease is renewed from here. `rows`: what it weighs as bulk."""
        self._rows += rows - self._held.get(claim, 0)
        self._held[claim] = rows

    def let_go(self, claim: str) -> None:
        """Moved elsewhere (delayed, parked, put aside) or taken over: no lease to renew, nothing to ack."""
        rows = self._held.pop(claim, None)
        if rows is not None:
            self._rows -= rows
            self.let_go_count += 1
            self._room_made.set()

    def done(self, claim: str) -> None:
        """The message is to be acked."""
        self._note(self._done, claim)

    def back(self, claim: str) -> None:
        """The message is to go back to its queue."""
        self._note(self._back, claim)

    def _note(self, pile: list[str], claim: str) -> None:
        if claim in self._held:  # else it was moved by its job's decision, or taken over
            pile.append(claim)
            self._to_flush.set()

    async def flush(self) -> None:
        """Ack and give back what is noted, in few round trips; on failure all of it stays noted."""
        self._to_flush.clear()
        done, back = list(self._done), list(self._back)
        await self.deliveries.ack(done)
        del self._done[: len(done)]
        await self.deliveries.give_back(back)
        del self._back[: len(back)]
        for claim in done + back:
            self.let_go(claim)

    async def keep_flushing(self) -> None:
        """Run for ever."""
        while True:
            await self._to_flush.wait()
            try:
                await self.flush()
            except RedisError as error:
                log.warning("acks wait for Redis", **told(error))
                self._to_flush.set()
                await asyncio.sleep(0.5)

    async def keep_renewing(self, every: float) -> None:
        """Run for ever: renew all leases every `every` seconds; forget what others took over meanwhile."""
        while True:
            await asyncio.sleep(every)
            try:
                lost = await self.deliveries.renew(sorted(self._held))
            except RedisError as error:
                log.warning("leases wait for Redis", **told(error))
                continue
            for claim in lost:
                self.let_go(claim)
            if lost:
                log.warning("claims were taken over by another worker", count=len(lost))

    async def give_back_all(self, claims: list[str]) -> None:
        """At the end: what was not sent goes back at once."""
        await self.deliveries.give_back(claims)
        for claim in claims:
            self.let_go(claim)
