"""The truth pass of an account: what was reported as gone is looked at, and what was left open is brought to its end.

It deletes nothing. What it finds there again is told, and left to the policies and to people.
"""

import itertools
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from gateway.reconciling.ledger import Ledger, ledger_of
from gateway.reconciling.night_run import close
from gateway.reconciling.parts import NightParts
from gateway.reconciling.report import moment
from gateway.reconciling.slot_wish import Wish, due_wish, wish_now
from gateway.reconciling.truth_findings import Deletions, Letters
from tasks.lost import BringBack
from worker.engine.polite_api import ReadFailed
from worker.engine.reading_desk import ReadingDesk
from worker.engine.threads import in_thread
from worker.stores.journal import Wanted
from worker.stores.letter import Filter, Letter
from worker.stores.lost_jobs import LostJobs, close_letters
from worker.stores.nights import Opened
from worker.unlinking.errors import Replay
from worker.unlinking.job import Relation
from worker.unlinking.night import TRUTH, Night, NightStatus, kept_relations, night_id
from worker.unlinking.relation_types import RELATION_TYPES
from worker.unlinking.slots import Timing
from worker.unlinking.truth import REPORTED_GONE, is_lost, is_resurrected
from worker.unlinking.wording import links

AT_ONCE = 5000  # links looked at together
FIRST = 7 * 86400.0  # seconds the first pass looks back
MARGIN = 86400.0  # seconds before the last good night: what was sent then may have ended after it
MOST_ATTEMPTS = 3
MOST_LETTERS = 200_000  # looked at in one night, the latest first
Item = TypeVar("Item")


