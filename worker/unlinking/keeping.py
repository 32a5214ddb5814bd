"""The keeper: what is lost with a link is saved before the link is deleted, if that was asked for.

That is the confirmation status of an appointment's participant; no other link carries anything that the API lets be
read and set (API facts 6.2). A status that cannot be read is not lost: then nothing is deleted.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from worker.onoffice.appointments import confirmations, read_confirmations
from worker.onoffice.codes import Reason, rule_for
from worker.onoffice.errors import UnreadableReply
from worker.onoffice.replies import Answer
from worker.unlinking.decisions import Decision, End, Look, Ticket
from worker.unlinking.failed_requests import after_unread
from worker.unlinking.judging import Policy, Sight
from worker.unlinking.outcome import Evidence, Looked, dead
from worker.unlinking.relation_types import PARTICIPANT
from worker.unlinking.viewer import Api, Unread, ask, is_refused

Store = Callable[[Mapping[str, str]], Awaitable[None]]  # job id -> status; returns once they are stored
Statuses = dict[int, str] | Unread  # of one appointment: address id -> status


class Keeper:
    """Saves for one account."""

    def __init__(self, api: Api, store: Store) -> None:
        self._api = api
        self._store = store

    async def save(self, tickets: Sequence[Ticket]) -> dict[str, Unread | None]:
        """Save what can be read; those whose status is not saved: job id -> why, or None if it is not to be seen.

        Raises nothing of onOffice's; what the store raises passes through.
        """
        concerned = [ticket for ticket in tickets if ticket.job.relation.relationtype == PARTICIPANT]
        found = await self._read_all(sorted({ticket.job.relation.parentid for ticket in concerned}))
        saved: dict[str, str] = {}
        unsaved: dict[str, Unread | None] = {}
        for ticket in concerned:
            statuses = found[ticket.job.relation.parentid]
            if isinstance(statuses, Unread):
                unsaved[ticket.job.id] = statuses
            elif ticket.job.relation.childid in statuses:
                saved[ticket.job.id] = statuses[ticket.job.relation.childid]
            else:
                unsaved[ticket.job.id] = None
        if saved:
            await self._store(saved)
        return unsaved

    async def _read_all(self, appointments: Sequence[int]) -> dict[int, Statuses]:
        found: dict[int, Statuses] = {}
        at_once = self._api.actions_per_request
        for start in range(0, len(appointments), at_once):
            found |= await self._read(appointments[start : start + at_once])
        return found

    async def _read(self, appointments: Sequence[int]) -> dict[int, Statuses]:
        reads = [read_confirmations(f"confirmation-{number}", each) for number, each in enumerate(appointments)]
        answers = await ask(self._api, reads)
        first = answers[0]
        if len(appointments) > 1 and isinstance(first, Unread) and first.whole and is_refused(first):
            middle = len(appointments) // 2  # one of them may spoil the request for all
            return await self._read(appointments[:middle]) | await self._read(appointments[middle:])
        return {each: _understand(answer, each) for each, answer in zip(appointments, answers, strict=True)}


def _understand(answer: Answer | Unread, appointment: int) -> Statuses:
    if isinstance(answer, Unread):
        return {} if _is_unknown(answer) else answer
    try:
        return confirmations(answer, appointment)
    except UnreadableReply as error:
        return Unread(error=error)


def _is_unknown(unread: Unread) -> bool:
    """Whether the API says that this account knows no such appointment."""
    return isinstance(unread.answer, Answer) and rule_for(unread.answer.errorcode).reason is Reason.UNKNOWN_RECORD


def after_unsaved(ticket: Ticket, unread: Unread, policy: Policy) -> Decision:
    """Its status could not be read: it waits as for a read-back, and dies if that is for ever."""
    look = Look(known=ticket.known, why="its confirmation status is to be saved first")
    decision = after_unread(ticket, look, unread, policy)
    if isinstance(decision, End) and decision.outcome.reason == "Unverified":
        return End(replace(decision.outcome, reason="NotSaved"))
    return decision


def unsaved_present(ticket: Ticket, now: float) -> Decision:
    """The link is there, but its appointment does not show the participant to this account. `now`: Unix seconds."""
    relation = ticket.job.relation
    why = f"appointment {relation.parentid} shows no participant {relation.childid}"
    by = ticket.known.after_seen().by
    return End(dead("NotSaved", None, why, Evidence.READ_BACK, by=by, looked=Looked(now, Sight.PRESENT)))
