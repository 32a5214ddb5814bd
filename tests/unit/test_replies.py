"""What is believed of an answer, however broken or hostile (API facts 1.5, 2, 6.1, 7)."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.onoffice.errors import EmptyReply, MalformedRelatedIds, NotJson, UnreadableReply, WrongShape
from worker.onoffice.protocol import (
    DELETE,
    GET,
    Action,
    Credentials,
    build_request,
    delete_relation,
    get_ids_from_relation,
)
from worker.onoffice.replies import MAX_TEXT, UNREADABLE_CODE, Answer, Missing, Reply, parse_reply, related_ids

CALENDAR_ADDRESS = "urn:onoffice-de-ns:smart:2.5:relationTypes:calendar:address"
CREDENTIALS = Credentials("testtoken", "testsecret")
TIMESTAMP = 1646228220
OK = {"errorcode": 0, "message": "OK"}
SUCCESS = {
    "meta": {"cntabsolute": None},
    "records": [{"id": 0, "type": "relation", "elements": {"success": "success"}}],
}


def delete(identifier: str = "job") -> Action:
    return delete_relation(identifier, CALENDAR_ADDRESS, 671, 153)


def result(identifier: object = "job", **changes: object) -> dict[str, Any]:
    """A successful delete's result, as expected in API facts 2.2."""
    document: dict[str, Any] = {
        "actionid": DELETE,
        "resourceid": "",
        "resourcetype": "relation",
        "cacheable": False,
        "identifier": identifier,
        "data": SUCCESS,
        "status": OK,
    }
    return document | changes


def failed(identifier: object, code: object, message: str = "") -> dict[str, Any]:
    return result(identifier, data=[], status={"errorcode": code, "message": message})


def body(*results: object, code: object = 200, errorcode: object = 0, message: object = "OK") -> bytes:
    top = {"code": code, "errorcode": errorcode, "message": message}
    return json.dumps({"status": top, "response": {"results": list(results)}}).encode()


def read(raw: bytes, *identifiers: str) -> Reply:
    return parse_reply(raw, [delete(identifier) for identifier in identifiers or ("job",)])


def only(raw: bytes) -> Answer | Missing:
    (answer,) = read(raw).answers
    return answer


def why(answer: Answer | Missing) -> str:
    return answer.why if isinstance(answer, Missing) else f"answered {answer.errorcode}"


def codes(reply: Reply) -> list[int | str]:
    return [answer.errorcode if isinstance(answer, Answer) else answer.why for answer in reply.answers]


# --- the shapes of API facts 2


def test_success() -> None:
    assert read(body(result())) == Reply(200, 0, "OK", (Answer(0, "OK", tuple(SUCCESS["records"]), "success"),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "success"),
    [
        (None, None), ([], None), ({}, None),
        ({"records": None}, None), ({"records": []}, None), ({"records": {}}, None),
        ({"records": [{}]}, None), ({"records": [{"elements": []}]}, None), ({"records": [{"elements": {}}]}, None),
        ({"records": [{"elements": {"success": "error"}}]}, "error"),
        ({"records": {"1": {"elements": {"success": "error"}}}}, "error"),  # a PHP list with gaps
        ({"records": {"elements": {"success": "error"}}}, "error"),  # the one record without its list
        ({"records": [{"elements": {"success": True}}]}, "<bool>"),
        ({"records": [{"elements": {"success": None}}]}, "<NoneType>"),
        ({"records": [{"elements": {"success": ["success"]}}]}, "<list>"),
        ({"records": [{"elements": "success"}]}, "<str>"),
        ({"records": [{"elements": ["success"]}]}, "<list>"),
    ],
)  # fmt: skip
def test_success_element(data: object, success: str | None) -> None:
    answer = only(body(result(data=data)))
    assert isinstance(answer, Answer)
    assert answer.errorcode == 0
    assert answer.success == success


@pytest.mark.parametrize("data", ["x", 1, [1], {"records": "x"}, {"records": [1]}, {"records": {"0": 1}}])
def test_data_that_nobody_understands_is_no_success_but_spoils_no_error(data: object) -> None:
    assert why(only(body(result(data=data)))) == "malformed result"
    error = only(body(result(data=data, status={"errorcode": 137, "message": "The HMAC is invalid."})))
    assert error == Answer(137, "The HMAC is invalid.", (), None)


