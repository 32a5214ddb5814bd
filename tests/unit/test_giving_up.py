"""Jobs for which nothing more is to be sent, since they are cancelled or too late: what they are told is true."""

import asyncio
from dataclasses import replace

import pytest

from tests.boxed import CLOCK, Boxed, SeenTypes, restoring
from worker.unlinking.attribution import NOTHING, Known
from worker.unlinking.decisions import End, Ticket
from worker.unlinking.job import Job, Relation
from worker.unlinking.judging import Policy
from worker.unlinking.outcome import CANCELLED, EXPIRED, Kind, Outcome
from worker.unlinking.restorer import Restorer
from worker.unlinking.unlinker import Unlinker

LINK = ("calendar:address", 671, 153)
LOST = Known().after_loss(-10_000.0)  # long ago, so that reads do not lag any more
TICKET = Ticket(job=Job(id="j", relation=Relation(*LINK)))


def end(ticket: Ticket, *, there: bool) -> Outcome:
    box = Boxed(links=[LINK, ("calendar:address", 671, 154)] if there else [("calendar:address", 671, 154)])
    decision = asyncio.run(Unlinker(box, SeenTypes(), Policy(), CLOCK).run([ticket]))["j"]
    assert isinstance(decision, End)
    assert {action.resourcetype for call in box.calls for action in call} == {"idsfromrelation"}, "nothing is deleted"
    return decision.outcome


@pytest.mark.parametrize("give_up", [CANCELLED, EXPIRED])
def test_a_doubtful_job_whose_link_is_gone_is_never_called_cancelled(give_up: Outcome) -> None:
    ticket = replace(TICKET, known=LOST, give_up=give_up)
    assert end(ticket, there=False).kind is Kind.UNLINKED


def test_what_is_cancelled_in_doubt_is_never_called_cancelled() -> None:
    """The link is there, but the request that was never answered may be carried out yet."""
    found = end(replace(TICKET, known=LOST, give_up=CANCELLED), there=True)
    assert (found.kind, found.reason) == (Kind.DEAD, "Unverified")
    assert "never answered" in found.message


@pytest.mark.parametrize("ticket", [replace(TICKET, question=True, give_up=CANCELLED)])
def test_a_question_without_a_doubt_is_answered_and_the_job_cancelled(ticket: Ticket) -> None:
    """Its request was answered with an error: nothing can be carried out any more."""
    assert end(ticket, there=True).kind is Kind.CANCELLED
    assert end(replace(ticket, give_up=EXPIRED), there=True).kind is Kind.EXPIRED


def test_a_cancelled_create_in_doubt_may_be_carried_out_late_too() -> None:
    (ticket,) = restoring([LINK])
    box = Boxed(links=[("calendar:address", 671, 154)])
    restorer = Restorer(box, SeenTypes(["calendar:address"]), Policy(), CLOCK)
    for in_doubt, kind in ((True, Kind.DEAD), (False, Kind.CANCELLED)):
        asked = replace(ticket, known=LOST if in_doubt else NOTHING, question=True, give_up=CANCELLED)
        decision = asyncio.run(restorer.run([asked]))[ticket.job.id]
        assert isinstance(decision, End)
        assert decision.outcome.kind is kind
