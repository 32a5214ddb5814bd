"""The reading desk: many links with few requests; what passes is waited for; a failure is never taken for emptiness."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import redis.asyncio
from aiohttp import web

from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN, Sandbox, SandboxOptions
from sandbox.faults import Rule
from worker.engine import polite_api
from worker.engine.polite_api import ReadFailed
from worker.engine.reading_desk import DeskOptions, ReadingDesk, RelatedUnread
from worker.engine.runtime import AccountAccess
from worker.onoffice.pages import Condition, Record
from worker.onoffice.protocol import Credentials
from worker.stores import keys
from worker.stores.halts import Halt, HaltedBy, Halts
from worker.unlinking.job import Relation
from worker.unlinking.judging import Sight
from worker.unlinking.reading import plan_reads
from worker.unlinking.viewer import Unread

KIND = "agentsLog:address"
FREE_PORT = "http://127.0.0.1:9/api/stable/api.php"  # nobody listens on discard


@asynccontextmanager
async def desk(
    box: Sandbox, redis_url: str, *, patience: float = 5.0, timeout: float = 5.0, rate: float = 1000, url: str = ""
) -> AsyncIterator[ReadingDesk]:
    access = AccountAccess(Credentials(DEFAULT_TOKEN, DEFAULT_SECRET), rate, 50, 4)
    options = DeskOptions(
        account="default",
        access=access,
        onoffice_url=url or box.url,
        records_url=redis_url,
        request_timeout=timeout,
        lease=30,
        patience=patience,
    )
    async with ReadingDesk(options) as desk:
        yield desk


@pytest.fixture(autouse=True)
def little_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules are those of a long wait; only the seconds are fewer."""
    monkeypatch.setattr(polite_api, "PAUSE", 0.02)
    monkeypatch.setattr(polite_api, "PROBE_PAUSE", 0.05)


def fault(box: Sandbox, kind: str, times: int | None = 1, **rest: Any) -> None:
    box.api.faults.add([Rule.from_document({"kind": kind, "times": times, **rest})])


def fill(box: Sandbox, parents: int, children: int) -> None:
    box.api.state.add((KIND, parent, child) for parent in range(1, parents + 1) for child in range(1, children + 1))


def requests(box: Sandbox) -> int:
    return box.api.state.counts["requests"]


async def records(desk: ReadingDesk, *conditions: Condition, resource: str = "estate") -> list[Record]:
    return [record async for page in desk.records(resource, conditions) for record in page]


async def test_many_links_take_few_requests(box: Sandbox, redis_url: str) -> None:
    fill(box, 2000, 5)
    links = [Relation(KIND, parent, child) for parent in range(1, 2001) for child in (1, 6)]
    async with desk(box, redis_url) as open_desk:
        views = await open_desk.look(links)
        assert [views[link] for link in links] == [Sight.PRESENT, Sight.ABSENT] * 2000
        assert requests(box) == 1, "the shorter side is two children"
        survey = await open_desk.survey(plan_reads(links, by_parents=True))
        assert survey.views == views
        assert survey.extents == {(KIND, parent): 5 for parent in range(1, 2001)}
        assert requests(box) == 2, "four reads of 500 parents in one more request"
    sizes = [len(action.parentid or action.childid) for request in box.api.state.log for action in request.actions]  # type: ignore[arg-type]  # lists of ids
    assert max(sizes) == 500


async def test_children_and_parents_are_all_there(box: Sandbox, redis_url: str) -> None:
    fill(box, 1001, 3)
    async with desk(box, redis_url) as open_desk:
        children = await open_desk.children(KIND, range(1, 1003))
        assert children == {parent: frozenset({1, 2, 3}) for parent in range(1, 1002)} | {1002: frozenset()}
        parents = await open_desk.parents(KIND, [3, 4])
        assert parents == {3: frozenset(range(1, 1002)), 4: frozenset()}


