"""The sandbox behaves as the facts say, and breaks as it is told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN, Sandbox, SandboxAccount, SandboxOptions
from sandbox.api import Api
from sandbox.faults import KINDS, Faults
from sandbox.state import seeded
from worker.onoffice.appointments import read_confirmations, relationinfo
from worker.onoffice.protocol import (
    Action,
    Credentials,
    build_request,
    create_relation,
    delete_relation,
    get_ids_from_relation,
)

PREFIX = "urn:onoffice-de-ns:smart:2.5:relationTypes:"
CALENDAR = PREFIX + "calendar:address"
GOOD = Credentials(DEFAULT_TOKEN, DEFAULT_SECRET)
LINK = {"relationtype": "calendar:address", "parentid": 671, "childid": 153}


class Client:
    """Talks to a sandbox as anybody would."""

    def __init__(self, box: Sandbox, http: aiohttp.ClientSession) -> None:
        self.box = box
        self.http = http

    async def raw(self, *actions: Action, credentials: Credentials = GOOD, ago: int = 0) -> aiohttp.ClientResponse:
        body = build_request(credentials, actions, int(time.time()) - ago)
        response = await self.http.post(self.box.url, data=body, allow_redirects=False)
        await response.read()
        return response

    async def call(self, *actions: Action, credentials: Credentials = GOOD, ago: int = 0) -> Any:
        return json.loads(await (await self.raw(*actions, credentials=credentials, ago=ago)).read())

    async def control(self, method: str, path: str, body: object = None) -> Any:
        response = await self.http.request(method, f"{self.box.address}/_sandbox/{path}", json=body)
        return await response.json()

    async def links(self) -> set[tuple[str, int, int]]:
        state = await self.control("GET", "state")
        return {(x["relationtype"], x["parentid"], x["childid"]) for x in state["links"]}


@pytest.fixture
async def client(box: Sandbox) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:
        yield Client(box, http)


def delete(parentid: int = 671, childid: int = 153, urn: str = CALENDAR, name: str = "a") -> Action:
    return delete_relation(name, urn, parentid, childid)


def codes(document: Any) -> list[int]:
    return [result["status"]["errorcode"] for result in document["response"]["results"]]


async def test_a_delete_has_the_documented_shape(client: Client) -> None:
    document = await client.call(delete())
    assert document["status"] == {"code": 200, "errorcode": 0, "message": "OK"}
    (result,) = document["response"]["results"]
    assert result["data"]["records"] == [{"id": 0, "type": "relation", "elements": {"success": "success"}}]
    assert (result["identifier"], result["resourceid"], result["cacheable"]) == ("a", "", False)
    assert ("calendar:address", 671, 153) not in await client.links()


async def test_what_cannot_be_deleted_or_is_not_there_answers_an_error_and_no_data(client: Client) -> None:
    document = await client.call(delete(42, 7, PREFIX + "estate:address:owner"))
    assert (document["status"]["code"], document["status"]["errorcode"]) == (500, 168)
    assert document["response"]["results"][0]["data"] == []
    assert codes(await client.call(delete(1, 1))) == [168]
    await client.control("PATCH", "options", {"absent_code": 0, "undeletable_code": 156})
    assert codes(await client.call(delete(1, 1))) == [0]
    assert codes(await client.call(delete(42, 7, PREFIX + "estate:address:owner"))) == [156]


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (delete(urn=PREFIX + "no:type"), 132),
        (delete(urn="calendar:address"), 132),
        (delete(parentid=0), 228),
        (replace(delete(), parameters={"relationtype": CALENDAR, "parentid": "671", "childid": 153}), 228),
        (replace(delete(), parameters={"relationtype": CALENDAR, "parentid": 671}), 167),
        (replace(delete(), resourcetype="relations"), 25),
        (replace(delete(), actionid="urn:x"), 23),
        (get_ids_from_relation("a", PREFIX + "no:type", parentids=[1]), 132),
        (replace(get_ids_from_relation("a", CALENDAR, parentids=[1]), parameters={"relationtype": CALENDAR}), 167),
    ],
)
async def test_bad_actions_get_their_codes(client: Client, action: Action, code: int) -> None:
    assert codes(await client.call(action)) == [code]


async def test_reading_back(client: Client) -> None:
    await client.control("PUT", "links", [{**LINK, "childid": 154}])

    def elements(document: Any) -> Any:
        return document["response"]["results"][0]["data"]["records"][0]["elements"]

    read = get_ids_from_relation("a", CALENDAR, parentids=[671, 9])
    assert elements(await client.call(read)) == {"671": ["153", "154"]}
    assert elements(await client.call(get_ids_from_relation("a", CALENDAR, childids=[153]))) == {"153": ["671"]}
    await client.control("PATCH", "options", {"read_absent": "empty", "read_nothing": "list"})
    assert elements(await client.call(read)) == {"671": ["153", "154"], "9": []}
    await client.control("PATCH", "options", {"read_absent": "missing"})
    assert elements(await client.call(get_ids_from_relation("a", CALENDAR, parentids=[9]))) == []
    many = replace(read, parameters={"relationtype": CALENDAR, "parentids": list(range(1, 502))})
    assert codes(await client.call(many)) == [302]


async def test_creating(client: Client) -> None:
    assert codes(await client.call(create_relation("a", CALENDAR, 5, 6))) == [0]
    assert ("calendar:address", 5, 6) in await client.links()
    both = {"relationtype": CALENDAR, "parentid": [1, 2], "childid": [3, 4]}
    assert codes(await client.call(replace(create_relation("a", CALENDAR, 1, 1), parameters=both))) == [219]
    await client.control("PATCH", "options", {"create_existing_code": 173})
    assert codes(await client.call(create_relation("a", CALENDAR, 5, 6))) == [173]


@pytest.mark.parametrize(
    ("credentials", "ago", "code"),
    [
        (Credentials("nobody", DEFAULT_SECRET), 0, 41),
        (Credentials(DEFAULT_TOKEN, "wrong"), 0, 137),
        (GOOD, 119, 0),
        (GOOD, 130, 136),
        (GOOD, -130, 136),
    ],
)
async def test_who_may_ask(client: Client, credentials: Credentials, ago: int, code: int) -> None:
    document = await client.call(delete(), credentials=credentials, ago=ago)
    if code == 41:
        assert (document["status"]["errorcode"], document["response"]["results"]) == (41, [])
    else:
        assert codes(document) == [code]
    assert (("calendar:address", 671, 153) in await client.links()) == (code != 0)


async def test_an_hmac_error_may_show_on_top(client: Client) -> None:
    await client.control("PATCH", "options", {"auth_shape": "request"})
    document = await client.call(delete(), credentials=Credentials(DEFAULT_TOKEN, "wrong"))
    assert (document["status"]["errorcode"], document["response"]["results"]) == (137, [])


async def test_an_inactive_account_is_told_apart() -> None:
    options = SandboxOptions(accounts=(SandboxAccount("x", "token", "secret", active=False),))
    async with Sandbox(options) as box, aiohttp.ClientSession() as http:
        document = await Client(box, http).call(delete(), credentials=Credentials("token", "secret"))
        assert document["status"]["errorcode"] == 42


@pytest.mark.parametrize(("mixed", "top"), [("97", 97), ("first", 168), ("200", 0)])
async def test_the_top_level_of_a_mixed_batch_is_an_option(client: Client, mixed: str, top: int) -> None:
    await client.control("PATCH", "options", {"mixed_top": mixed})
    document = await client.call(delete(name="a"), delete(1, 1, name="b"), delete(10, 20, name="c"))
    assert document["status"]["errorcode"] == top
    assert codes(document) == [0, 168, 168]
    assert [result["identifier"] for result in document["response"]["results"]] == ["a", "b", "c"]


async def test_actions_after_a_failure_and_too_many_actions_are_options(client: Client) -> None:
    await client.control("PATCH", "options", {"stop_after_failure": True})
    assert codes(await client.call(delete(1, 1, name="a"), delete(name="b"))) == [168]
    await client.control("PATCH", "options", {"stop_after_failure": False, "max_actions": 1})
    assert codes(await client.call(delete(name="a"), delete(1, 1, name="b"))) == []
    assert ("calendar:address", 671, 153) in await client.links()


async def test_rights_make_links_look_absent(client: Client) -> None:
    await client.control("PUT", "rights", {"hidden_parents": [671]})
    assert codes(await client.call(delete())) == [80]
    read = await client.call(get_ids_from_relation("a", CALENDAR, parentids=[671]))
    assert read["response"]["results"][0]["data"]["records"][0]["elements"] == {}
    await client.control("PUT", "rights", {"hidden_parents": [], "undeletable_types": ["calendar:address"]})
    assert codes(await client.call(delete())) == [168]


NOTHING_DONE = ("throttle_429", "unavailable_503", "bad_gateway_502", "html_200", "forbidden_403", "redirect_302")


@pytest.mark.parametrize("kind", NOTHING_DONE)
async def test_faults_that_keep_the_work_from_being_done(client: Client, kind: str) -> None:
    await client.control("POST", "faults", {"kind": kind, "params": {"retry_after": "7"}})
    response = await client.raw(delete())
    assert response.status == int(kind[-3:])
    if kind in ("throttle_429", "unavailable_503"):
        assert response.headers["Retry-After"] == "7"
    assert ("calendar:address", 671, 153) in await client.links()
    assert (await client.raw(delete())).status == 200, "one time only"


@pytest.mark.parametrize(
    ("kind", "done"),
    [("reset_before", False), ("reset_after", True), ("cut_body", True), ("hang_before", False), ("hang_after", True)],
)
async def test_faults_of_the_connection(client: Client, kind: str, done: bool) -> None:
    await client.control("POST", "faults", {"kind": kind, "params": {"seconds": 0.05, "bytes": 30}})
    with pytest.raises(aiohttp.ClientError):
        await client.raw(delete())
    assert (("calendar:address", 671, 153) not in await client.links()) == done


async def test_faults_of_the_results(client: Client) -> None:
    async def spoilt(kind: str, **params: Any) -> Any:
        await client.control("POST", "faults", {"kind": kind, "params": params})
        return await client.raw(delete(1, 1, name="a"), delete(2, 2, name="b"))

    def names(response: Any) -> list[str]:
        return [result["identifier"] for result in response["response"]["results"]]

    assert names(await (await spoilt("drop_results", count=1)).json()) == ["a"]
    assert names(await (await spoilt("swap_results")).json()) == ["b", "a"]
    assert names(await (await spoilt("foreign_identifier")).json()) == ["somebody-else", "b"]
    assert codes(await (await spoilt("request_code", code=9)).json()) == []
    assert codes(await (await spoilt("action_code", code=4711)).json()) == [4711, 4711]
    assert await (await spoilt("empty_body")).read() == b""
    assert len(await (await spoilt("gzip_bomb", megabytes=1)).read()) == 1024 * 1024
    with pytest.raises(json.JSONDecodeError):
        json.loads(await (await spoilt("truncated_json")).read())
    assert isinstance((await (await spoilt("wrong_shape")).json())["response"]["results"], dict)


@pytest.mark.parametrize("kind", ["throttle_429", "unavailable_503", "bad_gateway_502"])
async def test_a_server_that_fails_may_have_done_the_work(client: Client, kind: str) -> None:
    await client.control("POST", "faults", {"kind": kind, "params": {"done": True}})
    assert (await client.raw(delete())).status == int(kind[-3:])
    assert ("calendar:address", 671, 153) not in await client.links()
    await client.control("POST", "faults", {"kind": kind, "params": {"done_after": 0.05}})
    await client.raw(delete(671, 42, PREFIX + "calendar:estate"))
    assert ("calendar:estate", 671, 42) in await client.links()
    while ("calendar:estate", 671, 42) in await client.links():
        await asyncio.sleep(0.02)


async def test_a_request_that_is_delivered_twice_answers_as_the_second_time(client: Client) -> None:
    await client.control("POST", "faults", {"kind": "doubled"})
    assert codes(await client.call(delete())) == [168]
    assert ("calendar:address", 671, 153) not in await client.links()


async def test_reads_may_lag_behind_deletes(client: Client) -> None:
    await client.control("PATCH", "options", {"read_lag_s": 0.3})
    await client.call(delete())

    async def shown() -> bool:
        read = await client.call(get_ids_from_relation("a", CALENDAR, parentids=[671]))
        return "671" in read["response"]["results"][0]["data"]["records"][0]["elements"]

    assert await shown()
    assert ("calendar:address", 671, 153) not in await client.links()
    while await shown():
        await asyncio.sleep(0.02)


async def test_a_fault_lasts_as_long_as_it_is_told(client: Client) -> None:
    fault = {"kind": "unavailable_503", "times": None, "lasts": 0.2, "match": {"action": "get"}}
    await client.control("POST", "faults", fault)
    read = get_ids_from_relation("a", CALENDAR, parentids=[671])
    assert (await client.raw(read)).status == 503
    assert (await client.raw(delete())).status == 200
    while (await client.raw(read)).status == 503:
        await asyncio.sleep(0.02)
    assert await client.control("GET", "faults") == []


async def test_some_links_are_removed_by_somebody_else(client: Client) -> None:
    before = await client.links()
    await client.control("DELETE", "links", [LINK])
    assert before - await client.links() == {("calendar:address", 671, 153)}
    assert (await client.control("GET", "stats"))["deleted"] == 0


async def test_lies(client: Client) -> None:
    await client.control("POST", "faults", [{"kind": "lie_ok"}, {"kind": "lie_error"}])
    assert codes(await client.call(delete())) == [0]
    assert ("calendar:address", 671, 153) in await client.links()
    assert codes(await client.call(delete())) == [168]
    assert ("calendar:address", 671, 153) not in await client.links()


async def test_a_rule_applies_where_it_matches_and_as_often_as_it_says(client: Client) -> None:
    match = {"childid": 153, "action": "delete", "account": "default", "relationtype": "calendar:address"}
    await client.control("POST", "faults", {"kind": "action_code", "times": 2, "match": match, "params": {"code": 1}})
    assert codes(await client.call(delete(10, 20, PREFIX + "estate:address:buyer"))) == [0]
    assert codes(await client.call(delete(name="a"), delete(1, 1, name="b"))) == [1, 168]
    assert codes(await client.call(delete())) == [1]
    assert codes(await client.call(delete())) == [0]
    assert await client.control("GET", "faults") == []


async def test_the_rate_guard_and_the_figures(client: Client) -> None:
    await client.control("PATCH", "options", {"limit_per_second": 3})
    statuses = [(await client.raw(delete(1, 1))).status for _ in range(6)]
    assert statuses == [200, 200, 200, 200, 429, 429]
    stats = await client.control("GET", "stats")
    assert (stats["requests"], stats["worst_second"]) == (6, {"default": 6})
    assert len(await client.control("GET", "log/times?account=default")) == 6


async def test_the_log_tells_what_happened_and_no_token(client: Client) -> None:
    await client.call(delete(name="job-1"))
    await client.call(delete(name="job-2"))
    log = await client.control("GET", "log?since=1")
    assert len(log) == 1
    (action,) = log[0]["actions"]
    assert (action["identifier"], action["errorcode"], action["effect"]) == ("job-2", 168, "")
    assert DEFAULT_TOKEN not in json.dumps(await client.control("GET", "log"))
    assert DEFAULT_SECRET not in json.dumps(await client.control("GET", "options"))


async def test_generate_and_reset(client: Client) -> None:
    wish = {"relationtype": "calendar:estate", "parents": 100, "children_per_parent": 50}
    assert (await client.control("POST", "links/generate", wish))["links"] == 5011
    assert (await client.control("DELETE", "links"))["links"] == 0
    assert (await client.control("POST", "reset"))["links"] == 11


@pytest.mark.parametrize(
    ("method", "path", "body", "word"),
    [
        ("POST", "faults", {"kind": "nonsense"}, "kind must be one of"),
        ("POST", "faults", {"kind": "slow", "times": 0}, "times must be"),
        ("POST", "faults", {"kind": "slow", "probability": 2}, "probability must be"),
        ("POST", "faults", {"kind": "slow", "match": {"x": 1}}, "match may hold"),
        ("POST", "faults", {"kind": "slow", "color": 1}, "'color' is no field"),
        ("PATCH", "options", {"nonsense": 1}, "is no option"),
        ("PATCH", "options", {"mixed_top": "x"}, "mixed_top must be one of"),
        ("PATCH", "options", {"latency_ms": "x"}, "latency_ms must be a number"),
        ("PUT", "links", {"a": 1}, "list of links"),
        ("PUT", "links", [{"relationtype": "x"}], "integers"),
        ("PUT", "links", [{**LINK, "relationtype": "x:y"}], "relationtype 'x:y'"),
        ("POST", "links/generate", {"relationtype": "calendar:address"}, "parents must be"),
        ("PUT", "rights", {"x": []}, "hidden_types"),
        ("GET", "log?since=x", None, "since must be"),
    ],
)
async def test_bad_control_input_says_what_is_wrong(
    client: Client, method: str, path: str, body: object, word: str
) -> None:
    assert word in (await client.control(method, path, body))["error"]


def test_every_fault_is_described() -> None:
    assert all(KINDS.values())


def create(child: int, info: dict[str, str] | None = None, urn: str = CALENDAR, name: str = "a") -> Action:
    return create_relation(name, urn, 671, child, info)


async def test_a_participant_is_created_with_a_status_and_read_with_it(client: Client) -> None:
    assert codes(await client.call(create(154, relationinfo("confirmed")), create(155, name="b"))) == [0, 0]
    document = await client.call(read_confirmations("c", 671))
    (record,) = document["response"]["results"][0]["data"]["records"]
    assert (record["id"], record["elements"]["confirmationStatus"]) == (671, "confirmed")
    assert record["elements"]["addresses"] == [
        {"id": 153, "confirmationStatus": "not-set"},
        {"id": 154, "confirmationStatus": "confirmed"},
        {"id": 155, "confirmationStatus": "not-set"},
    ]
    await client.call(delete(671, 154), create(154, name="b"))
    confirmed = (await client.control("GET", "state"))["confirmations"]
    assert confirmed == [], "a new link has a status of its own"


async def test_creates_that_cannot_be_are_refused_and_counted(client: Client) -> None:
    odd = {"statusTerminbestaetigung": "confirmed"}
    assert codes(await client.call(create(1, odd))) == [179]
    assert codes(await client.call(create(1, relationinfo("sent"), PREFIX + "calendar:estate"))) == [179]
    await client.control("PUT", "rights", {"unknown_records": [7]})
    assert codes(await client.call(create(7))) == [80]
    assert codes(await client.call(read_confirmations("a", 7))) == [169]
    await client.call(create(153))
    await client.call(create(200))
    stats = await client.control("GET", "stats")
    assert (stats["created"], stats["created_existing"]) == (1, [LINK])
    await client.control("PATCH", "options", {"create_existing_code": 173, "unknown_appointment_code": 0})
    assert codes(await client.call(create(153))) == [173]
    document = await client.call(read_confirmations("a", 7))
    assert document["response"]["results"][0]["data"]["records"] == []


async def test_creates_lie_as_deletes_do_and_failed_requests_may_be_done(client: Client) -> None:
    await client.control("POST", "faults", [{"kind": "lie_ok"}, {"kind": "lie_error"}])
    assert codes(await client.call(create(300))) == [0]
    assert codes(await client.call(create(301))) == [78]
    await client.control("POST", "faults", {"kind": "request_code", "params": {"code": 1, "done": True}})
    assert (await client.call(create(302)))["response"]["results"] == []
    await client.control("POST", "faults", {"kind": "request_code", "params": {"code": 1}, "match": {"parentid": 671}})
    assert (await client.call(read_confirmations("a", 671)))["response"]["results"] == []
    made = {link[2] for link in await client.links() if link[0] == "calendar:address"}
    assert made == {153, 301, 302}


@pytest.mark.parametrize("status", ["bestätigt", "", None, 5])
async def test_a_status_that_is_none_is_refused(client: Client, status: object) -> None:
    answer = await client.control("PUT", "links", [{**LINK, "confirmation": status}])
    assert "confirmation" in answer["error"]
    other = {"relationtype": "calendar:estate", "parentid": 1, "childid": 2, "confirmation": "sent"}
    assert "confirmation" in (await client.control("PUT", "links", [other]))["error"]


@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_body_breaks_it(body: bytes) -> None:
    api = Api(seeded(10), SandboxOptions(), Faults())

    async def ask() -> int:
        class Request:
            transport = None

            async def read(self) -> bytes:
                return body

        response = await api.post(Request())  # type: ignore[arg-type]  # all of a request that the handler looks at
        return response.status

    assert asyncio.run(ask()) == 200
