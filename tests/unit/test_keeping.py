"""A participant's confirmation status is saved before the participant is unlinked, or the participant stays."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import SandboxOptions
from sandbox.faults import Rule
from sandbox.state import Link
from tests.boxed import CLOCK, Boxed, SeenTypes, restoring, to_the_end
from worker.onoffice.appointments import CONFIRMATIONS, confirmations, relationinfo
from worker.onoffice.errors import MalformedAppointment
from worker.onoffice.replies import Answer
from worker.unlinking.decisions import Ticket
from worker.unlinking.job import Job, Relation
from worker.unlinking.judging import Policy
from worker.unlinking.keeping import Keeper
from worker.unlinking.outcome import Outcome
from worker.unlinking.restorer import Restorer
from worker.unlinking.unlinker import Unlinker

GUESTS: list[Link] = [("calendar:address", appointment, 5) for appointment in range(1, 7)]
OWNER: Link = ("estate:address:owner", 9, 5)
STATUSES = dict(zip(GUESTS, ["confirmed", "sent", "canceled", "confirmed", "sent", "not-set"], strict=True))


class Kept:
    """Stores in memory, and looks whether the links are still there."""

    def __init__(self, box: Boxed, jobs: Sequence[Ticket]) -> None:
        self.statuses: dict[str, str] = {}
        self._box = box
        self._relations = {ticket.job.id: ticket.job.relation for ticket in jobs}

    async def store(self, statuses: Mapping[str, str]) -> None:
        """Job id -> status."""
        for job_id in statuses:
            relation = self._relations[job_id]
            assert (relation.relationtype, relation.parentid, relation.childid) in self._box.state.links, "too late"
        self.statuses |= statuses


def boxed(faults: Sequence[Rule] = (), links: Sequence[Link] = (*GUESTS, OWNER), **options: Any) -> Boxed:
    box = Boxed(links, faults, SandboxOptions(seed_links=False, **options))
    for link, status in STATUSES.items():
        if link in box.state.links:
            box.state.confirm(link, status)
    return box


def unlink(box: Boxed, links: Sequence[Link] = GUESTS, seen: Sequence[str] = ()) -> tuple[dict[str, Outcome], Kept]:
    tickets = [Ticket(job=Job(id=f"job-{number}", relation=Relation(*link))) for number, link in enumerate(links)]
    kept = Kept(box, tickets)
    unlinker = Unlinker(box, SeenTypes(seen), Policy(), CLOCK, Keeper(box, kept.store))
    return to_the_end(unlinker.run, tickets), kept


def kinds(ended: Mapping[str, Outcome]) -> list[str]:
    return [str(ended[f"job-{number}"].kind) for number in range(len(ended))]


@pytest.mark.parametrize("shape", ["list", "map"])
def test_statuses_are_saved_in_one_request_and_then_the_links_go(shape: str) -> None:
    box = boxed(appointment_addresses=shape)
    ended, kept = unlink(box)
    assert set(kinds(ended)) == {"unlinked"}
    assert kept.statuses == {f"job-{n}": status for n, status in enumerate(STATUSES.values())}
    assert [len(call) for call in box.calls] == [6, 6]


def test_links_of_other_types_cost_no_read() -> None:
    box = boxed()
    ended, kept = unlink(box, [OWNER])
    assert (kinds(ended), kept.statuses, len(box.calls)) == (["unlinked"], {}, 1)


def test_undone_with_what_was_saved_everything_is_as_before() -> None:
    box = boxed()
    before = dict(box.state.confirmations)
    _, kept = unlink(box)
    tickets = [
        ticket
        for number, link in enumerate(GUESTS)
        for ticket in restoring([link], confirmation=kept.statuses[f"job-{number}"])
    ]
    for ticket in tickets:
        to_the_end(Restorer(box, SeenTypes(), Policy(), CLOCK).run, [ticket])
    assert box.state.confirmations == before
    assert box.state.links == {*GUESTS, OWNER}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("reset_before", {}),
        ("html_200", {}),
        ("wrong_shape", {}),
        ("empty_body", {}),
        ("throttle_429", {}),
        ("drop_results", {"count": 2}),
        ("swap_results", {}),
        ("action_code", {"code": 1}),
        ("request_code", {"code": 1}),
    ],
)
def test_while_statuses_cannot_be_read_the_links_stay(kind: str, params: dict[str, Any]) -> None:
    box = boxed([Rule(kind, 2, match={"action": "read"}, params=params)])
    ended, kept = unlink(box)
    assert set(kinds(ended)) == {"unlinked"}
    assert kept.statuses == {f"job-{n}": status for n, status in enumerate(STATUSES.values())}


@pytest.mark.parametrize(
    ("fault", "options", "reason", "code"),
    [
        (Rule("action_code", None, match={"action": "read"}, params={"code": 170}), {}, "MissingRight", 170),
        (Rule("action_code", None, match={"action": "read"}, params={"code": 1}), {}, "NotSaved", 1),
        (Rule("action_code", None, match={"action": "read"}, params={"code": 169}), {}, "NotSaved", None),
        (Rule("request_code", None, match={"action": "read"}, params={"code": 80}), {}, "NotSaved", None),
    ],
)
def test_a_status_that_cannot_be_read_at_all_keeps_its_link(
    fault: Rule, options: dict[str, Any], reason: str, code: int | None
) -> None:
    box = boxed([fault], **options)
    ended, kept = unlink(box, [*GUESTS, OWNER])
    assert kinds(ended) == ["dead"] * 6 + ["unlinked"]
    assert {(ended[f"job-{n}"].reason, ended[f"job-{n}"].code) for n in range(6)} == {(reason, code)}
    assert box.state.links == set(GUESTS)
    assert kept.statuses == {}


def test_an_appointment_that_spoils_the_whole_request_holds_up_its_own_links_only() -> None:
    box = boxed([Rule("request_code", None, match={"action": "read", "parentid": 3}, params={"code": 170})])
    ended, kept = unlink(box)
    assert kinds(ended) == ["unlinked"] * 2 + ["dead"] + ["unlinked"] * 3
    assert "job-2" not in kept.statuses
    assert GUESTS[2] in box.state.links


def test_an_appointment_of_another_shape_keeps_its_links() -> None:
    box = boxed(appointment_addresses="missing")
    ended, _ = unlink(box)
    assert {outcome.reason for outcome in ended.values()} == {"NotSaved"}
    assert "no list of addresses" in ended["job-0"].message
    assert set(GUESTS) <= box.state.links


@pytest.mark.parametrize("code", [0, 169])
def test_an_appointment_that_is_gone_is_settled_by_looking(code: int) -> None:
    box = boxed(links=GUESTS[1:], unknown_appointment_code=code)
    box.state.unknown_records = {1}
    ended, kept = unlink(box, GUESTS)
    assert kinds(ended) == ["already_absent"] + ["unlinked"] * 5
    assert "job-0" not in kept.statuses
    deleted = [
        action.parameters["parentid"] for call in box.calls for action in call if "parentid" in action.parameters
    ]
    assert sorted(map(str, deleted)) == ["2", "3", "4", "5", "6"]


def test_what_this_account_cannot_see_is_not_deleted_blindly() -> None:
    box = boxed()
    box.state.hidden_parents = {1}
    ended, _ = unlink(box, GUESTS[:1])
    assert (str(ended["job-0"].kind), ended["job-0"].proven) == ("already_absent", False)
    assert GUESTS[0] in box.state.links


UNCLEAR = ["reset_after", "reset_before", "drop_results", "action_code", "request_code", "html_200"]
CODES = [1, 56, 80, 97, 137, 168, 169, 170]
faults = st.lists(
    st.builds(
        Rule,
        kind=st.sampled_from(UNCLEAR),
        times=st.integers(1, 4),
        probability=st.sampled_from([1.0, 0.5]),
        match=st.sampled_from([{}, {"action": "read"}, {"action": "delete"}, {"action": "get"}]),
        params=st.fixed_dictionaries({"code": st.sampled_from(CODES), "done": st.booleans()}),
    ),
    max_size=3,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(faults, st.lists(st.sampled_from([*GUESTS, OWNER]), max_size=9))
def test_whatever_happens_no_status_is_lost(rules: list[Rule], wanted: list[Link]) -> None:
    box = boxed(rules)
    _, kept = unlink(box, wanted)
    saved = {wanted[int(job_id.removeprefix("job-"))]: status for job_id, status in kept.statuses.items()}
    for link in set(GUESTS) - box.state.links:
        assert saved[link] == STATUSES[link]


def record(elements: object, number: object = 671) -> Answer:
    return Answer(0, "OK", ({"id": number, "type": "calendar", "elements": elements},), None)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Answer(0, "OK", (), None), {}),
        (record({"addresses": []}), {}),
        (record({"addresses": [{"id": 153, "confirmationStatus": "sent"}]}), {153: "sent"}),
        (record({"addresses": [{"id": "153", "confirmationStatus": "new one"}]}, "671"), {153: "new one"}),
        (record({"addresses": {"1": {"id": 1, "confirmationStatus": "sent"}}}), {1: "sent"}),
    ],
)
def test_appointments_are_understood(answer: Answer, found: dict[int, str]) -> None:
    assert confirmations(answer, 671) == found


@pytest.mark.parametrize(
    "answer",
    [
        record({"addresses": []}, 672),
        record({"addresses": []}, True),
        record([]),
        record({}),
        record({"addresses": "153"}),
        record({"addresses": [153]}),
        record({"addresses": [{"id": 153}]}),
        record({"addresses": [{"id": None, "confirmationStatus": "sent"}]}),
        record({"addresses": [{"id": 153, "confirmationStatus": ""}]}),
        record({"addresses": [{"id": 153, "confirmationStatus": ["sent"]}]}),
        record({"addresses": [{"id": 153, "confirmationStatus": "x" * 51}]}),
        record(
            {"addresses": [{"id": 1, "confirmationStatus": "sent"}, {"id": "1", "confirmationStatus": "confirmed"}]}
        ),
        Answer(0, "OK", ({"id": 671, "elements": {"addresses": []}},) * 2, None),
    ],
)
def test_what_is_not_an_appointment_as_documented_is_no_empty_one(answer: Answer) -> None:
    with pytest.raises(MalformedAppointment):
        confirmations(answer, 671)


def test_each_status_that_is_read_can_be_written() -> None:
    assert {relationinfo(status)["statusTerminbestaetigung"] for status in CONFIRMATIONS} == {
        "bestätigt", "gesendet", "gecancelt", "nicht gesetzt",
    }  # fmt: skip