def test_error_of_a_single_action_is_in_both_places() -> None:
    text = "No or unknown relation given"
    reply = read(body(failed("job", 132, text), code=500, errorcode=132, message=text))
    assert reply == Reply(500, 132, text, (Answer(132, text, (), None),))


def test_error_below_a_top_level_that_says_ok() -> None:
    assert codes(read(body(failed("job", 137)))) == [137]


def test_top_level_does_not_overrule_a_result() -> None:
    reply = read(body(result("a"), failed("b", 168), code=500, errorcode=97), "a", "b")
    assert (reply.errorcode, codes(reply)) == (97, [0, 168])


@pytest.mark.parametrize("response", [{}, {"response": []}, {"response": None}, {"response": {"results": []}}])
def test_error_of_the_whole_request(response: dict[str, object]) -> None:
    top: dict[str, object] = {"status": {"code": 500, "errorcode": 41, "message": "Customer unknown!"}}
    reply = read(json.dumps(top | response).encode(), "a", "b")
    assert (reply.code, reply.errorcode, reply.message) == (500, 41, "Customer unknown!")
    assert codes(reply) == ["no result", "no result"]


@pytest.mark.parametrize("raw", [b"{}", b'{"status": null}', b'{"status": []}', b'{"status": {"code": null}}'])
def test_no_status_at_all(raw: bytes) -> None:
    assert read(raw) == Reply(0, 0, "", (Missing("no result"),))


@pytest.mark.parametrize(
    ("given_code", "understood"),
    [
        (0, 0), (132, 132), ("132", 132), (-7, -7),
        ("Syntax error", UNREADABLE_CODE), ("", UNREADABLE_CODE), ("\u0661", UNREADABLE_CODE),
        ("1" * 99, UNREADABLE_CODE),
        (10**50, UNREADABLE_CODE), (0.0, UNREADABLE_CODE), (True, UNREADABLE_CODE), (False, UNREADABLE_CODE),
        ([], UNREADABLE_CODE), ({}, UNREADABLE_CODE),
    ],
)  # fmt: skip
def test_errorcode(given_code: object, understood: int) -> None:
    assert codes(read(body(failed("job", given_code)))) == [understood]


@pytest.mark.parametrize("status", [None, [], {}, "OK", {"message": "OK"}, {"errorcode": None}])
def test_result_without_a_status_is_none(status: object) -> None:
    assert why(only(body(result(status=status)))) == "malformed result"


def test_message_is_bounded_and_harmless() -> None:
    answer = only(body(failed("job", 1, "a\x00b\nc\x1b[31m\u202e" + "x" * 1000)))
    assert isinstance(answer, Answer)
    assert answer.message.startswith("a b c [31m x")
    assert len(answer.message) == MAX_TEXT
    assert answer.message.isprintable()


# --- which result is whose


@pytest.mark.parametrize(
    ("echoed", "expected"),
    [
        (["a", "b"], [0, 1]),
        (["b", "a"], [1, 0]),  # swapped
        (["a"], [0, "no result"]),
        (["b"], ["foreign identifier", 0]),
        (["a", "x"], [0, "foreign identifier"]),
        (["a", "a"], ["repeated identifier", "foreign identifier"]),
        (["a", "b", "a"], ["repeated identifier", 1]),
        (["", ""], [0, 1]),  # a server that does not echo
        ([None, None], [0, 1]),
        ([""], ["no identifier", "no result"]),  # whose is it?
        (["", "", ""], ["no identifier", "no identifier"]),
        (["a", ""], [0, "no identifier"]),
        (["", "b"], ["no identifier", 1]),
        ([["a"], {"b": 1}], [0, 1]),  # no identifiers at all, as far as we can tell
        ([True, "b"], ["no identifier", 1]),
        ([], ["no result", "no result"]),
    ],
)
def test_matching_by_place_and_identifier(echoed: list[object], expected: list[int | str]) -> None:
    """Each result carries its own place as error code, so that the answers tell where they came from."""
    assert codes(read(body(*(failed(each, place) for place, each in enumerate(echoed))), "a", "b")) == expected


def test_number_as_identifier_matches_as_text() -> None:
    assert codes(read(body(failed(7, 168)), "7")) == [168]


