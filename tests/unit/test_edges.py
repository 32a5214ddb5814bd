"""Single cases that the properties of other files meet by luck at most: bounds, and values that are rare."""

import json
import math

import pytest

from worker.onoffice.appointments import confirmations, read_confirmations
from worker.onoffice.codes import Verdict, judge_http, retry_after_seconds
from worker.onoffice.errors import MalformedAppointment, MalformedRelatedIds, NotJson
from worker.onoffice.protocol import (
    CREATE,
    MAX_IDS_PER_READ,
    RELATION,
    Action,
    Credentials,
    create_relation,
    get_ids_from_relation,
)
from worker.onoffice.replies import MAX_CODE_DIGITS, UNREADABLE_CODE, Answer, parse_reply, related_ids
from worker.unlinking.brakes import SMALL, Brakes, Excess, count_going, excesses
from worker.unlinking.diffing import Diff, Wanted, compare, holds
from worker.unlinking.errors import BadArguments, UnknownRelationType
from worker.unlinking.job import MAX_ID, Job, JobTerms, Relation, as_given, read_relation, read_terms
from worker.unlinking.plan import Action as PlanAction
from worker.unlinking.plan import PlanHead, PlanRow, Standing
from worker.unlinking.policies import NightBrakes, Side
from worker.unlinking.runs import Layout, chunk_id, is_chunk_of

READ = Action("a", "urn:read", "estate", {})


def answered(data: object, code: object = 0) -> Answer:
    result: dict[str, object] = {"identifier": "a", "actionid": "urn:read", "resourcetype": "estate"}
    result |= {"status": {"errorcode": code, "message": "OK"}, "data": data}
    (answer,) = parse_reply(json.dumps({"response": {"results": [result]}}).encode(), [READ]).answers
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.parametrize(
    ("meta", "total"),
    [
        ({"cntabsolute": 7}, 7),
        ({"cntabsolute": "7"}, 7),
        ({"cntabsolute": 0}, 0),
        ({"cntabsolute": "0"}, 0),
        ({"cntabsolute": 1}, 1),
        ({"cntabsolute": -1}, None),
        ({"cntabsolute": None}, None),
        ({"cntabsolute": "many"}, None),
        ({"cntabsolute": True}, None),
        ({"CNTABSOLUTE": 7}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
    ids=str,
)
def test_how_many_there_are(meta: object, total: int | None) -> None:
    assert answered({"meta": meta, "records": []}).total == total


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (10**MAX_CODE_DIGITS - 1, 10**MAX_CODE_DIGITS - 1),
        (10**MAX_CODE_DIGITS, UNREADABLE_CODE),
        ("9" * (MAX_CODE_DIGITS - 1), 10 ** (MAX_CODE_DIGITS - 1) - 1),
        ("9" * MAX_CODE_DIGITS, UNREADABLE_CODE),
        (-5, -5),
        (True, UNREADABLE_CODE),
        ("-5", UNREADABLE_CODE),
    ],
)
def test_codes_that_are_none(given: object, code: int) -> None:
    assert answered([], given).errorcode == code


@pytest.mark.parametrize(("body", "kind"), [(b" \n<html>", "an HTML page"), (b"{", "truncated, or not onOffice's")])
def test_what_is_not_json_is_named(body: bytes, kind: str) -> None:
    with pytest.raises(NotJson, match=rf"not JSON but {kind} \({len(body)} bytes\)"):
        parse_reply(body, [READ])


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ((), "0 records where one"),
        (({"elements": {}},) * 2, "2 records where one"),
        (({"id": 1},), "1 records where one"),
        (({"elements": "x"},), "the elements are no map"),
        (({"elements": {"15": [], "015": []}},), "an id was answered twice"),
        (({"elements": {"15": 5}},), "no list"),
        (({"elements": {"15": ["x"]}},), "no number"),
        (({"elements": {"15": ["9" * 20]}},), "no number"),
    ],
    ids=str,
)
def test_related_ids_that_are_not_understood(records: tuple[dict[str, object], ...], why: str) -> None:
    with pytest.raises(MalformedRelatedIds, match=why):
        related_ids(Answer(0, "OK", records, None))


def test_the_longest_id() -> None:
    answer = Answer(0, "OK", ({"elements": {"1": ["9" * 19]}},), None)
    assert related_ids(answer) == {1: frozenset({int("9" * 19)})}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(199, Verdict.UNKNOWN), (200, None), (299, None), (300, Verdict.HALT_ACCOUNT), (399, Verdict.HALT_ACCOUNT)],
)
def test_statuses_at_the_edge(status: int, verdict: Verdict | None) -> None:
    assert judge_http(status, {}) is verdict


def test_no_header_is_no_pause() -> None:
    assert retry_after_seconds({}, 0) is None