async def test_absence_is_proven_by_what_any_part_of_the_look_showed(box: Sandbox, redis_url: str) -> None:
    fill(box, 1, 1)
    absent = [Relation(KIND, parent, 1) for parent in range(2, 20_000)]
    async with desk(box, redis_url) as open_desk:
        survey = await open_desk.survey(plan_reads(absent, by_parents=True))
        assert set(survey.views.values()) == {Sight.NOT_SEEN}
        survey = await open_desk.survey(plan_reads([*absent, Relation(KIND, 1, 1)], by_parents=True))
        assert {survey.views[link] for link in absent} == {Sight.ABSENT}
        assert await open_desk.seen([KIND, "calendar:address"]) == {KIND}


@pytest.mark.parametrize(
    "kind",
    [
        "unavailable_503",
        "throttle_429",
        "bad_gateway_502",
        "html_200",
        "reset_before",
        "reset_after",
        "cut_body",
        "empty_body",
        "truncated_json",
        "wrong_shape",
        "drop_results",
        "foreign_identifier",
    ],
)
async def test_what_passes_is_waited_for(box: Sandbox, redis_url: str, kind: str) -> None:
    fill(box, 3, 2)
    fault(box, kind, 2)
    async with desk(box, redis_url) as open_desk:
        assert await open_desk.children(KIND, [1, 2, 3, 4]) == {n: frozenset({1, 2}) for n in (1, 2, 3)} | {
            4: frozenset()
        }
    assert not box.api.faults.documents()


async def test_a_passing_code_is_asked_again(box: Sandbox, redis_url: str) -> None:
    fill(box, 1, 1)
    fault(box, "action_code", 2, params={"code": 26})
    async with desk(box, redis_url) as open_desk:
        assert await open_desk.children(KIND, [1]) == {1: frozenset({1})}


async def test_an_api_that_is_down_is_an_error_in_bounded_time(box: Sandbox, redis_url: str) -> None:
    start = time.monotonic()
    async with desk(box, redis_url, patience=0.5, url=FREE_PORT) as open_desk:
        with pytest.raises(ReadFailed, match="has not answered for"):
            await open_desk.look([Relation(KIND, 1, 1)])
    assert time.monotonic() - start < 30


async def test_an_api_that_hangs_is_an_error_in_bounded_time(box: Sandbox, redis_url: str) -> None:
    fault(box, "hang_before", None, params={"seconds": 20})
    start = time.monotonic()
    async with desk(box, redis_url, patience=0.5, timeout=0.3) as open_desk:
        with pytest.raises(ReadFailed, match="has not answered for"):
            await open_desk.children(KIND, range(1, 5000))
    assert time.monotonic() - start < 20


async def test_a_read_that_fails_alone_is_unread_and_not_empty(box: Sandbox, redis_url: str) -> None:
    fill(box, 3, 1)
    fault(box, "action_code", None, match={"relationtype": KIND}, params={"code": 170, "text": "no right"})
    links = [Relation(KIND, 1, 1), Relation("calendar:address", 671, 153)]
    async with desk(box, redis_url) as open_desk:
        views = await open_desk.look(links)
        assert views[links[1]] is Sight.PRESENT
        assert isinstance(views[links[0]], Unread)
        with pytest.raises(RelatedUnread, match="3 of 3 records could not be read, 1 for one: error 170: no right"):
            await open_desk.children(KIND, [1, 2, 3])


async def test_what_is_too_much_at_once_is_split(redis_url: str) -> None:
    """The bound of a reply is 16 MB; ten reads of 500 parents with 600 children each are more."""
    box = Sandbox()
    box.api.state.add((KIND, parent, child) for parent in range(1, 5001) for child in range(10**8, 10**8 + 400))
    async with box, desk(box, redis_url, timeout=20) as open_desk:
        children = await open_desk.children(KIND, range(1, 5001))
    assert {len(each) for each in children.values()} == {400}
    assert len(children) == 5000
    assert requests(box) > 2


class Slow:
    """An API that answers only requests of up to so many actions in time."""

    def __init__(self, box: Sandbox, most: int) -> None:
        self._answer = box.api.post
        self._most = most
        self.sizes: list[int] = []  # of the requests it got

    async def post(self, request: web.Request) -> web.StreamResponse:
        size = len(json.loads(await request.read())["request"]["actions"])
        self.sizes.append(size)
        if size > self._most:
            await asyncio.sleep(10)
        return await self._answer(request)


