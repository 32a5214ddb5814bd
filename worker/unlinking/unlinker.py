"""The unlinker: a batch of jobs of one account -> call -> judge -> read back -> one decision per job.

It repeats no delete on its own, except when it halves a batch to find the action that spoils it. What has to be sent
again comes back as a decision, and the engine brings the job here another time. A job whose earlier request may have
done its work is looked at before anything is sent; with LOOK_FIRST every job is.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from worker.onoffice.codes import Verdict, rule_for
from worker.onoffice.errors import OnOfficeError
from worker.onoffice.protocol import Action, delete_relation
from worker.onoffice.replies import Missing, Reply
from worker.unlinking.decisions import Decision, Look, Ticket
from worker.unlinking.failed_requests import after_failure, after_unread, blames_account
from worker.unlinking.judging import Policy, Sight, before_delete, judge_answer, judge_rule, settle
from worker.unlinking.keeping import Keeper, after_unsaved, unsaved_present
from worker.unlinking.viewer import Api, Sightings, Unread, View, Viewer

Decisions = dict[str, Decision]
Clock = Callable[[], float]  # Unix seconds on the server's clock
Answered = dict[str, Decision | Look]
Told = Callable[[Answered], Awaitable[None]]


class Unlinker:
    """Unlinks batches of one account."""

    def __init__(
        self, api: Api, sightings: Sightings, policy: Policy, clock: Clock, keeper: Keeper | None = None
    ) -> None:
        """`keeper`: saves what would be lost with a link before it is deleted; None if nobody asked for it."""
        self._api = api
        self._clock = clock
        self._keeper = keeper
        self._policy = policy
        self._viewer = Viewer(api, sightings)
        self.answered: Answered = {}  # what the requests came to so far, should `run` be broken off
        self.told: Told | None = None  # hears what was answered before any of it is read back

    async def run(self, tickets: Sequence[Ticket]) -> Decisions:
        """One decision per job id. Raises nothing of onOffice's; what the stores raise passes through."""
        looked_at = [ticket for ticket in tickets if self._is_looked_at(ticket)]
        going = [ticket for ticket in tickets if not self._is_looked_at(ticket)]
        views = await self._viewer.look(ticket.job.relation for ticket in looked_at)
        decisions: Decisions = {}
        for ticket in looked_at:
            found = self._before(ticket, views[ticket.job.relation])
            if isinstance(found, Ticket):
                going.append(found)
            else:
                decisions[ticket.job.id] = found
        if self._keeper is not None:
            going, unsaved = await self._save_first(self._keeper, going)
            decisions |= unsaved
        return decisions | await self._delete_and_look(going)

    def _is_looked_at(self, ticket: Ticket) -> bool:
        return self._policy.look_first or ticket.known.in_doubt or ticket.question

    def _before(self, ticket: Ticket, view: View) -> Decision | Ticket:
        if isinstance(view, Unread):
            look = Look(known=ticket.known, why="it is looked at before anything is sent")
            return after_unread(ticket, look, view, self._policy)
        return before_delete(ticket, view, self._policy, self._clock())

    async def _save_first(self, keeper: Keeper, tickets: Sequence[Ticket]) -> tuple[list[Ticket], Decisions]:
        """Who may go, and what becomes of the others: nothing is deleted whose status could not be saved."""
        unsaved = await keeper.save(tickets)
        going = [ticket for ticket in tickets if ticket.job.id not in unsaved]
        held = [ticket for ticket in tickets if ticket.job.id in unsaved]
        views = await self._viewer.look(ticket.job.relation for ticket in held if unsaved[ticket.job.id] is None)
        decisions: Decisions = {}
        for ticket in held:
            why = unsaved[ticket.job.id]
            if why is not None:
                decisions[ticket.job.id] = after_unsaved(ticket, why, self._policy)
            elif views[ticket.job.relation] is Sight.PRESENT:
                decisions[ticket.job.id] = unsaved_present(ticket, self._clock())
            else:
                look = Look(known=ticket.known, why="its appointment shows no such participant")
                decisions[ticket.job.id] = self._after_look(ticket, look, views[ticket.job.relation])
        return going, decisions

    async def _delete_and_look(self, tickets: Sequence[Ticket]) -> Decisions:
        await self._delete(tickets)
        by_id = {ticket.job.id: ticket for ticket in tickets}
        found = {job_id: self.answered[job_id] for job_id in by_id}
        looks = {job_id: each for job_id, each in found.items() if isinstance(each, Look)}
        decisions: Decisions = {job_id: each for job_id, each in found.items() if not isinstance(each, Look)}
        if self.told is not None and looks:
            await self.told(found)
        views = await self._viewer.look(by_id[job_id].job.relation for job_id in looks)
        for job_id, look in looks.items():
            ticket = by_id[job_id]
            decisions[job_id] = self._after_look(ticket, look, views[ticket.job.relation])
        return decisions

    def _after_look(self, ticket: Ticket, look: Look, view: View) -> Decision:
        if isinstance(view, Sight):
            return settle(ticket, look, view, self._policy, self._clock())
        return after_unread(ticket, look, view, self._policy)

    async def _delete(self, tickets: Sequence[Ticket]) -> None:
        if not tickets:
            return
        try:
            reply = await self._api.call([_delete_action(ticket) for ticket in tickets])
        except OnOfficeError as error:
            now = self._clock()
            self.answered |= {ticket.job.id: after_failure(ticket, error, now) for ticket in tickets}
            return
        if reply.errorcode != 0 and all(isinstance(answer, Missing) for answer in reply.answers):
            await self._request_failed(tickets, reply)
            return
        now = self._clock()
        self.answered |= {
            ticket.job.id: judge_answer(ticket, answer, self._policy, now)
            for ticket, answer in zip(tickets, reply.answers, strict=True)
        }

    async def _request_failed(self, tickets: Sequence[Ticket], reply: Reply) -> None:
        """An error answer to the whole request: the account's fault, or one action's; halve until it is alone."""
        rule, now = rule_for(reply.errorcode), self._clock()
        if len(tickets) == 1 or blames_account(rule):
            self.answered |= {ticket.job.id: self._judge_whole(ticket, reply, now) for ticket in tickets}
            return
        if rule.verdict is not Verdict.REFUSED:  # the server may have worked on some of it before it failed
            tickets = [replace(ticket, known=ticket.known.after_loss(now)) for ticket in tickets]
        middle = len(tickets) // 2
        await self._delete(tickets[:middle])
        await self._delete(tickets[middle:])

    def _judge_whole(self, ticket: Ticket, reply: Reply, now: float) -> Decision | Look:
        """An error answer to a request of one action is about that action, though it gave no result of its own."""
        rule, known = rule_for(reply.errorcode), ticket.known.after_error()
        if rule.verdict is Verdict.AGAIN:
            known = known.after_loss(now)
        return judge_rule(ticket, rule, reply.message, self._policy, known)


def _delete_action(ticket: Ticket) -> Action:
    relation = ticket.job.relation
    return delete_relation(ticket.job.id, relation.urn, relation.parentid, relation.childid)