def test_one_result_never_serves_two_actions() -> None:
    assert codes(read(body(result("j")), "j", "j")) == ["repeated identifier"] * 2
    assert codes(read(body(result("j"), result("j")), "j", "j")) == ["repeated identifier"] * 2


@pytest.mark.parametrize("junk", [None, 1, "x", [], True])
def test_junk_among_the_results_does_not_shift_them(junk: object) -> None:
    assert codes(read(body(junk, result("")), "a", "b")) == ["malformed result", 0]
    assert codes(read(body(junk, result(""), failed("", 168)), "a", "b")) == ["no identifier", "no identifier"]
    assert codes(read(body(junk, result("b")), "a", "b")) == ["no identifier", 0]


def test_empty_identifiers_are_matched_by_place_only_when_nothing_is_left_out() -> None:
    assert codes(read(body(failed("", 1), failed("a", 2)), "", "a")) == [1, 2]
    assert codes(read(body(failed("a", 1), failed("", 2)), "", "a")) == ["foreign identifier", 1]
    assert codes(read(body(failed("", 1), failed("a", 2)), "", "", "a")) == ["no identifier", "no identifier", 2]


@pytest.mark.parametrize("changes", [{"actionid": GET}, {"resourcetype": "address"}, {"actionid": 5}])
def test_answer_to_another_action(changes: dict[str, object]) -> None:
    assert why(only(body(result(**changes)))) == "answer to another action"


@pytest.mark.parametrize("changes", [{"actionid": None}, {"actionid": ""}, {"resourcetype": ""}])
def test_action_that_is_not_echoed_is_accepted(changes: dict[str, object]) -> None:
    assert codes(read(body(result(**changes)))) == [0]


# --- whatever the bytes


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", EmptyReply), (b" \r\n", EmptyReply), (b"\xef\xbb\xbf", EmptyReply),
        (b"<html><body>502 Bad Gateway</body></html>", NotJson), (b'{"status": ', NotJson), (b"\xff\xfe{}", NotJson),
        (b'{"a": "\xff"}', NotJson), (b"{} {}", NotJson), (b"{'a': 1}", NotJson),
        (b'{"a": NaN}', NotJson), (b'{"a": -Infinity}', NotJson),
        (b'{"a": ' + b"9" * 5000 + b"}", NotJson),
        (b"[" * 200_000, NotJson), (b'{"a":' * 200_000, NotJson), (b"[" * 200_000 + b"]" * 200_000, NotJson),
        (b'{"status": {"errorcode": 41, "errorcode": 0}}', NotJson),
        (b"[]", WrongShape), (b"null", WrongShape), (b"1", WrongShape), (b'"success"', WrongShape),
    ],
)  # fmt: skip
def test_unreadable(raw: bytes, error: type[UnreadableReply]) -> None:
    with pytest.raises(error):
        read(raw)


@pytest.mark.parametrize("spoil", [lambda raw: raw[:-3], lambda raw: b"<pre>" + raw, lambda raw: b"echo: " + raw])
def test_a_page_that_repeats_our_request_does_not_put_the_token_into_the_error(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(NotJson) as caught:
        read(spoil(build_request(CREDENTIALS, [delete()], TIMESTAMP)))
    assert "testtoken" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
_names = ("status", "response", "results", "errorcode", "identifier", "data", "records", "elements", "success")
_shaped_json = st.recursive(
    _json | st.sampled_from(["a", "b", "success", 0, 168, DELETE]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_names), inner, max_size=5),
    max_leaves=20,
)


def _survives(raw: bytes, identifiers: Sequence[str]) -> Reply | None:
    try:
        reply = parse_reply(raw, [delete(identifier) for identifier in identifiers])
    except UnreadableReply:
        return None
    assert len(reply.answers) == len(identifiers)
    for answer in reply.answers:
        if isinstance(answer, Answer):
            try:
                related_ids(answer)
            except MalformedRelatedIds:
                continue
    return reply


_identifiers = st.lists(st.sampled_from(["a", "b", "c", "d", ""]), max_size=4)


@given(raw=st.binary(max_size=200), identifiers=_identifiers)
def test_random_bytes_raise_nothing_else(raw: bytes, identifiers: list[str]) -> None:
    _survives(raw, identifiers)


