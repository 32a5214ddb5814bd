"""The unlinker: a batch of jobs of one account -> call -> judge -> read back -> one decision per job.

It repeats no delete on its own, except when it halves a batch to find the action that spoils it. What has to be sent
again comes back as a decision, and the engine brings the job here another time. A job whose earlier request may have
done its work (`in_doubt`) is looked at before anything is sent.
"""

from collections.abc import Sequence
from dataclasses import replace

from worker.onoffice.codes import Verdict, rule_for
from worker.onoffice.errors import OnOfficeError
from worker.onoffice.protocol import Action, delete_relation
from worker.onoffice.replies import Missing, Reply
from worker.unlinking.decisions import Decision, End, Look, Ticket
from worker.unlinking.failed_requests import after_failure, after_unread, blames_account
from worker.unlinking.giving_up import given_up
from worker.unlinking.judging import Policy, Sight, judge_answer, judge_rule, settle
from worker.unlinking.keeping import Keeper, after_unsaved, unsaved_present
from worker.unlinking.viewer import Api, Sightings, View, Viewer

Decisions = dict[str, Decision]


class Unlinker:
    """Unlinks batches of one account."""

    def __init__(self, api: Api, sightings: Sightings, policy: Policy, keeper: Keeper | None = None) -> None:
        """`keeper`: saves what would be lost with a link before it is deleted; None if nobody asked for it."""
        self._api = api
        self._keeper = keeper
        self._policy = policy
        self._viewer = Viewer(api, sightings)

    async def run(self, tickets: Sequence[Ticket]) -> Decisions:
        """One decision per job id. Raises nothing of onOffice's; what the stores raise passes through."""
        doubtful = [ticket for ticket in tickets if ticket.in_doubt or ticket.question]
        fresh = [ticket for ticket in tickets if not (ticket.in_doubt or ticket.question)]
        views = await self._viewer.look(ticket.job.relation for ticket in doubtful)
        there = [ticket for ticket in doubtful if views[ticket.job.relation] is Sight.PRESENT]
        decisions = {
            ticket.job.id: self._after_look(ticket, _open_question(ticket), views[ticket.job.relation])
            for ticket in doubtful
            if ticket not in there
        }
        decisions |= {ticket.job.id: End(given_up(ticket, ticket.give_up)) for ticket in there if ticket.give_up}
        # still in doubt: an earlier request may yet be carried out, long after we gave it up
        fresh += [replace(ticket, question=False) for ticket in there if not ticket.give_up]
        if self._keeper is not None:
            fresh, unsaved = await self._save_first(self._keeper, fresh)
            decisions |= unsaved
        return decisions | await self._delete_and_look(fresh)

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
                decisions[ticket.job.id] = unsaved_present(ticket)
            else:
                look = Look(in_doubt=ticket.in_doubt, why="its appointment shows no such participant")
                decisions[ticket.job.id] = self._after_look(ticket, look, views[ticket.job.relation])
        return going, decisions

    async def _delete_and_look(self, tickets: Sequence[Ticket]) -> Decisions:
        answered = await self._delete(tickets)
        by_id = {ticket.job.id: ticket for ticket in tickets}
        looks = {job_id: found for job_id, found in answered.items() if isinstance(found, Look)}
        decisions: Decisions = {job_id: found for job_id, found in answered.items() if not isinstance(found, Look)}
        views = await self._viewer.look(by_id[job_id].job.relation for job_id in looks)
        for job_id, look in looks.items():
            ticket = by_id[job_id]
            decisions[job_id] = self._after_look(ticket, look, views[ticket.job.relation])
        return decisions

    def _after_look(self, ticket: Ticket, look: Look, view: View) -> Decision:
        if isinstance(view, Sight):
            return settle(ticket, look, view, self._policy)
        return after_unread(ticket, look, view, self._policy)

    async def _delete(self, tickets: Sequence[Ticket]) -> dict[str, Decision | Look]:
        if not tickets:
            return {}
        try:
            reply = await self._api.call([_delete_action(ticket) for ticket in tickets])
        except OnOfficeError as error:
            return {ticket.job.id: after_failure(ticket, error) for ticket in tickets}
        if reply.errorcode != 0 and all(isinstance(answer, Missing) for answer in reply.answers):
            return await self._request_failed(tickets, reply)
        return {
            ticket.job.id: judge_answer(ticket, answer, self._policy)
            for ticket, answer in zip(tickets, reply.answers, strict=True)
        }

    async def _request_failed(self, tickets: Sequence[Ticket], reply: Reply) -> dict[str, Decision | Look]:
        """An error answer to the whole request: the account's fault, or one action's; halve until it is alone."""
        rule = rule_for(reply.errorcode)
        if len(tickets) == 1 or blames_account(rule):
            return {ticket.job.id: judge_rule(ticket, rule, reply.message, self._policy) for ticket in tickets}
        if rule.verdict is Verdict.AGAIN:  # the server may have worked on it before it failed
            tickets = [replace(ticket, in_doubt=True) for ticket in tickets]
        middle = len(tickets) // 2
        return await self._delete(tickets[:middle]) | await self._delete(tickets[middle:])


def _open_question(ticket: Ticket) -> Look:
    return Look(in_doubt=ticket.in_doubt, why="an earlier request was never answered")


def _delete_action(ticket: Ticket) -> Action:
    relation = ticket.job.relation
    return delete_relation(ticket.job.id, relation.urn, relation.parentid, relation.childid)
