"""What is known of a job before an attempt, and what is to happen to it after one. Values only; others carry them out.

End      the job has its outcome
Again    try again later; costs an attempt
Snooze   try again later; costs none (the API asked us to slow down)
Ask      the question "is it gone?" waits; only a read-back may follow, no second delete
Park     the account cannot be used, or its API is down; the job waits without cost
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.unlinking.attribution import NOTHING, Known
from worker.unlinking.job import Job
from worker.unlinking.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a job, as its dead letter shows it."""

    at: float  # Unix seconds when its request was sent
    verdict: str  # what the answer meant
    request: str  # id of the request; the jobs of a batch share it
    seconds: float  # until the request was over
    code: int | None = None  # the API's error code
    text: str = ""  # the API's or our sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A job with what earlier attempts left behind."""

    job: Job
    attempts: int = 0  # attempts spent so far
    known: Known = NOTHING  # of the link, and of the requests that were sent for it
    question: bool = False  # the last attempt ended in Ask
    give_up: Outcome | None = None  # too late, or cancelled: the open question is answered, nothing more is sent
    tries: Mapping[int, int] = field(default_factory=dict)  # API error code -> how often this job met it
    history: tuple[Attempt, ...] = ()  # the attempts so far; see attempts.py


@dataclass(frozen=True, slots=True)
class End:
    """The job has its outcome."""

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try again later; costs an attempt."""

    why: str
    code: int | None = None
    known: Known = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """Try again after `seconds`; costs no attempt."""

    seconds: float
    why: str
    known: Known = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Read back later. `spend`: the API answered the read with an error, so asking on for ever would be no use."""

    why: str
    known: Known
    spend: bool = False
    seconds: float | None = None  # when the API named a time, or reads may lag


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Wait until the account can be used again. `outage`: the API is down, nobody has to mend the account."""

    why: str
    code: int | None = None
    outage: bool = False
    new: bool = True  # False: the account was halted already, nobody has to halt it again
    known: Known = NOTHING
    question: bool = False


Decision = End | Again | Snooze | Ask | Park


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Between two decisions: the answer was ambiguous, read back first."""

    known: Known
    reason: str | None = None  # what the job dies of if the link is still there; None: try again
    code: int | None = None
    why: str = ""
