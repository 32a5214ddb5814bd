"""A job that is cancelled or too late after a request for it was never answered. Pure; for deletes and creates."""

from worker.unlinking.attribution import Known
from worker.unlinking.outcome import Evidence, Kind, Outcome, dead

WHY = "cancelled after a request that was never answered; read back, nothing was done yet, but it may be done late"


def given_up(known: Known, outcome: Outcome) -> Outcome:
    """How it ends when the read-back shows nothing done; whoever is told "cancelled" must be able to rely on that."""
    if known.in_doubt and outcome.kind is Kind.CANCELLED:
        return dead("Unverified", None, WHY, Evidence.READ_BACK)
    return outcome
