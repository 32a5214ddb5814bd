"""Nights whose policy has left the policies file: they are brought to an end, and nothing new is begun."""

from collections.abc import Collection

from gateway.reconciling.ledger import ledger_of
from gateway.reconciling.night_run import close, watch_run
from gateway.reconciling.parts import NightParts
from worker.engine.threads import in_thread
from worker.unlinking.night import TRUTH, Night, NightStatus

WHY = "its policy has left the policies file"


async def end_orphans(parts: NightParts, policies: Collection[str]) -> list[Night]:
    """Those that were looked after. A run that is on its way goes on: `unlinker bulk cancel` stops it."""
    nights = await in_thread(parts.nights.open_nights)
    orphans = [night for night in nights if night.policy not in policies and not night.policy.startswith(TRUTH)]
    return [await _look_after(parts, night) for night in orphans]


async def _look_after(parts: NightParts, night: Night) -> Night:
    async with ledger_of(parts.nights, night.policy) as ledger:
        if ledger is None:
            return night
        if night.status in (NightStatus.RUNNING, NightStatus.STOPPED):
            night = await watch_run(parts, ledger, night)
        if night.status in (NightStatus.PLANNING, NightStatus.WAITING):
            return await close(parts, ledger, night.ended(await ledger.now(), NightStatus.ABORTED, WHY))
        return night
