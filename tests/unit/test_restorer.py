"""Restoring against the sandbox: what is there is left alone, what is not is made once, and nothing is guessed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import SandboxOptions
from sandbox.faults import Rule
from sandbox.state import Link
from tests.boxed import CLOCK, Boxed, SeenTypes, restoring, to_the_end
from worker.onoffice.protocol import Action
from worker.onoffice.replies import Answer, Reply
from worker.unlinking.attribution import Known
from worker.unlinking.decisions import End, Look, Snooze, Ticket
from worker.unlinking.errors import REASONS
from worker.unlinking.judging import Policy, Sight
from worker.unlinking.judging_creates import after_create, judge_create_answer
from worker.unlinking.outcome import EXPIRED, Evidence, Kind, Looked, Outcome
from worker.unlinking.restorer import AFTER_SCOUT, Restorer

OWNERS: list[Link] = [("estate:address:owner", 1, child) for child in range(1, 8)]
PARTICIPANT: Link = ("calendar:address", 671, 153)
DOUBT = Known().after_loss(1.0)
SEEN = ("estate:address:owner", "calendar:address")


def restore(
    box: Boxed, tickets: list[Ticket], *, policy: Policy | None = None, seen: tuple[str, ...] = SEEN
) -> dict[str, Outcome]:
    return to_the_end(Restorer(box, SeenTypes(seen), policy or Policy(), CLOCK).run, tickets)


def kinds(ended: dict[str, Outcome]) -> list[str]:
    return [str(ended[f"job-{number}"].kind) for number in range(len(ended))]


def creates(box: Boxed) -> list[tuple[object, object]]:
    """Every create that was sent, whatever became of it."""
    actions = [action for call in box.calls for action in call if action.actionid.endswith(":create")]
    return [(action.parameters["parentid"], action.parameters["childid"]) for action in actions]


def test_what_is_there_is_left_alone_and_the_rest_is_made() -> None:
    box = Boxed(links=OWNERS[:2])
    ended = restore(box, restoring(OWNERS[:4]))
    assert kinds(ended) == ["already_present", "already_present", "restored", "restored"]
    assert creates(box) == [(1, 3), (1, 4)]
    assert len(box.calls) == 2, "one look, one create"
    assert set(OWNERS[:4]) == box.state.links


def test_restoring_twice_changes_nothing() -> None:
    box = Boxed()
    restore(box, restoring(OWNERS))
    sent = len(creates(box))
    assert set(kinds(restore(box, restoring(OWNERS)))) == {"already_present"}
    assert len(creates(box)) == sent == len(OWNERS)


def test_the_confirmation_status_comes_back() -> None:
    box = Boxed()
    restore(box, restoring([PARTICIPANT], confirmation="confirmed"))
    assert box.state.confirmations == {PARTICIPANT: "confirmed"}


def test_jobs_for_the_same_link_create_it_once() -> None:
    box = Boxed()
    ended = restore(box, restoring([OWNERS[0]] * 3))
    assert kinds(ended) == ["restored", "already_present", "already_present"]
    assert len(creates(box)) == 1


@pytest.mark.parametrize("seen", [(), SEEN])
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("reset_after", {}),
        ("drop_results", {"count": 3}),
        ("swap_results", {}),
        ("foreign_identifier", {}),
        ("empty_body", {}),
        ("truncated_json", {}),
        ("wrong_shape", {}),
        ("html_200", {}),
        ("reset_before", {}),
        ("request_code", {"code": 1}),
        ("request_code", {"code": 1, "done": True}),
        ("request_code", {"code": 80, "done": True}),
        ("request_code", {"code": 97}),
        ("action_code", {"code": 1, "done": True}),
        ("action_code", {"code": 1}),
        ("action_code", {"code": 56, "done": True}),
        ("lie_error", {}),
    ],
)
def test_an_unclear_answer_is_looked_after_and_nothing_is_made_twice(
    kind: str, params: dict[str, Any], seen: tuple[str, ...]
) -> None:
    box = Boxed(faults=[Rule(kind, 1, match={"action": "create"}, params=params)])
    ended = restore(box, restoring(OWNERS), seen=seen)
    assert not box.state.created_existing
    for number, link in enumerate(OWNERS):
        outcome = ended[f"job-{number}"]
        assert outcome.succeeded == (link in box.state.links), (link, outcome)
        assert outcome.kind in (Kind.RESTORED, Kind.DEAD), "nothing of it was there before"
        if not outcome.succeeded:  # only of a scout, whose create nobody can look after
            assert (seen, outcome.reason) == ((), "Unverified")
    assert set(OWNERS[1:]) <= box.state.links


def test_the_first_link_of_a_type_nobody_has_seen_goes_ahead_alone() -> None:
    box = Boxed()
    assert set(kinds(restore(box, restoring(OWNERS), seen=()))) == {"restored"}
    sizes = [len(call) for call in box.calls]
    assert sizes == [1, 1, 1, len(OWNERS) - 1], "look, scout, look at the scout, the others"


def test_while_the_scout_is_unclear_the_others_wait_without_cost() -> None:
    box = Boxed(faults=[Rule("reset_before", None, match={"action": "create"})])
    decisions = {}

    async def once(tickets: Any) -> Any:
        decisions.update(await Restorer(box, SeenTypes(), Policy(), CLOCK).run(tickets))
        return decisions

    with pytest.raises(AssertionError, match="for ever"):
        to_the_end(once, restoring(OWNERS), rounds=1)
    assert [decisions[f"job-{n}"] for n in range(1, 7)] == [AFTER_SCOUT] * 6
    assert isinstance(AFTER_SCOUT, Snooze)
    assert len(creates(box)) == 1


def test_a_link_that_nobody_can_see_is_made_once_and_never_again() -> None:
    box = Boxed(faults=[Rule("reset_after", 1, match={"action": "create", "childid": 3})])
    box.state.hidden_types.add("estate:address:owner")
    ended = restore(box, restoring(OWNERS[:4]), seen=())
    # the answer about 3 was lost, and with it what came of its whole request; nobody can look
    assert kinds(ended) == ["restored", "dead", "dead", "dead"]
    assert {outcome.reason for outcome in ended.values() if not outcome.succeeded} == {"Unverified"}
    assert sorted(creates(box)) == [(1, 1), (1, 2), (1, 3), (1, 4)]


def test_with_require_proof_nothing_is_made_whose_absence_nobody_can_vouch_for() -> None:
    box = Boxed()
    ended = restore(box, restoring(OWNERS[:2]), policy=Policy(require_proof=True), seen=())
    assert {outcome.reason for outcome in ended.values()} == {"Unverified"}
    assert creates(box) == []
    assert set(kinds(restore(box, restoring(OWNERS[:2]), policy=Policy(require_proof=True)))) == {"restored"}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (78, "NotRestorable"),
        (173, "NotRestorable"),
        (178, "NotRestorable"),
        (179, "NotRestorable"),
        (219, "BadRequest"),
        (80, "UnknownRecord"),
        (292, "UnknownRecord"),
        (293, "UnknownRecord"),
        (132, "UnknownRelationType"),
        (261, "MissingRight"),
        (216, "NotSupported"),
        (56, "UnknownCode"),
        (168, "UnknownCode"),
        (1, "Exhausted"),
    ],
)
def test_what_is_refused_names_its_reason(code: int, reason: str) -> None:
    box = Boxed(faults=[Rule("action_code", None, match={"action": "create"}, params={"code": code})])
    ended = restore(box, restoring(OWNERS[:1]))
    assert (ended["job-0"].kind, ended["job-0"].reason, ended["job-0"].code) == (Kind.DEAD, reason, code)
    happened, advice = REASONS[reason].explain(restore=True)
    assert "delet" not in happened + advice.replace("was deleted", "")


def test_a_record_that_is_gone_kills_its_own_job_only() -> None:
    box = Boxed()
    box.state.unknown_records = {3}
    ended = restore(box, restoring(OWNERS))
    assert ended["job-2"].reason == "UnknownRecord"
    assert box.state.links == {*OWNERS} - {OWNERS[2]}


@pytest.mark.parametrize("code", [0, 78, 168, 173, 4711])
def test_whatever_the_create_of_an_existing_link_answers_it_is_never_tried(code: int) -> None:
    box = Boxed(links=OWNERS[:3], options=SandboxOptions(create_existing_code=code))
    assert kinds(restore(box, restoring(OWNERS[:5]))) == ["already_present"] * 3 + ["restored"] * 2
    assert not box.state.created_existing


def test_a_lie_is_noticed_by_looking_always() -> None:
    lie = Rule("lie_ok", 1, match={"action": "create"})
    trusting = Boxed(faults=[lie])
    assert set(kinds(restore(trusting, restoring(OWNERS)))) == {"restored"}
    assert not trusting.state.links
    for policy, seen in ((Policy(verify_always=True), SEEN), (Policy(verify_always=True), ())):
        box = Boxed(faults=[replace(lie, times=1)])
        ended = restore(box, restoring(OWNERS), policy=policy, seen=seen)
        assert {link for n, link in enumerate(OWNERS) if ended[f"job-{n}"].succeeded} == box.state.links


def test_what_is_provably_not_there_is_not_called_restored() -> None:
    """Somebody else's link of the same parent shows up meanwhile: now the account sees such links, and not this one."""

    class Busy(Boxed):
        async def call(self, actions: Sequence[Action]) -> Reply:
            if actions[0].actionid.endswith(":create"):
                self.state.add([("estate:address:owner", 1, 99)])
            return await super().call(actions)

    box = Busy(faults=[Rule("lie_ok", 1, match={"action": "create"})])
    assert kinds(restore(box, restoring(OWNERS[:1]), seen=())) == ["restored"]
    assert OWNERS[0] in box.state.links
    assert len(creates(box)) == 2