class TruthWork:
    """Looks after truth passes. Raises redis.exceptions.RedisError, and NightLost when it was too slow."""

    def __init__(self, parts: NightParts) -> None:
        self.parts = parts

    async def look_after(self, account: str, timing: Timing) -> Night | None:
        """Do what is due; the night that was worked on, or None."""
        async with ledger_of(self.parts.nights, TRUTH + account) as ledger:
            if ledger is None:
                return None
            left = await ledger.open_night()
            if left is not None:
                return await self._hold(ledger, account, left)
            wish = await due_wish(ledger, TRUTH + account, timing)
            return None if wish is None else await self._start(ledger, account, wish, timing)

    async def now(self, account: str) -> Night | None:
        """A pass at this moment; None while somebody else is at it."""
        async with ledger_of(self.parts.nights, TRUTH + account) as ledger:
            return None if ledger is None else await self._start(ledger, account, await wish_now(ledger), None)

    async def _start(self, ledger: Ledger, account: str, wish: Wish, timing: Timing | None) -> Night:
        name, now = TRUTH + account, await ledger.now()
        night = Night(
            id=night_id(name, wish.slot),
            policy=name,
            account=account,
            slot=wish.slot,
            started_at=now,
            status=NightStatus.PLANNING,
            zone="UTC" if timing is None else timing.zone,
            missed=wish.missed,
        )
        if wish.late and timing is not None:
            why = f"nobody was up at {moment(wish.slot, timing.zone)}, nor within {timing.catch_up / 3600:g} h"
            night = night.ended(now, NightStatus.MISSED, why)
            if await ledger.begin(night, wish.handled) is Opened.OPENED:
                return await close(self.parts, ledger, night)
            return night
        if await ledger.begin(night, wish.handled) is not Opened.OPENED:
            return await in_thread(lambda: ledger.nights.get(night.id)) or night
        return await self._hold(ledger, account, night)

    async def _hold(self, ledger: Ledger, account: str, night: Night) -> Night:
        if night.attempts >= MOST_ATTEMPTS:
            why = f"{night.attempts} attempts ended with their worker"
            return await close(self.parts, ledger, night.ended(await ledger.now(), NightStatus.ABORTED, why))
        night = await ledger.save(replace(night, attempts=night.attempts + 1))
        found = self.parts.accounts.get(account)
        if found is None:
            why = f"account {account!r} is not set here"
            return await close(self.parts, ledger, night.ended(await ledger.now(), NightStatus.ABORTED, why))
        try:
            async with self.parts.desk(found) as desk:
                night = await self._look_at_deletions(ledger, desk, night)
                night = await self._look_at_letters(ledger, desk, night)
        except ReadFailed as error:
            ended = night.ended(await ledger.now(), NightStatus.ABORTED, str(error))
            return await close(self.parts, ledger, ended)
        night = await self._find_lost(ledger, night)
        again, unread = night.counts["resurrected"], night.counts["unread"]
        why = f"{links(again)} there again" if again else "nothing is there again"
        why += f", {links(unread)} could not be looked at" if unread else ""
        return await close(self.parts, ledger, night.ended(await ledger.now(), NightStatus.DONE, why))

    async def _look_at_deletions(self, ledger: Ledger, desk: ReadingDesk, night: Night) -> Night:
        since = await in_thread(lambda: self._since(night))
        deeds = (
            deed
            for deed in self.parts.doors.journal.deeds(Wanted(since=since, account=night.account))
            if deed.outcome in REPORTED_GONE and not deed.intended.restore
        )
        found = Deletions()
        async for some in _portions(deeds):
            found.take(some, await desk.look({deed.intended.relation for deed in some}))
        again = await in_thread(lambda: self._unexplained(night.account, found))
        text = (
            f"looked at {found.looked:,} deletions since {moment(since, night.zone)}: {links(len(again))} there again"
        )
        if found.unread:
            text += f", {found.unread:,} could not be looked at"
        counts = night.counted(
            journalled=found.looked,
            still_gone=found.gone,
            verified=found.verified,
            unread=found.unread,
            resurrected=len(again),
        )
        return await ledger.save(night.told(await ledger.now(), text, counts=counts, resurrected=kept_relations(again)))

    def _since(self, night: Night) -> float:
        """From the last pass on in which everything could be looked at."""
        earlier = self.parts.nights.of_policy(night.policy)
        good = [each for each in earlier if each.is_good and not each.counts.get("unread") and each.id != night.id]
        return good[0].started_at - MARGIN if good else night.started_at - FIRST

    def _unexplained(self, account: str, found: Deletions) -> list[Relation]:
        """Those that are there although the last thing done to them was a deletion that worked."""
        newest = self.parts.doors.journal.newest({(account, relation) for relation in found.there})
        return sorted(
            relation
            for (_, relation), deed in newest.items()
            if is_resurrected(deed.outcome, restored=deed.intended.restore)
        )

    async def _look_at_letters(self, ledger: Ledger, desk: ReadingDesk, night: Night) -> Night:
        letters = self.parts.doors.dead_letters
        walk = (each for some in letters.walk(Filter(account=night.account)) for each in some if _names_link(each))
        found = Letters()
        async for some in _portions(itertools.islice(walk, MOST_LETTERS)):
            closed_as = found.take(some, await desk.look({letter.relation for letter in some}))
            found.closed += await self._close(closed_as, night)
        text = f"looked at {found.looked:,} dead letters: closed {found.closed:,} whose wish has come true"
        counts = night.counted(letters=found.looked, closed=found.closed)
        return await ledger.save(night.told(await ledger.now(), text, counts=counts))

    async def _close(self, closed_as: Mapping[str, str], night: Night) -> int:
        client, by = self.parts.doors.client, f"night {night.id}"
        return len(await in_thread(lambda: close_letters(client, closed_as, by)))

    async def _find_lost(self, ledger: Ledger, night: Night) -> Night:
        now = await ledger.now()
        lost, settled = await in_thread(lambda: self._bring_back(night.account, now))
        text = f"jobs past their deadline that nobody holds: {lost:,}"
        if lost:
            text += f"; {settled:,} put back into the queue, where a worker ends them without deleting anything"
        counts = night.counted(lost=lost, settled=settled)
        return await ledger.save(night.told(await ledger.now(), text, counts=counts))

    def _bring_back(self, account: str, now: float) -> tuple[int, int]:
        doors = self.parts.doors
        store = LostJobs(doors.client, self.parts.queue)
        lost = [each for each in store.open_jobs(account) if is_lost(each.job, now)]
        return len(lost), BringBack(store, doors.runs).bring_back(lost)


def _names_link(letter: Letter) -> bool:
    """Whether there can be such a link: of what could not be read as one, nothing is to be seen."""
    readable = letter.names_relation and letter.replay is not Replay.USELESS
    return readable and letter.record["relationtype"] in RELATION_TYPES


async def _portions(items: Iterable[Item]) -> AsyncIterator[list[Item]]:
    """In portions, each fetched in a thread: the stores are without a loop."""
    source: Iterator[Item] = iter(items)
    while some := await in_thread(lambda: list(itertools.islice(source, AT_ONCE))):
        yield some
