"""A policy's nights: looked after whenever somebody looks, from wherever whoever looked before has left them.

Each look does what is due and returns: go on with the night that is open, or begin the one whose slot has come. Nothing
is kept in memory between looks, so a look may die at any moment, and the next one, on any machine, goes on.
"""

from gateway.exits import CommandError, Exit
from gateway.reconciling.ledger import Ledger, ledger_of
from gateway.reconciling.night_planner import Planner
from gateway.reconciling.night_run import close, watch_run
from gateway.reconciling.parts import NightParts
from gateway.reconciling.report import moment
from gateway.reconciling.slot_wish import Wish, due_wish, wish_now
from worker.engine.threads import in_thread
from worker.stores.nights import Opened
from worker.unlinking.night import BUSY, Night, NightStatus, night_id
from worker.unlinking.policies import ReconcilePolicy


class NightWork:
    """Looks after policies' nights. Raises redis.exceptions.RedisError, and NightLost when it was too slow."""

    def __init__(self, parts: NightParts) -> None:
        self.parts = parts
        self._planner = Planner(parts)

    async def look_after(self, policy: ReconcilePolicy) -> Night | None:
        """Do what is due; the night that was worked on, or None when there was nothing to do."""
        async with ledger_of(self.parts.nights, policy.name) as ledger:
            if ledger is None:
                return None
            open_night = await self._go_on(ledger, policy)
            wish = await due_wish(ledger, policy.name, policy.timing)
            return open_night if wish is None else await self._start(ledger, policy, open_night, wish)

    async def look_at(self, policy: ReconcilePolicy, night: Night) -> Night:
        """Go on with a night that was begun; how it stands now."""
        async with ledger_of(self.parts.nights, policy.name) as ledger:
            if ledger is not None:
                await self._go_on(ledger, policy)
        return await in_thread(lambda: self.parts.nights.get(night.id)) or night

    async def now(self, policy: ReconcilePolicy) -> Night:
        """A night at this moment, whatever the schedule says. Raises CommandError when another is on its way."""
        async with ledger_of(self.parts.nights, policy.name) as ledger:
            if ledger is None:
                raise CommandError(Exit.BRAKE, f"somebody works on a night of {policy.name} just now; try again")
            open_night = await self._go_on(ledger, policy)
            if open_night is not None and open_night.status in BUSY:
                raise CommandError(Exit.BRAKE, f"night {open_night.id} is {open_night.status}, and has to end first")
            return await self._start(ledger, policy, open_night, await wish_now(ledger))

    async def _go_on(self, ledger: Ledger, policy: ReconcilePolicy) -> Night | None:
        """The night that is still open after this look, or the one that ended in it."""
        night = await ledger.open_night()
        if night is None:
            return None
        match night.status:
            case NightStatus.PLANNING:
                return await self._planner.plan(ledger, policy, night)
            case NightStatus.WAITING:
                return await self._wait(ledger, night)
            case _:
                night = await watch_run(self.parts, ledger, night)
                if night.status is not NightStatus.PLANNING:
                    return night
                return await self._planner.plan(ledger, policy, night)

    async def _wait(self, ledger: Ledger, night: Night) -> Night:
        now = await ledger.now()
        if night.expires_at is None or now <= night.expires_at:
            return night
        ended = night.ended(now, NightStatus.EXPIRED, "nobody approved of its plan in time")
        return await close(self.parts, ledger, ended)

    async def _start(self, ledger: Ledger, policy: ReconcilePolicy, before: Night | None, wish: Wish) -> Night:
        """Begin a night, or note that it cannot be."""
        now = await ledger.now()
        night = Night(
            id=night_id(policy.name, wish.slot),
            policy=policy.name,
            account=policy.account,
            slot=wish.slot,
            started_at=now,
            status=NightStatus.PLANNING,
            relationtype=policy.relationtype,
            zone=policy.timing.zone,
            mode=str(policy.mode),
            meaning=policy.meaning,
            missed=wish.missed,
        )
        if before is not None and before.id == night.id:
            return before  # somebody wants two within a second
        if wish.late:
            hours = policy.timing.catch_up / 3600
            why = f"nobody was up at {moment(wish.slot, policy.timing.zone)}, nor within {hours:g} h"
            return await self._note(ledger, night.ended(now, NightStatus.MISSED, why), wish)
        if before is not None and before.status in BUSY:
            why = f"night {before.id} is still {before.status}"
            return await self._note(ledger, night.ended(now, NightStatus.SKIPPED, why), wish)
        if before is not None and before.status is NightStatus.WAITING:
            ended = before.ended(now, NightStatus.SUPERSEDED, f"night {night.id} came before anybody approved of it")
            await ledger.save(ended)
            await in_thread(lambda: ledger.nights.drop_plan(ended.id))
        if await ledger.begin(night, wish.handled) is not Opened.OPENED:
            return await in_thread(lambda: ledger.nights.get(night.id)) or night
        return await self._planner.plan(ledger, policy, night)

    async def _note(self, ledger: Ledger, night: Night, wish: Wish) -> Night:
        """A night that is over before it began."""
        if await ledger.begin(night, wish.handled) is not Opened.OPENED:
            return night
        return await ledger.save(await self.parts.tell(night))