@pytest.mark.parametrize("code", [78, 80, 97, 132, 173])
def test_an_answer_that_does_not_clearly_say_nothing_was_done_leaves_a_doubt(code: int) -> None:
    (ticket,) = restoring(OWNERS[:1])
    look = judge_create_answer(ticket, Answer(code, "text", (), None), Policy(), 0.0)
    assert isinstance(look, Look)
    assert look.known.in_doubt
    assert after_create(ticket, look, Sight.PRESENT, Policy(), 5.0) == End(
        Outcome(kind=Kind.RESTORED, evidence=Evidence.READ_BACK, looked=Looked(5.0, "present"))
    )


def test_a_refusal_after_a_create_that_may_have_been_done_is_looked_after() -> None:
    (ticket,) = restoring(OWNERS[:1])
    refusal = Answer(261, "Missing write right", (), None)
    assert isinstance(judge_create_answer(ticket, refusal, Policy(), 5.0), End)
    look = judge_create_answer(replace(ticket, known=DOUBT), refusal, Policy(), 5.0)
    assert look == Look(known=DOUBT.after_loss(5.0), reason="MissingRight", code=261, why="Missing write right")


def test_after_the_last_attempt_an_open_question_is_not_called_exhausted() -> None:
    (ticket,) = restoring(OWNERS[:1])
    look = Look(known=DOUBT, why="no answer")
    unseen, absent = (after_create(ticket, look, sight, Policy(1), 5.0) for sight in (Sight.NOT_SEEN, Sight.ABSENT))
    assert isinstance(unseen, End)
    assert isinstance(absent, End)
    assert (unseen.outcome.reason, absent.outcome.reason) == ("Unverified", "Exhausted")


