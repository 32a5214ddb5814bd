"""The restorer: a batch of jobs of one account whose links shall be there again -> look -> create what is not there ->
judge -> look again where the answer was unclear -> one decision per job.

A create does not name an end state as a delete does, so each request that creates is preceded by a look at exactly the
links in it, also when a batch is halved to find the action that spoils it. Jobs for the same link create it once.

A create that may have been done is sent again only if the link is proven absent, which takes an account that was seen
to see such links. So the first link of a type that was never seen goes ahead as a scout, and is looked at: an unclear
answer to a whole batch would leave all of it in doubts that nobody can settle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from worker.onoffice.appointments import relationinfo
from worker.onoffice.create_codes import create_rule_for
from worker.onoffice.errors import OnOfficeError
from worker.onoffice.protocol import Action, create_relation
from worker.onoffice.replies import Missing, Reply
from worker.unlinking.decisions import Decision, End, Look, Snooze, Ticket
from worker.unlinking.failed_requests import after_failure, after_unread, blames_account
from worker.unlinking.job import Relation
from worker.unlinking.judging import Policy, Sight
from worker.unlinking.judging_creates import MADE, after_create, before_create, judge_create_answer, judge_create_rule
from worker.unlinking.unlinker import Answered, Clock, Decisions
from worker.unlinking.viewer import Api, Sightings, Unread, View, Viewer

TWIN = "another job of the same batch creates this link"
WITNESS = "answered success, but the link is not there"
AFTER_SCOUT = Snooze(seconds=1.0, why="the first link of its type is unclear; its own create waits for that one")


class Restorer:
    """Restores batches of one account."""

    def __init__(self, api: Api, sightings: Sightings, policy: Policy, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self.answered: Answered = {}  # as the unlinker has it
        self._sightings = sightings
        self._policy = policy
        self._viewer = Viewer(api, sightings)

    async def run(self, tickets: Sequence[Ticket]) -> Decisions:
        """One decision per job id. Raises nothing of onOffice's; what the stores raise passes through."""
        views = await self._viewer.look(ticket.job.relation for ticket in tickets)
        before = {ticket.job.id: self._before(ticket, views[ticket.job.relation]) for ticket in tickets}
        decisions = {job_id: found for job_id, found in before.items() if found is not None}
        missing = [replace(ticket, question=False) for ticket in tickets if before[ticket.job.id] is None]
        scouts: dict[str, Relation] = {}
        for ticket in missing:
            if views[ticket.job.relation] is Sight.NOT_SEEN:
                scouts.setdefault(ticket.job.relation.relationtype, ticket.job.relation)
        first = [each for each in missing if _goes_first(each.job.relation, scouts)]
        decisions |= await self._create_and_look(first)
        unclear = {each.job.relation for each in first if not isinstance(decisions[each.job.id], End)}
        rest = [each for each in missing if each.job.id not in decisions]
        waiting = [each for each in rest if scouts[each.job.relation.relationtype] in unclear]
        decisions |= {each.job.id: replace(AFTER_SCOUT, known=each.known) for each in waiting}
        return decisions | await self._create_and_look([each for each in rest if each.job.id not in decisions])

    def _before(self, ticket: Ticket, view: View) -> Decision | None:
        if isinstance(view, Unread):
            look = Look(known=ticket.known, why="it is looked for before it is created")
            return after_unread(ticket, look, view, self._policy)
        return before_create(ticket, view, self._policy, self._clock())

    async def _create_and_look(self, tickets: Sequence[Ticket]) -> Decisions:
        by_id = {ticket.job.id: ticket for ticket in tickets}
        firsts = set({ticket.job.relation: ticket.job.id for ticket in reversed(tickets)}.values())
        twins = [ticket for ticket in tickets if ticket.job.id not in firsts]
        answered = await self._create([ticket for ticket in tickets if ticket.job.id in firsts])
        answered |= {ticket.job.id: Look(known=ticket.known, why=TWIN) for ticket in twins}
        looks = {job_id: found for job_id, found in answered.items() if isinstance(found, Look)}
        witnesses = await self._witnesses([by_id[job_id] for job_id, found in answered.items() if found == End(MADE)])
        views = await self._viewer.look(by_id[job_id].job.relation for job_id in [*looks, *witnesses])
        for job_id in witnesses:
            if views[by_id[job_id].job.relation] is Sight.ABSENT:
                known = by_id[job_id].known.after_loss(self._clock())
                looks[job_id] = Look(known=known, why=WITNESS)
        decisions = {job_id: found for job_id, found in answered.items() if not isinstance(found, Look)}
        for job_id, look in looks.items():
            decisions[job_id] = self._after(by_id[job_id], look, views[by_id[job_id].job.relation])
        return decisions

    def _after(self, ticket: Ticket, look: Look, view: View) -> Decision:
        if isinstance(view, Unread):
            return after_unread(ticket, look, view, self._policy)
        return after_create(ticket, look, view, self._policy, self._clock())

    async def _witnesses(self, made: Sequence[Ticket]) -> list[str]:
        """Of each type that this account was never seen to see, one job whose link was just created."""
        types = {ticket.job.relation.relationtype: ticket.job.id for ticket in made}
        seen = await self._sightings.seen(types) if types else frozenset()
        return [job_id for relationtype, job_id in types.items() if relationtype not in seen]

    async def _create(self, tickets: Sequence[Ticket]) -> Answered:
        if not tickets:
            return {}
        try:
            reply = await self._api.call([_create_action(ticket) for ticket in tickets])
        except OnOfficeError as error:
            now = self._clock()
            return {ticket.job.id: after_failure(ticket, error, now) for ticket in tickets}
        if reply.errorcode != 0 and all(isinstance(answer, Missing) for answer in reply.answers):
            return await self._request_failed(tickets, reply)
        now = self._clock()
        return {
            ticket.job.id: judge_create_answer(ticket, answer, self._policy, now)
            for ticket, answer in zip(tickets, reply.answers, strict=True)
        }

    async def _request_failed(self, tickets: Sequence[Ticket], reply: Reply) -> Answered:
        """An error answer to the whole request: the account's fault, or one action's; halve until it is alone."""
        rule, now = create_rule_for(reply.errorcode), self._clock()
        if len(tickets) == 1 or blames_account(rule):
            return {
                ticket.job.id: judge_create_rule(ticket, rule, reply.message, self._policy, now) for ticket in tickets
            }
        # the server may have worked on some of it before it failed
        tickets = [replace(ticket, known=ticket.known.after_loss(now)) for ticket in tickets]
        middle = len(tickets) // 2
        return {**await self.run(tickets[:middle]), **await self.run(tickets[middle:])}


def _goes_first(relation: Relation, scouts: Mapping[str, Relation]) -> bool:
    return scouts.get(relation.relationtype, relation) == relation


def _create_action(ticket: Ticket) -> Action:
    relation, confirmation = ticket.job.relation, ticket.job.confirmation
    info = None if confirmation is None else relationinfo(confirmation)
    return create_relation(ticket.job.id, relation.urn, relation.parentid, relation.childid, info)
