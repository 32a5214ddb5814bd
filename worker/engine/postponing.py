"""What a job that waits must know, where it waits and for how long. Pure."""

from dataclasses import replace
from random import Random

from worker.stores.records import Status
from worker.unlinking.decisions import Again, Ask, Decision, End, Park, Snooze, Ticket

BACKOFF_BASE = 1.0  # seconds
BACKOFF_CAP = 60.0


def backoff(attempts: int, random: Random) -> float:
    """Seconds until the next attempt: exponential, full jitter, so that what failed together does not come together."""
    return 0.2 + random.random() * min(BACKOFF_CAP, BACKOFF_BASE * 2.0**attempts)


def next_ticket(ticket: Ticket, decision: Decision, random: Random) -> tuple[Ticket, Status, float]:
    """What the next attempt must know, where the job waits, and for how many seconds. Pure."""
    match decision:
        case Again(code=code, in_doubt=in_doubt):
            tries = dict(ticket.tries)
            if code is not None:
                tries[code] = tries.get(code, 0) + 1
            again = replace(ticket, attempts=ticket.attempts + 1, tries=tries, in_doubt=in_doubt, question=False)
            return again, Status.DELAYED, backoff(ticket.attempts, random)
        case Snooze(seconds=seconds, in_doubt=in_doubt):
            return replace(ticket, in_doubt=in_doubt), Status.DELAYED, seconds * (1 + random.random())
        case Ask(in_doubt=in_doubt, spend=spend, seconds=asked):
            attempts = ticket.attempts + int(spend)
            wait = backoff(ticket.attempts, random) if asked is None else asked * (1 + random.random())
            return replace(ticket, attempts=attempts, in_doubt=in_doubt, question=True), Status.UNVERIFIED, wait
        case Park(in_doubt=in_doubt, question=question):
            return replace(ticket, in_doubt=in_doubt, question=question), Status.PARKED, 0.0
        case End():
            raise ValueError("a job that has ended does not wait")


def why_of(decision: Decision) -> str:
    """In words; "" for an end."""
    return "" if isinstance(decision, End) else decision.why
