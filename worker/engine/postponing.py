"""What a job that waits must know, where it waits and for how long. Pure."""

from dataclasses import replace
from random import Random

from worker.stores.records import Status
from worker.unlinking.attribution import NOTHING, Known
from worker.unlinking.decisions import Again, Ask, Decision, End, Park, Snooze, Ticket

BACKOFF_BASE = 1.0  # seconds
BACKOFF_CAP = 60.0
ASK_JITTER = 0.2  # of the time that was named


def backoff(attempts: int, random: Random) -> float:
    """Seconds until the next attempt: exponential, full jitter, so that what failed together does not come together."""
    return 0.2 + random.random() * min(BACKOFF_CAP, BACKOFF_BASE * 2.0**attempts)


def next_ticket(ticket: Ticket, decision: Decision, random: Random) -> tuple[Ticket, Status, float]:
    """What the next attempt must know, where the job waits, and for how many seconds. Pure.

    A doubt is never dropped: whatever this attempt came to, an earlier request may yet be carried out.
    """
    if isinstance(decision, End):
        raise TypeError("a job that has ended does not wait")
    ticket = replace(ticket, known=_kept(ticket.known, decision.known))
    match decision:
        case Again(code=code):
            tries = dict(ticket.tries)
            if code is not None:
                tries[code] = tries.get(code, 0) + 1
            again = replace(ticket, attempts=ticket.attempts + 1, tries=tries, question=False)
            return again, Status.DELAYED, backoff(ticket.attempts, random)
        case Snooze(seconds=seconds):
            return ticket, Status.DELAYED, seconds * (1 + random.random())
        case Ask(spend=spend, seconds=asked):
            wait = backoff(ticket.attempts, random) if asked is None else asked * (1 + ASK_JITTER * random.random())
            return replace(ticket, attempts=ticket.attempts + int(spend), question=True), Status.UNVERIFIED, wait
        case Park(question=question):
            return replace(ticket, question=ticket.question or question), Status.PARKED, 0.0


def _kept(before: Known, after: Known) -> Known:
    """What is known after a decision. One that says nothing (the account was halted) takes nothing back."""
    if after == NOTHING:
        return before
    return replace(
        after,
        lost_at=before.lost_at if after.lost_at is None else after.lost_at,
        lost_first=before.lost_first or after.lost_first,
        success_at=before.success_at if after.success_at is None else after.success_at,
    )


def why_of(decision: Decision) -> str:
    """In words; "" for an end."""
    return "" if isinstance(decision, End) else decision.why