async def test_what_takes_too_long_at_once_is_split(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what comes after it begins smaller."""
    box = Sandbox()
    slow = Slow(box, 3)
    monkeypatch.setattr(box.api, "post", slow.post)
    fill(box, 5000, 1)
    async with box, desk(box, redis_url, timeout=0.5) as open_desk:
        assert len(await open_desk.children(KIND, range(1, 5001))) == 5000
        before = len(slow.sizes)
        assert len(await open_desk.children(KIND, range(1, 5001))) == 5000
    assert slow.sizes[0] == 10
    assert max(slow.sizes[before:]) < 10


@pytest.mark.parametrize(("code", "text"), [(41, "error 41"), (137, "error 137"), (22, "error 22")])
async def test_a_refused_account_ends_it_at_once(box: Sandbox, redis_url: str, code: int, text: str) -> None:
    fault(box, "action_code", None, params={"code": code, "text": "refused"})
    async with desk(box, redis_url) as open_desk:
        with pytest.raises(ReadFailed, match=f"the account is refused: {text}: refused"):
            await open_desk.look([Relation(KIND, 1, 1)])


async def test_a_halted_account_sends_nothing(box: Sandbox, redis_url: str, store: "redis.asyncio.Redis") -> None:
    await Halts(store).halt("default", Halt(by=HaltedBy.OPERATOR, why="a test", since=0))
    async with desk(box, redis_url) as open_desk:
        with pytest.raises(ReadFailed, match="halted; `unlinker accounts list`"):
            await open_desk.children(KIND, [1])
    assert requests(box) == 0


async def test_it_waits_for_the_shared_limit_and_leaves_no_place_taken(
    box: Sandbox, redis_url: str, store: "redis.asyncio.Redis"
) -> None:
    fill(box, 1, 1)
    async with desk(box, redis_url, rate=20) as open_desk:
        await asyncio.gather(*(open_desk.children(KIND, [1]) for _ in range(12)))
    assert box.api.state.worst_window("default") <= 21
    assert box.api.state.most_in_flight <= 2, "half of what the account may have in flight"
    assert await store.zcard(keys.in_flight("default")) == 0


async def test_no_place_in_the_limit_is_an_error_in_bounded_time(
    box: Sandbox, redis_url: str, store: "redis.asyncio.Redis"
) -> None:
    for number in range(4):
        await store.zadd(keys.in_flight("default"), {f"other-{number}": 10**15})
    async with desk(box, redis_url, patience=0.4) as open_desk:
        with pytest.raises(ReadFailed, match="no request was allowed"):
            await open_desk.children(KIND, [1])
    assert requests(box) == 0


async def test_without_redis_nothing_is_read(box: Sandbox) -> None:
    with pytest.raises(redis.exceptions.RedisError):
        async with desk(box, "redis://127.0.0.1:9/0"):
            raise AssertionError("not reached")


async def test_records_come_in_pages_of_500(box: Sandbox, redis_url: str) -> None:
    for number in range(1, 1102):
        box.api.state.records.put("estate", number, {"status": number % 2, "ort": f"Ort {number % 3}"})
    async with desk(box, redis_url) as open_desk:
        assert [record.id for record in await records(open_desk)] == list(range(1, 1102))
        assert requests(box) == 3
        some = await records(open_desk, Condition("status", "=", 1), Condition("ort", "in", ["Ort 0", "Ort 1"]))
        assert [record.id for record in some] == [n for n in range(1, 1102) if n % 2 and n % 3 < 2]
        assert await records(open_desk, resource="address") == []


@pytest.mark.parametrize(
    ("kind", "params", "why"),
    [
        ("drop_records", {"count": 1}, "has 499 records where 500 are due"),
        ("repeat_records", {}, "came twice|the page at"),
        ("wrong_count", {"by": -1}, "there were|are due"),
        ("wrong_count", {"by": 700}, "are due|there were"),
        ("action_code", {"code": 149, "text": "no right"}, "error 149: no right"),
        ("drop_results", {"count": 1}, "no result"),
    ],
)
@pytest.mark.parametrize("page", [1, 2, 3])
async def test_pages_that_are_not_all_there_is_are_an_error(
    box: Sandbox, redis_url: str, kind: str, params: dict[str, Any], why: str, page: int
) -> None:
    """Whichever page is spoilt. Some fault kinds spoil all from there on, so that asking again does not help."""
    if kind == "wrong_count" and page == 1:
        page = 2  # a count that is wrong on every page alike can only be noticed at the end
    if kind == "repeat_records" and page == 1:
        page = 2
    for number in range(1, 1502):
        box.api.state.records.put("estate", number, {})
    async with desk(box, redis_url) as open_desk:
        with pytest.raises(ReadFailed, match=why):
            async for _ in _counted(open_desk, box, page, kind, params):
                pass


async def _counted(
    open_desk: ReadingDesk, box: Sandbox, page: int, kind: str, params: dict[str, Any]
) -> AsyncIterator[list[Record]]:
    if page == 1:
        fault(box, kind, None, params=params)
    number = 1
    async for found in open_desk.records("estate"):
        number += 1
        if number == page:
            fault(box, kind, None, params=params)
        yield found


@pytest.mark.parametrize("by", [-1, 700])
async def test_a_count_that_is_always_wrong_is_noticed_at_the_end(box: Sandbox, redis_url: str, by: int) -> None:
    for number in range(1, 702):
        box.api.state.records.put("estate", number, {})
    fault(box, "wrong_count", None, params={"by": by})
    async with desk(box, redis_url) as open_desk:
        with pytest.raises(ReadFailed, match=r"where .* are due"):
            await records(open_desk)


async def test_an_api_that_counts_nothing_is_not_believed(redis_url: str) -> None:
    box = Sandbox(SandboxOptions(record_count="null", record_ids="text"))
    box.api.state.records.put("estate", 1, {})
    async with box, desk(box, redis_url) as open_desk:
        with pytest.raises(ReadFailed, match="does not say how many"):
            await records(open_desk)


async def test_ids_as_text_are_ids(redis_url: str) -> None:
    box = Sandbox(SandboxOptions(record_ids="text"))
    box.api.state.records.put("estate", 5, {"ort": "Aachen"})
    async with box, desk(box, redis_url) as open_desk:
        assert [(record.id, dict(record.fields)) for record in await records(open_desk)] == [(5, {"Id": 5})]


async def test_an_unknown_field_is_named(box: Sandbox, redis_url: str) -> None:
    async with desk(box, redis_url) as open_desk:
        with pytest.raises(ReadFailed, match='error 75: Unknown field: "farbe"') as error:
            await records(open_desk, Condition("farbe", "=", "rot"))
    assert error.value.code == 75


async def test_the_sandbox_keeps_records_as_it_is_told(box: Sandbox) -> None:
    async with aiohttp.ClientSession() as http:

        async def control(method: str, path: str, body: object = None) -> Any:
            response = await http.request(method, f"{box.address}/_sandbox/{path}", json=body)
            return await response.json()

        put = [{"resource": "estate", "id": 5, "fields": {"status": 1}}]
        assert await control("PUT", "records", put) == {"estate": 1, "address": 0}
        wish = {"resource": "address", "count": 3, "first_id": 10, "fields": {"Ort": "Aachen"}}
        assert await control("POST", "records/generate", wish) == {"estate": 1, "address": 3}
        await control("PUT", "records/hidden", {"address": [11]})
        assert (await control("GET", "records"))["address"]["10"] == {"KdNr": 10, "id": 10, "Ort": "Aachen"}
        for bad in ([{"resource": "house", "id": 1}], [{"resource": "estate", "id": 0}], {"no": "list"}, [1]):
            assert "error" in await control("PUT", "records", bad)
        assert "error" in await control("POST", "records/generate", {"resource": "estate", "count": -1})
        assert "error" in await control("PUT", "records/hidden", {"house": [1]})
        assert await control("DELETE", "records") == {"estate": 0, "address": 0}