def test_reads_of_500_ids_of_one_side() -> None:
    ids = list(range(MAX_IDS_PER_READ))
    assert get_ids_from_relation("a", "t", parentids=ids).parameters["parentids"] == ids
    for parents, children in ((ids, [1]), ([*ids, 1], []), ([], [*ids, 1]), ([], []), ([1], [1])):
        with pytest.raises(ValueError, match="give 1 to 500"):
            get_ids_from_relation("a", "t", parentids=parents, childids=children)


def test_requests_carry_their_identifiers() -> None:
    assert create_relation("a", "t", 1, 2) == Action(
        "a", CREATE, RELATION, {"childid": 2, "parentid": 1, "relationtype": "t"}
    )
    assert read_confirmations("a", 7).identifier == "a"
    assert repr(Credentials("t", "s")) == "Credentials(token='**', secret='**')"


def appointment(addresses: object, id_: object = 7) -> Answer:
    return Answer(0, "OK", ({"id": id_, "elements": {"addresses": addresses}},), None)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (appointment([], 8), "another appointment"),
        (appointment([], "9" * 20), "another appointment"),
        (appointment("x"), "no list of addresses"),
        (appointment([{"id": 1, "confirmationStatus": "sent"}] * 2), "stands twice"),
        (appointment([{"id": 1, "confirmationStatus": ""}]), "no id or no confirmation status"),
        (appointment([{"id": 1, "confirmationStatus": "x" * 51}]), "no id or no confirmation status"),
        (appointment([{"id": None, "confirmationStatus": "sent"}]), "no id or no confirmation status"),
    ],
)
def test_appointments_that_are_not_understood(answer: Answer, why: str) -> None:
    with pytest.raises(MalformedAppointment, match=why):
        confirmations(answer, 7)


@pytest.mark.parametrize("status", ["x", "x" * 50])
def test_a_status_at_the_edge(status: str) -> None:
    assert confirmations(appointment([{"id": "9" * 19, "confirmationStatus": status}]), 7) == {int("9" * 19): status}


TERMS = {"account": "berlin", "requested_by": "me", "reason": "why", "not_after": 1_800_000_000.0}


def test_all_that_a_producer_may_say_comes_through() -> None:
    arguments = {"relationtype": "calendar:address", "parentid": MAX_ID, "childid": 1, **TERMS}
    job = Job.from_arguments("j", arguments)
    assert (job.id, job.relation) == ("j", Relation("calendar:address", MAX_ID, 1))
    assert job.terms == JobTerms(account="berlin", requested_by="me", reason="why", not_after=1_800_000_000.0)
    assert job.as_arguments() == arguments
    assert Job.from_arguments(
        "j", {name: arguments[name] for name in ("relationtype", "parentid", "childid")}
    ).terms == (JobTerms())


@pytest.mark.parametrize("name", ["requested_by", "reason", "account"])
def test_texts_at_their_edge(name: str) -> None:
    assert getattr(read_terms({name: "x" * 500}), name) == "x" * 500
    for bad in ("x" * 501, 5, "\ud800"):
        with pytest.raises(BadArguments, match=name):
            read_terms({name: bad})


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (("calendar:address", 1, 2), Relation("calendar:address", 1, 2)),
        (("x " * 100, 1, 2), Relation("x " * 50, 1, 2)),
        ((5, -MAX_ID, MAX_ID), Relation("", -MAX_ID, MAX_ID)),
        (("x", MAX_ID + 1, True), Relation("x", 0, 0)),
        (("x", "1", None), Relation("x", 0, 0)),
    ],
)
def test_what_a_faulty_job_names(given: tuple[object, object, object], shown: Relation) -> None:
    assert as_given(*given) == shown


def test_what_is_wrong_is_told_in_part() -> None:
    with pytest.raises(BadArguments, match="parentid must be a positive record id, not 10000") as told:
        read_relation("calendar:address", 10**400, 1)
    assert len(told.value.text) < 500
    with pytest.raises(UnknownRelationType) as unknown:
        read_relation("x" * 200, 1, 1)
    assert unknown.value.text == f"unknown relation type '{'x' * 100}'"
    with pytest.raises(BadArguments) as moment:
        read_terms({"not_after": "y" * 100})
    assert moment.value.text.endswith(f"not '{'y' * 40}'")


@pytest.mark.parametrize(("run", "chunk", "fed"), [("r", "r.0", True), ("a.1", "a.1.0", True), ("a", "a.1.0", False)])
def test_a_runs_name_may_have_points(run: str, chunk: str, fed: bool) -> None:
    assert is_chunk_of(run, chunk) is fed
    assert is_chunk_of(run, chunk_id(run, 12))
    assert not is_chunk_of("r", "r.x")
    assert not is_chunk_of("r", "r.")
    assert not is_chunk_of("r", "r")