@given(document=_json | _shaped_json, identifiers=_identifiers)
def test_random_json_raises_nothing_else(document: object, identifiers: list[str]) -> None:
    _survives(json.dumps(document).encode(), identifiers)


def _paths(node: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items: list[tuple[str | int, Any]] = []
    if isinstance(node, dict):
        items = list(node.items())
    elif isinstance(node, list):
        items = list(enumerate(node))
    return [path] * bool(path) + [deeper for key, inner in items for deeper in _paths(inner, (*path, key))]


@given(data=st.data())
def test_mutated_answers_raise_nothing_else(data: st.DataObject) -> None:
    document = json.loads(body(result("a"), failed("b", 168), result("c")))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(_paths(document)))
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        if len(path) == 1 or data.draw(st.booleans()):
            parent[path[-1]] = data.draw(_shaped_json)
        else:
            del parent[path[-1]]
    _survives(json.dumps(document).encode(), ["a", "b", "c"])


@given(data=st.data())
def test_cut_and_flipped_bytes_raise_nothing_else(data: st.DataObject) -> None:
    raw = bytearray(body(result("a"), failed("b", 168)))
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    _survives(bytes(raw[: data.draw(st.integers(0, len(raw)))]), ["a", "b"])


@given(data=st.data(), echoes=st.booleans())
def test_never_a_success_for_an_action_whose_result_was_not_there(data: st.DataObject, echoes: bool) -> None:
    """Results are dropped, shuffled, and strangers put among them; each success must be of the action's own result."""
    sent = [f"job-{number}" for number in range(data.draw(st.integers(1, 6)))]
    kept = data.draw(st.lists(st.sampled_from(sent), unique=True))
    strangers = data.draw(st.lists(st.sampled_from(["x", "y", "job-9"]), max_size=2)) if echoes else []
    present = data.draw(st.permutations(kept + strangers)) if echoes else [each for each in sent if each in kept]
    raw = body(*(result(each if echoes else "") for each in present))
    for identifier, answer in zip(sent, read(raw, *sent).answers, strict=True):
        if identifier not in kept:
            assert isinstance(answer, Missing)
        elif echoes or len(kept) == len(sent):
            assert isinstance(answer, Answer)


# --- related ids


def related(elements: object) -> dict[int, frozenset[int]]:
    return related_ids(Answer(0, "OK", ({"id": "relatedIds", "type": "", "elements": elements},), None))


def test_related_ids_are_numbers() -> None:
    elements = {"15": [], "1051": ["50"], "1082": ["52", 53], "7": {"1": "8"}}  # the last: a PHP list with gaps
    assert related(elements) == {
        15: frozenset(),
        1051: frozenset({50}),
        1082: frozenset({52, 53}),
        7: frozenset({8}),
    }


@pytest.mark.parametrize("nothing", [[], {}])
def test_no_related_ids(nothing: object) -> None:
    assert related(nothing) == {}


def test_related_ids_through_the_whole_answer() -> None:
    action = get_ids_from_relation("r", CALENDAR_ADDRESS, parentids=[671])
    data = {"meta": {"cntabsolute": None}, "records": [{"id": "relatedIds", "type": "", "elements": {"671": ["153"]}}]}
    raw = body(result("r", actionid=GET, resourcetype="idsfromrelation", data=data))
    (answer,) = parse_reply(raw, [action]).answers
    assert isinstance(answer, Answer)
    assert related_ids(answer) == {671: frozenset({153})}


@pytest.mark.parametrize(
    "elements",
    [
        None, "", 0, ["153"], {"a": ["1"]}, {"": []}, {"671": None}, {"671": "153"}, {"671": 153}, {"671": [None]},
        {"671": ["x"]}, {"671": [True]}, {"671": [1.5]}, {"671": [["153"]]}, {"-1": []}, {"1" * 40: []},
        {"success": "success"}, {"15": ["1"], "015": []},
    ],
)  # fmt: skip
def test_absence_is_not_guessed_from_garbage(elements: object) -> None:
    with pytest.raises(MalformedRelatedIds):
        related(elements)


@pytest.mark.parametrize("records", [(), ({},), ({"elements": {}}, {"elements": {}})])
def test_related_ids_come_in_one_record(records: tuple[Mapping[str, object], ...]) -> None:
    with pytest.raises(MalformedRelatedIds):
        related_ids(Answer(0, "OK", records, None))
