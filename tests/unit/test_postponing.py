"""What a job that waits must know: a doubt is never dropped, whatever an attempt came to."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.postponing import next_ticket
from worker.stores.records import Status
from worker.unlinking.attribution import NOTHING, Known
from worker.unlinking.decisions import Again, Ask, Decision, End, Park, Snooze, Ticket
from worker.unlinking.job import Job, Relation
from worker.unlinking.outcome import EXPIRED

TICKET = Ticket(job=Job(id="j", relation=Relation("calendar:address", 1, 2)))
moments = st.none() | st.floats(1, 9)
knowns = st.just(NOTHING) | st.builds(
    Known,
    seen=st.booleans(),
    refused=st.booleans(),
    lost_at=moments,
    lost_first=st.booleans(),
    success_at=moments,
    contradicted=st.booleans(),
    forgotten=st.booleans(),
)
tickets = st.builds(
    lambda attempts, known, question: replace(TICKET, attempts=attempts, known=known, question=question),
    st.integers(0, 6),
    knowns,
    st.booleans(),
)
codes = st.none() | st.integers(1, 300)
decisions: st.SearchStrategy[Decision] = st.one_of(
    st.builds(Again, why=st.just("w"), code=codes, known=knowns),
    st.builds(Snooze, seconds=st.floats(0, 10), why=st.just("w"), known=knowns),
    st.builds(Ask, why=st.just("w"), known=knowns, spend=st.booleans(), seconds=st.none() | st.floats(0, 10)),
    st.builds(
        Park,
        why=st.just("w"),
        code=codes,
        outage=st.booleans(),
        new=st.booleans(),
        known=knowns,
        question=st.booleans(),
    ),
)


@given(tickets, decisions, st.integers())
def test_what_is_known_is_kept(ticket: Ticket, decision: Decision, seed: int) -> None:
    assert not isinstance(decision, End)
    after, status, seconds = next_ticket(ticket, decision, Random(seed))
    if decision.known == NOTHING:
        assert after.known == ticket.known, "who halts an account knows nothing of its jobs"
    for name in ("lost_at", "success_at"):
        told, before = getattr(decision.known, name), getattr(ticket.known, name)
        assert getattr(after.known, name) == (before if told is None else told)
    assert after.known.lost_first == (ticket.known.lost_first or decision.known.lost_first)
    assert (after.job, seconds >= 0, status is Status.ENDED) == (ticket.job, True, False)
    match decision:
        case Again(code=code):
            assert (status, after.attempts, after.question) == (Status.DELAYED, ticket.attempts + 1, False)
            assert after.tries == ({} if code is None else {code: 1})
        case Snooze():
            assert (status, after.attempts, after.question) == (Status.DELAYED, ticket.attempts, ticket.question)
        case Ask(spend=spend):
            assert (status, after.attempts, after.question) == (Status.UNVERIFIED, ticket.attempts + spend, True)
        case Park(question=question):
            assert (status, after.attempts) == (Status.PARKED, ticket.attempts)
            assert after.question == (ticket.question or question), "whoever parks it may not know of its question"


def test_a_job_that_has_ended_does_not_wait() -> None:
    with pytest.raises(TypeError):
        next_ticket(TICKET, End(EXPIRED), Random(0))