def test_a_batch_that_one_action_spoils_is_halved_and_looked_at_before_each_half() -> None:
    box = Boxed(faults=[Rule("request_code", None, match={"action": "create", "childid": 3}, params={"code": 80})])
    ended = restore(box, restoring(OWNERS))
    assert ended["job-2"].reason == "UnknownRecord"
    assert box.state.links == {*OWNERS} - {OWNERS[2]}
    assert not box.state.created_existing


def test_too_late_is_answered_by_a_look_and_nothing_is_made() -> None:
    box = Boxed(links=OWNERS[:1])
    tickets = [replace(each, known=DOUBT, give_up=EXPIRED) for each in restoring(OWNERS[:2])]
    assert kinds(restore(box, tickets)) == ["restored", "expired"]
    assert kinds(restore(Boxed(), tickets, seen=())) == ["dead", "dead"], "a create of theirs may have been done"
    assert creates(box) == []


links = st.lists(
    st.tuples(
        st.sampled_from(["calendar:address", "estate:address:owner", "estate:estateUnit"]),
        st.integers(1, 4),
        st.integers(1, 4),
    ),
    max_size=14,
)
KINDS = [
    "reset_after", "reset_before", "drop_results", "swap_results", "foreign_identifier", "empty_body", "wrong_shape",
    "truncated_json", "html_200", "bad_gateway_502", "throttle_429", "unavailable_503", "request_code", "action_code",
]  # fmt: skip
rules = st.builds(
    Rule,
    kind=st.sampled_from(KINDS),
    times=st.integers(1, 4),
    probability=st.sampled_from([1.0, 0.5]),
    match=st.sampled_from([{}, {"action": "create"}, {"action": "get"}, {"childid": 2}]),
    params=st.fixed_dictionaries(
        {"code": st.sampled_from([1, 8, 26, 56, 78, 80, 97, 136, 137, 173, 219, 261]), "done": st.booleans()}
    ).filter(lambda params: not (params["done"] and params["code"] in (136, 137))),  # a bad signature does nothing
)
box_options = st.builds(
    SandboxOptions,
    seed_links=st.just(False),
    create_existing_code=st.sampled_from([0, 78, 168, 173]),
    stop_after_failure=st.booleans(),
    max_actions=st.sampled_from([None, 2]),
    mixed_top=st.sampled_from(["97", "first", "200"]),
    read_absent=st.sampled_from(["missing", "empty"]),
)
policies = st.builds(Policy, st.integers(1, 5), st.booleans(), st.booleans())


