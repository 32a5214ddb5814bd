"""What became of each attempt at a job, for whoever reads its dead letter. Values only."""

import json
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, replace

from worker.unlinking.decisions import Again, Ask, Attempt, Decision, End, Park, Snooze, Ticket
from worker.unlinking.outcome import Kind

KEPT = 10  # attempts of one job: the first, and the last nine
TEXT_KEPT = 200  # characters of the vendor's text
ENDS: Mapping[Kind, str] = {
    Kind.UNLINKED: "gone",
    Kind.ALREADY_ABSENT: "already_gone",
    Kind.RESTORED: "made",
    Kind.ALREADY_PRESENT: "already_there",
    Kind.DEAD: "refused",
    Kind.EXPIRED: "too_late",
}


@dataclass(frozen=True, slots=True)
class RequestNote:
    """One request, as far as its attempts need to know."""

    id: str  # of its place in the limiter; the jobs of a batch share it
    at: float  # Unix seconds when it was sent
    seconds: float  # until it was over


def noted(ticket: Ticket, decision: Decision, request: RequestNote | None) -> Ticket:
    """The ticket with one attempt more; the same one if nothing was sent, or the API only asked us to wait."""
    if request is None or isinstance(decision, Snooze | Park):
        return ticket
    verdict, code, text = _told(decision)
    attempt = Attempt(
        at=round(request.at, 3),
        verdict=verdict,
        request=request.id,
        seconds=round(request.seconds, 3),
        code=code,
        text=text[:TEXT_KEPT],
    )
    history = (*ticket.history, attempt)
    if len(history) > KEPT:
        history = (history[0], *history[2:])
    return replace(ticket, history=history)


def _told(decision: End | Again | Ask) -> tuple[str, int | None, str]:
    """Verdict, code and text."""
    match decision:
        case End(outcome=outcome):
            return ENDS.get(outcome.kind, str(outcome.kind)), outcome.code, outcome.message
        case Again():
            return "again", decision.code, decision.why
        case Ask():
            return "unknown", None, decision.why


def as_json(history: tuple[Attempt, ...]) -> str:
    """For the record; "" for none."""
    return json.dumps([astuple(each) for each in history], separators=(",", ":")) if history else ""


def from_json(text: str) -> tuple[Attempt, ...]:
    """Read what `as_json` wrote."""
    return tuple(Attempt(*each) for each in json.loads(text)) if text else ()


def as_documents(text: str) -> list[dict[str, object]]:
    """The same as users see it."""
    return [asdict(each) for each in from_json(text)]