@pytest.mark.parametrize(
    ("layout", "first", "spans"),
    [
        (Layout(0), 0, []),
        (Layout(5), 5, [(0, 5)]),
        (Layout(10), 10, [(0, 10)]),
        (Layout(11), 10, [(0, 10), (10, 1)]),
        (Layout(510), 10, [(0, 10), (10, 500)]),
        (Layout(511, 0), 500, [(0, 500), (500, 11)]),
        (Layout(7, 2, 3), 2, [(0, 2), (2, 3), (5, 2)]),
    ],
)
def test_how_rows_are_cut(layout: Layout, first: int, spans: list[tuple[int, int]]) -> None:
    assert layout.first == first
    assert [layout.span(number) for number in range(layout.chunks)] == spans
    places = [(number, place) for number, (_, length) in enumerate(spans) for place in range(length)]
    assert [layout.place(row) for row in range(layout.rows)] == places


def test_what_may_stay_by_pairs_is_that_link_and_not_its_records() -> None:
    wanted = Wanted(pairs=frozenset({(1, 5)}))
    assert compare(Side.PARENTS, {1: frozenset({5, 6}), 2: frozenset({5})}, wanted).unwanted == ((1, 6), (2, 5))
    assert compare(Side.CHILDREN, {5: frozenset({1, 2}), 1: frozenset({5})}, wanted).unwanted == ((2, 5), (5, 1))
    assert wanted.rows == 1


def test_brakes_of_a_night_at_their_edge() -> None:
    links = tuple((7, child) for child in range(1, 11))
    diff = Diff(unwanted=links, found=20, kept=10, unseen=0, found_by_parent={7: 20})
    assert holds(links, diff, NightBrakes(max_deletions=10, max_share=0.5, max_share_per_parent=0.5)) == []
    over = holds(links, diff, NightBrakes(max_deletions=9, max_share=0.49, max_share_per_parent=0.49))
    assert [(each.option, each.value) for each in over] == [
        ("--max-deletions", "10"),
        ("--max-share", "0.5"),
        ("--max-share-per-parent", "0.5"),
    ]
    less = Diff(unwanted=links, found=SMALL - 1, kept=9, unseen=0, found_by_parent={7: SMALL - 1})
    assert holds(links, less, NightBrakes(max_deletions=10, max_share=0.1, max_share_per_parent=0.1)) == []


KIND = "calendar:address"


def plan(sent: int, **more: object) -> PlanHead:
    values = {"id": "p", "action": PlanAction.UNLINK, "account": "default", "made_at": 0.0, "expires_at": 1.0}
    values |= {"made_by": "x", "because": "", "source": "s", "rows": sent, "left_out": 0, "existing": None}
    values |= {"counts": {KIND: {Standing.PRESENT: sent}}, "extents": None}
    return PlanHead(**(values | more))  # type: ignore[arg-type]  # the values stand above


def test_brakes_of_a_plan_at_their_edge() -> None:
    half = math.ceil(SMALL / 2)
    assert excesses(plan(half, existing={KIND: SMALL}), {}, Brakes(max_share=0.5)) == []
    (over,) = excesses(plan(SMALL, existing={KIND: SMALL}), {}, Brakes(max_share=0.5))
    assert (over.option, over.value) == ("--max-share", "1"), "no share is more than all"
    assert excesses(plan(SMALL - 1, existing={KIND: SMALL - 1}), {}, Brakes()) == []
    going = {KIND: {7: SMALL}}
    (over,) = excesses(plan(SMALL, extents={KIND: {7: SMALL}}), going, Brakes(max_share=0.5))
    assert "below 7" in over.why
    assert excesses(plan(SMALL - 1, extents={KIND: {7: SMALL - 1}}), {KIND: {7: SMALL - 1}}, Brakes()) == []
    # the links were counted before some more came: more would go than were seen
    (over,) = excesses(plan(SMALL + 5, existing={KIND: SMALL}), {}, Brakes())
    assert over.value == "1"
    assert excesses(plan(501), {}, Brakes()) == [Excess("--max-deletions", "501", "501 links are more than 500")]


def test_only_rows_that_go_below_counted_parents_are_counted() -> None:
    head = plan(9, extents={KIND: {7: 40, 8: 50}})
    rows = [
        PlanRow(Relation(KIND, 7, 1), Standing.PRESENT),
        PlanRow(Relation(KIND, 7, 2), Standing.UNKNOWN),
        PlanRow(Relation(KIND, 7, 3), Standing.ABSENT),  # does not go
        PlanRow(Relation(KIND, 9, 1), Standing.PRESENT),  # nobody knows how many 9 has
        PlanRow(Relation("calendar:estate", 7, 1), Standing.PRESENT),  # nor of this type
    ]
    assert count_going(head, rows) == {KIND: {7: 2}}
    assert count_going(plan(9), rows) == {}