@settings(max_examples=150, deadline=None)
@given(links, links, st.lists(rules, max_size=3), box_options, policies, st.integers(1, 9), st.booleans())
def test_whatever_the_api_does_no_link_is_made_twice_and_no_outcome_is_wrong(
    there: list[Link],
    wanted: list[Link],
    faults: list[Rule],
    options: SandboxOptions,
    policy: Policy,
    actions: int,
    seen: bool,
) -> None:
    box = Boxed(there, faults, options, actions)
    before = set(there)
    types = {link[0] for link in there + wanted} if seen else ()
    tickets = restoring(wanted)
    restorer = Restorer(box, sightings := SeenTypes(types), policy, CLOCK)
    ended: dict[str, Outcome] = {}
    for start in range(0, len(tickets), actions):
        ended |= to_the_end(restorer.run, tickets[start : start + actions])
    assert not box.state.created_existing
    assert all(count == 1 for count in box.state.created.values())
    for number, link in enumerate(wanted):
        outcome = ended[f"job-{number}"]
        if outcome.succeeded:
            assert link in box.state.links
        else:
            assert outcome.reason in REASONS
        if outcome.kind is Kind.RESTORED:
            assert link not in before
        if outcome.kind is Kind.ALREADY_PRESENT and wanted.count(link) == 1:
            assert link in before
    assert box.state.links <= before | set(wanted)
    calm = Boxed(sorted(box.state.links))
    again = to_the_end(Restorer(calm, sightings, Policy(), CLOCK).run, restoring(sorted(box.state.links)))
    assert {outcome.kind for outcome in again.values()} <= {Kind.ALREADY_PRESENT}
    assert creates(calm) == []


@settings(max_examples=100, deadline=None)
@given(links, links, st.lists(rules, max_size=3), st.integers(1, 9))
def test_an_account_that_sees_nothing_makes_each_link_once_at_the_most(
    there: list[Link], wanted: list[Link], faults: list[Rule], actions: int
) -> None:
    box = Boxed(there, faults, actions_per_request=actions)
    box.state.hidden_types |= {"calendar:address", "estate:address:owner", "estate:estateUnit"}
    different = sorted(set(wanted))
    tickets = restoring(different)
    for start in range(0, len(tickets), actions):
        to_the_end(Restorer(box, SeenTypes(), Policy(), CLOCK).run, tickets[start : start + actions])
    for link in different:
        assert box.state.created[link] + box.state.created_existing[link] <= 1
