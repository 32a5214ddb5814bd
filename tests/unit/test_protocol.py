"""The pure protocol: signatures, request bodies, and every shape of answer there is."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.onoffice.errors import EmptyReply, MalformedRelatedIds, NotJson, UnreadableReply, WrongShape
from worker.onoffice.protocol import (
    Action,
    Credentials,
    build_request,
    create_relation,
    delete_relation,
    get_ids_from_relation,
    sign,
)
from worker.onoffice.replies import UNREADABLE_CODE, Answer, Missing, parse_reply, related_ids

URN = "urn:onoffice-de-ns:smart:2.5:relationTypes:calendar:address"
ACTION = "urn:onoffice-de-ns:smart:2.5:smartml:action:"


@pytest.mark.parametrize(
    ("secret", "timestamp", "token", "resourcetype", "action", "expected"),
    [
        ("testsecret", 1646228220, "testtoken", "calendar", "read", "w6ifKMmAdJoKhu0vl2twvfP+ltyOTQ7LqLpvsZkOnlg="),
        (
            "dhY8h7FeU9",
            123456789,
            "dX5hkIIU6W",
            "estateCategories",
            "get",
            "F9OXyaJv7p+bLkwGDGV7ZUmfYgjH2E24zpsxY5/nVDk=",
        ),
        ("testsecret", 1646228220, "testtoken", "relation", "delete", "LKeFXb9Of9oJED4h8Nw2CE5DvSN01Gor5XoFaD1/gpQ="),
    ],
)
def test_golden_signatures(
    secret: str, timestamp: int, token: str, resourcetype: str, action: str, expected: str
) -> None:
    assert sign(Credentials(token, secret), timestamp, resourcetype, ACTION + action) == expected


def test_the_call_of_the_delete_page() -> None:
    body = json.loads(build_request(Credentials("t" * 32, "s" * 64), [delete_relation("", URN, 671, 153)], 1646228220))
    action = body["request"]["actions"][0]
    assert body["token"] == "t" * 32
    assert action.pop("hmac") == sign(Credentials("t" * 32, "s" * 64), 1646228220, "relation", ACTION + "delete")
    assert action == {
        "actionid": ACTION + "delete",
        "resourceid": "",
        "identifier": "",
        "resourcetype": "relation",
        "timestamp": 1646228220,
        "hmac_version": "2",
        "parameters": {"childid": 153, "parentid": 671, "relationtype": URN},
    }
    assert list(action["parameters"]) == sorted(action["parameters"])


def test_credentials_show_in_no_repr() -> None:
    assert "hidden" not in repr(Credentials("hidden-token", "hidden-secret"))


def test_reads_ask_for_one_side_and_at_most_500_ids() -> None:
    assert get_ids_from_relation("x", URN, childids=[7]).parameters == {"childids": [7], "relationtype": URN}
    for sides in ({}, {"parentids": [1], "childids": [2]}, {"parentids": list(range(1, 502))}):
        with pytest.raises(ValueError, match="500"):
            get_ids_from_relation("x", URN, **sides)


def test_create_carries_relationinfo_only_when_given() -> None:
    assert "relationinfo" not in create_relation("x", URN, 1, 2).parameters
    info = {"statusTerminbestaetigung": "bestätigt"}
    assert create_relation("x", URN, 1, 2, info).parameters["relationinfo"] == info


def actions(*identifiers: str) -> list[Action]:
    return [delete_relation(identifier, URN, 1, place) for place, identifier in enumerate(identifiers, 1)]


def result(identifier: object = "a", errorcode: object = 0, **more: Any) -> dict[str, Any]:
    success = [{"id": 0, "type": "relation", "elements": {"success": "success"}}]
    return {
        "actionid": ACTION + "delete",
        "resourceid": "",
        "resourcetype": "relation",
        "cacheable": False,
        "identifier": identifier,
        "data": {"meta": {"cntabsolute": None}, "records": success} if errorcode == 0 else [],
        "status": {"errorcode": errorcode, "message": "OK" if errorcode == 0 else "text"},
        **more,
    }


def body(*results: Any, code: Any = 200, errorcode: Any = 0) -> bytes:
    status = {"code": code, "errorcode": errorcode, "message": "top"}
    return json.dumps({"status": status, "response": {"results": list(results)}}).encode()


def test_success_and_failure_are_read() -> None:
    reply = parse_reply(body(result("a"), result("b", 168)), actions("a", "b"))
    first, second = reply.answers
    assert isinstance(first, Answer)
    assert (first.errorcode, first.success) == (0, "success")
    assert isinstance(second, Answer)
    assert (second.errorcode, second.message, second.records) == (168, "text", ())


def test_a_single_failing_action_repeats_its_code_on_top() -> None:
    reply = parse_reply(body(result("a", 132), code=500, errorcode=132), actions("a"))
    assert (reply.code, reply.errorcode) == (500, 132)
    assert isinstance(reply.answers[0], Answer)


@pytest.mark.parametrize(
    "raw",
    [
        body(code=500, errorcode=41),
        b'{"status":{"code":500,"errorcode":41,"message":"Customer unknown!"}}',
        b'{"status":{"code":500,"errorcode":"41"},"response":[]}',
    ],
)
def test_an_error_of_the_whole_request_leaves_all_actions_without_an_answer(raw: bytes) -> None:
    reply = parse_reply(raw, actions("a", "b"))
    assert reply.errorcode == 41
    assert all(isinstance(answer, Missing) for answer in reply.answers)


def test_swapped_results_find_their_actions() -> None:
    reply = parse_reply(body(result("b", 168), result("a")), actions("a", "b"))
    assert [answer.errorcode for answer in reply.answers if isinstance(answer, Answer)] == [0, 168]


@pytest.mark.parametrize(
    "results",
    [
        [result("a")],  # b is missing
        [result("a"), result("stranger")],
        [result("a"), result("b"), result("b")],
        [result("a"), result("b", status=[])],
        [result("a"), result("b", status={"message": "no code"})],
        [result("a"), result("b", actionid=ACTION + "create")],
        [result("a"), None],
        [result("a"), result("")],
    ],
)
def test_what_is_not_clearly_an_answer_is_missing(results: list[Any]) -> None:
    first, second = parse_reply(body(*results), actions("a", "b")).answers
    assert isinstance(first, Answer)
    assert isinstance(second, Missing)


def test_a_server_that_echoes_nothing_is_matched_by_place_only_if_the_count_fits() -> None:
    whole = parse_reply(body(result(""), result("")), actions("a", "b"))
    assert all(isinstance(answer, Answer) for answer in whole.answers)
    short = parse_reply(body(result("")), actions("a", "b"))
    assert all(isinstance(answer, Missing) for answer in short.answers)


@pytest.mark.parametrize(
    ("value", "code"), [(168, 168), ("168", 168), ("Syntax error", UNREADABLE_CODE), (True, UNREADABLE_CODE)]
)
def test_error_codes_are_numbers_or_text(value: object, code: int) -> None:
    answer = parse_reply(body(result("a", value)), actions("a")).answers[0]
    assert isinstance(answer, Answer)
    assert answer.errorcode == code


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", EmptyReply),
        (b"  \n", EmptyReply),
        (b"<!DOCTYPE html><html>", NotJson),
        (body(result("a"))[:-9], NotJson),
        (b"\xff\xfe", NotJson),
        (b"[" * 100_000, NotJson),
        (b'{"a": ' + b"9" * 10_000 + b"}", NotJson),
        (b"[]", WrongShape),
        (b"null", WrongShape),
    ],
)
def test_what_is_no_answer_of_onoffice_is_unreadable(raw: bytes, error: type[UnreadableReply]) -> None:
    with pytest.raises(error):
        parse_reply(raw, actions("a"))


def test_a_byte_order_mark_is_forgiven() -> None:
    assert isinstance(parse_reply(b"\xef\xbb\xbf" + body(result("a")), actions("a")).answers[0], Answer)


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_but_our_errors(raw: bytes) -> None:
    with contextlib.suppress(UnreadableReply):
        assert len(parse_reply(raw, actions("a", "b")).answers) == 2


WORDS = ["status", "response", "results", "data", "records", "elements", "errorcode", "identifier"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(WORDS),
            children,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(JSON)
def test_no_json_raises_anything_but_our_errors_or_gives_a_success_by_chance(document: object) -> None:
    try:
        reply = parse_reply(json.dumps(document).encode(), actions("a", "b"))
    except UnreadableReply:
        return
    assert len(reply.answers) == 2
    for answer in reply.answers:
        if isinstance(answer, Answer):
            assert isinstance(answer.errorcode, int)


@given(st.lists(st.sampled_from("abcdx"), max_size=6), st.integers(0, 3))
def test_an_answer_always_carries_its_actions_identifier(echoed: list[str], failing: int) -> None:
    """Whatever the order, number and names of results: an action gets the one result with its identifier, or none."""
    results = [result(name, 168 if place == failing else 0) for place, name in enumerate(echoed)]
    sent = actions("a", "b", "c", "d")
    for action, answer in zip(sent, parse_reply(body(*results), sent).answers, strict=True):
        places = [place for place, name in enumerate(echoed) if name == action.identifier]
        if len(places) == 1:
            assert isinstance(answer, Answer)
            assert answer.errorcode == (168 if places[0] == failing else 0)
        else:
            assert isinstance(answer, Missing)


def read(elements: object) -> Answer:
    return Answer(0, "OK", ({"id": "relatedIds", "type": "", "elements": elements},), None)


def test_related_ids_are_normalised() -> None:
    found = related_ids(read({"15": [], "1051": ["50", 51], "7": {"0": "1", "2": "3"}}))
    assert found == {15: frozenset(), 1051: frozenset({50, 51}), 7: frozenset({1, 3})}
    assert related_ids(read([])) == related_ids(read({})) == {}


@pytest.mark.parametrize("elements", [None, "x", ["1"], {"x": []}, {"1": None}, {"1": ["x"]}, {"1": [True]}])
def test_related_ids_that_are_not_understood_say_nothing(elements: object) -> None:
    with pytest.raises(MalformedRelatedIds):
        related_ids(read(elements))


def test_a_read_without_its_record_says_nothing() -> None:
    with pytest.raises(MalformedRelatedIds):
        related_ids(Answer(0, "OK", (), None))
