"""What a job that waits must know, where it waits and for how long. Pure."""

from dataclasses import replace
from random import Random

from worker.stores.records import Status
from worker.unlinking.decisions import Again, Ask, Decision, End, Park, Snooze, Ticket

BACKOFF_BASE = 1.0  # seconds
BACKOFF_CAP = 60.0
ASK_JITTER = 0.2  # of the time that was named


def backoff(attempts: int, random: Random) -> float:
    """Seconds until the next attempt: exponential, full jitter, so that what failed together does not come together."""
    return 0.2 + random.random() * min(BACKOFF_CAP, BACKOFF_BASE * 2.0**attempts)


def next_ticket(ticket: Ticket, decision: Decision, random: Random) -> tuple[Ticket, Status, float]:
    """What the next attempt must know, where the job waits, and for how many seconds. Pure."""
    match decision:
        case Again(code=code, known=known):
            tries = dict(ticket.tries)
            if code is not None:
                tries[code] = tries.get(code, 0) + 1
            again = replace(ticket, attempts=ticket.attempts + 1, tries=tries, known=known, question=False)
            return again, Status.DELAYED, backoff(ticket.attempts, random)
        case Snooze(seconds=seconds, known=known):
            return replace(ticket, known=known), Status.DELAYED, seconds * (1 + random.random())
        case Ask(known=known, spend=spend, seconds=asked):
            attempts = ticket.attempts + int(spend)
            wait = backoff(ticket.attempts, random) if asked is None else asked * (1 + ASK_JITTER * random.random())
            return replace(ticket, attempts=attempts, known=known, question=True), Status.UNVERIFIED, wait
        case Park(known=known, question=question):
            return replace(ticket, known=known, question=question), Status.PARKED, 0.0
        case End():
            raise ValueError("a job that has ended does not wait")


def why_of(decision: Decision) -> str:
    """In words; "" for an end."""
    return "" if isinstance(decision, End) else decision.why
