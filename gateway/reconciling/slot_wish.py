"""Which night is to begin now: the slot of a schedule that has come, or what somebody wants at once."""

from dataclasses import dataclass

from gateway.reconciling.ledger import Ledger
from worker.engine.threads import in_thread
from worker.stores.nights import Handled, schedule_of
from worker.unlinking.slots import Timing, due


@dataclass(frozen=True, slots=True)
class Wish:
    """A night that is to begin."""

    slot: float  # Unix seconds
    missed: int = 0  # earlier slots that nobody was up for
    late: bool = False  # past its catch-up window
    handled: Handled | None = None  # None: somebody wants it now, whatever the schedule says


async def due_wish(ledger: Ledger, name: str, timing: Timing) -> Wish | None:
    """The slot that has come; a schedule that is new counts from now on."""
    now, schedule = await ledger.now(), schedule_of(timing)
    handled = await in_thread(lambda: ledger.nights.handled(name))
    if handled is None or handled.schedule != schedule:
        await in_thread(lambda: ledger.nights.note_handled(name, Handled(schedule, now)))
        return None
    found = due(timing, handled.slot, now)
    if found is None:
        return None
    return Wish(found.slot, found.missed, found.late, Handled(schedule, found.slot))


async def wish_now(ledger: Ledger) -> Wish:
    """A night at this moment."""
    return Wish(float(int(await ledger.now())))
