"""From answers to decisions: pure rules, held for every code and every sight."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.onoffice.codes import CODES, rule_for
from worker.onoffice.replies import Answer, Missing
from worker.unlinking.attribution import By, Known
from worker.unlinking.decisions import Again, Ask, End, Look, Park, Snooze, Ticket
from worker.unlinking.errors import REASONS
from worker.unlinking.job import Job, Relation
from worker.unlinking.judging import Policy, Sight, judge_answer, judge_failed_read, settle
from worker.unlinking.outcome import Evidence, Kind
from worker.unlinking.reading import plan_reads

TICKET = Ticket(job=Job(id="j", relation=Relation("calendar:address", 1, 2)))
NOW = 1000.0
LOST = Known().after_loss(NOW)
OK = Answer(0, "OK", (), "success")
tickets = st.builds(
    lambda attempts, known, tries: replace(TICKET, attempts=attempts, known=known, tries=tries),
    st.integers(0, 6),
    st.sampled_from([Known(), Known(seen=True), Known().after_loss(NOW - 1), Known().after_error()]),
    st.dictionaries(st.sampled_from(sorted(CODES)), st.integers(0, 3), max_size=3),
)
policies = st.builds(Policy, st.integers(1, 6), st.booleans(), st.booleans())
answers = st.builds(
    lambda code, success: Answer(code, "text", (), success),
    st.sampled_from([0, -1, 9999, *CODES]),
    st.sampled_from([None, "success", "error"]),
) | st.builds(Missing, st.just("no result"))


def test_success_is_unlinked() -> None:
    decision = judge_answer(TICKET, OK, Policy(), NOW)
    assert isinstance(decision, End)
    assert (decision.outcome.kind, decision.outcome.evidence) == (Kind.UNLINKED, Evidence.ANSWERED)


def test_verify_always_looks_after_success_too() -> None:
    assert judge_answer(TICKET, OK, Policy(verify_always=True), NOW) == Look(
        known=Known(success_at=NOW), why="answered success; VERIFY=always looks"
    )


@given(tickets, answers, policies)
def test_only_a_clear_success_ends_unlinked_without_a_look(
    ticket: Ticket, answer: Answer | Missing, policy: Policy
) -> None:
    decision = judge_answer(ticket, answer, policy, NOW)
    if isinstance(decision, End) and decision.outcome.succeeded:
        assert isinstance(answer, Answer)
        assert answer.errorcode == 0
        assert answer.success in (None, "success")
        assert not policy.verify_always
    if isinstance(decision, End) and decision.outcome.kind is Kind.DEAD:
        assert decision.outcome.reason in REASONS
    if isinstance(answer, Missing):
        assert isinstance(decision, Look)
        assert decision.known.in_doubt


@given(tickets, answers, policies)
def test_attempts_are_bounded(ticket: Ticket, answer: Answer | Missing, policy: Policy) -> None:
    decision = judge_answer(ticket, answer, policy, NOW)
    if isinstance(decision, Again):
        assert ticket.attempts + 1 < policy.max_attempts


@given(tickets, answers, policies, st.sampled_from(Sight))
def test_after_a_look_absence_is_success_and_presence_never_is(
    ticket: Ticket, answer: Answer | Missing, policy: Policy, sight: Sight
) -> None:
    look = judge_answer(ticket, answer, policy, NOW)
    if not isinstance(look, Look):
        return
    decision = settle(ticket, look, sight, policy, NOW)
    if sight is Sight.PRESENT:
        assert not (isinstance(decision, End) and decision.outcome.succeeded)
    elif sight is Sight.NOT_SEEN and policy.require_proof:
        assert isinstance(decision, End)
        assert decision.outcome.reason == ("Unverified" if look.known.success_at is None else None)
    elif sight is Sight.NOT_SEEN and look.reason == "MissingRight":
        assert isinstance(decision, End)
        assert decision.outcome.reason == "MissingRight", "who lacks rights may not see it either"
    else:
        assert isinstance(decision, End)
        assert decision.outcome.succeeded
        assert decision.outcome.proven is (sight is Sight.ABSENT)
        assert decision.outcome.kind is (Kind.UNLINKED if look.known.counts_as_unlinked else Kind.ALREADY_ABSENT)
        assert decision.outcome.by is look.known.by


@given(tickets, answers, policies, st.sampled_from(Sight))
def test_doubt_never_goes_away(ticket: Ticket, answer: Answer | Missing, policy: Policy, sight: Sight) -> None:
    """A request that was given up on may be carried out late, whatever was seen or answered meanwhile."""
    decision = judge_answer(replace(ticket, known=LOST), answer, policy, NOW)
    if isinstance(decision, Look):
        assert decision.known.in_doubt
        decision = settle(ticket, decision, sight, policy, NOW)
    if isinstance(decision, End):
        assert decision.outcome.by is not By.NOT_US
    else:
        assert decision.known.in_doubt


@given(tickets, answers, policies, st.sampled_from([Known(), LOST, Known().after_success(NOW)]))
def test_a_failed_read_ends_in_success_only_if_that_was_clearly_answered(
    ticket: Ticket, answer: Answer | Missing, policy: Policy, known: Known
) -> None:
    if isinstance(answer, Answer) and answer.errorcode == 0:
        return
    decision = judge_failed_read(ticket, Look(known=known), answer, policy)
    assert isinstance(decision, Ask | Park | End)
    if isinstance(decision, End):
        assert decision.outcome.succeeded == (known.success_at is not None)
        assert decision.outcome.by is known.by
        assert decision.outcome.looked is None
    else:
        assert decision.known == known


@pytest.mark.parametrize(
    ("code", "sight", "kind", "reason"),
    [
        (168, Sight.PRESENT, Kind.DEAD, "NotDeletable"),
        (168, Sight.ABSENT, Kind.ALREADY_ABSENT, None),
        (80, Sight.PRESENT, Kind.DEAD, "UnknownRecord"),
        (80, Sight.NOT_SEEN, Kind.ALREADY_ABSENT, None),
        (132, Sight.PRESENT, Kind.DEAD, "UnknownRelationType"),
    ],
)
def test_ambiguous_codes_are_settled_by_looking(code: int, sight: Sight, kind: Kind, reason: str | None) -> None:
    ticket = replace(TICKET, tries={code: 1})
    look = judge_answer(ticket, Answer(code, "text", (), None), Policy(), NOW)
    assert isinstance(look, Look)
    decision = settle(ticket, look, sight, Policy(), NOW)
    assert isinstance(decision, End)
    assert (decision.outcome.kind, decision.outcome.reason) == (kind, reason)


@pytest.mark.parametrize("code", [80, 117, 121, 132, 169, 235, 251, 292, 293])
def test_a_link_that_is_seen_though_a_code_denies_it_is_tried_once_more(code: int) -> None:
    """It may have been made after the answer, by an undo for one."""
    look = judge_answer(TICKET, Answer(code, "text", (), None), Policy(), NOW)
    assert isinstance(look, Look)
    assert isinstance(settle(TICKET, look, Sight.PRESENT, Policy(), NOW), Again)
    last = settle(TICKET, look, Sight.PRESENT, Policy(max_attempts=1), NOW)
    assert isinstance(last, End)
    assert last.outcome.reason == rule_for(code).reason


def test_refused_credentials_park_and_slowing_down_costs_nothing() -> None:
    assert isinstance(judge_answer(TICKET, Answer(41, "Customer unknown!", (), None), Policy(), NOW), Park)
    second = replace(TICKET, tries={137: 1})
    assert isinstance(judge_answer(TICKET, Answer(137, "HMAC", (), None), Policy(), NOW), Again)
    assert isinstance(judge_answer(second, Answer(137, "HMAC", (), None), Policy(), NOW), Park)
    assert not isinstance(judge_answer(TICKET, Answer(1, "x", (), None), Policy(), NOW), Snooze)


relations = st.builds(
    Relation,
    st.sampled_from(["calendar:address", "estate:address:owner"]),
    st.integers(1, 30),
    st.integers(1, 30),
)


@given(st.sets(relations, max_size=60), st.integers(1, 7))
def test_reads_cover_every_link_once_within_the_bound(links: set[Relation], max_ids: int) -> None:
    reads = plan_reads(links, max_ids)
    covered = [link for read in reads for link in read.relations]
    assert sorted(covered) == sorted(links)
    for read in reads:
        assert 1 <= read.size <= max_ids
        assert not (read.parentids and read.childids)
        assert {link.relationtype for link in read.relations} == {read.relationtype}
        if read.size > 1:
            halves = read.halves()
            assert len(halves) == 2
            assert sorted(link for half in halves for link in half.relations) == sorted(read.relations)


@given(st.sets(relations, min_size=1, max_size=40), st.sets(relations, max_size=40))
def test_reads_tell_present_from_absent(asked: set[Relation], there: set[Relation]) -> None:
    for read in plan_reads(asked):
        mine = {link for link in there if link.relationtype == read.relationtype}
        related = {
            queried: frozenset(link.childid for link in mine if link.parentid == queried) for queried in read.parentids
        } | {queried: frozenset(link.parentid for link in mine if link.childid == queried) for queried in read.childids}
        assert read.present(related) == set(read.relations) & there
