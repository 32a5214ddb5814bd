"""Lists from outside: what is read, and what is an error rather than a short list."""

import asyncio
import gzip
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from gateway.reconciling.source_errors import SourceFailed
from gateway.reconciling.sources import Sources
from sandbox import Sandbox
from tests.integration.test_reading_desk import desk
from worker.engine.threads import in_thread
from worker.onoffice.pages import Condition
from worker.unlinking import id_lists
from worker.unlinking.id_lists import BadList, read_rows
from worker.unlinking.policies import (
    FileSource,
    HttpSource,
    IdsSource,
    RecordsSource,
    Reference,
    Source,
    SqlSource,
)

SECRET = "secret-word-42"


async def read(source: Source, width: int = 1, **environ: str) -> set[tuple[int, ...]]:
    sources = Sources(environ, None)  # type: ignore[arg-type]  # only records need a desk
    return set(await sources.read("keep", source, width))


async def failure(source: Source, width: int = 1, **environ: str) -> str:
    with pytest.raises(SourceFailed) as error:
        await read(source, width, **environ)
    assert str(error.value).startswith("keep: ")
    assert SECRET not in str(error.value)
    return str(error.value).removeprefix("keep: ")


# rows


def test_a_row_is_an_id_in_any_dress() -> None:
    values: list[object] = [1, "2", " 3 ", 4.0, Decimal(5), Decimal("6.00"), 2**63 - 1]
    assert read_rows([(n, [value]) for n, value in enumerate(values, start=1)], 1) == {
        (1,),
        (2,),
        (3,),
        (4,),
        (5,),
        (6,),
        (2**63 - 1,),
    }
    assert read_rows([(1, [1, 2]), (2, [2, 1])], 2) == {(1, 2), (2, 1)}


NO_ID: list[object] = [
    None, "", "x", "1a", "-1", "0", 0, -1, 1.5, True, 2**63, "9" * 40, float("nan"), float("inf"), Decimal("NaN"),
    "\u0661", [], {}, "1,2", 2.0**60, b"1",
]  # fmt: skip


@pytest.mark.parametrize("value", NO_ID, ids=repr)
def test_what_is_no_id_is_an_error_with_its_row(value: object) -> None:
    with pytest.raises(BadList, match=r"^row 2: "):
        read_rows([(1, [1]), (2, [value]), (3, [3])], 1)


def test_every_wrong_row_is_told_up_to_ten() -> None:
    with pytest.raises(BadList) as error:
        read_rows(enumerate([["x"]] * 25, start=1), 1)
    assert str(error.value).count("row ") == 10
    assert str(error.value).endswith("; and 15 more")


def test_a_repeated_row_is_an_error_that_names_both() -> None:
    with pytest.raises(BadList, match="row 9: 5, 6 stands there already, in row 7"):
        read_rows([(7, [5, 6]), (8, [6, 5]), (9, ["5", 6])], 2)


def test_a_list_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_lists, "MOST_ROWS", 10)
    with pytest.raises(BadList, match="more than 10 rows"):
        read_rows(((n, [n]) for n in range(1, 10**9)), 1)


@given(st.lists(st.integers(1, 50)))
def test_a_list_is_read_whole_or_not_at_all(ids: list[int]) -> None:
    rows = enumerate(([each] for each in ids), start=1)
    if len(set(ids)) < len(ids):
        with pytest.raises(BadList):
            read_rows(rows, 1)
    else:
        assert read_rows(rows, 1) == {(each,) for each in ids}


async def test_a_list_in_the_policies_file() -> None:
    assert await read(IdsSource(((1,), (2,)))) == {(1,), (2,)}
    assert "stands there already" in await failure(IdsSource(((1,), (1,))))


# files


def file(tmp_path: Path, content: str | bytes, **rest: Any) -> FileSource:
    path = tmp_path / "ids.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return FileSource(str(path), **rest)


async def test_files(tmp_path: Path) -> None:
    assert await read(file(tmp_path, "1\n2\n\n3")) == {(1,), (2,), (3,)}
    assert await read(file(tmp_path, b"\xef\xbb\xbf1\r\n2\r\n")) == {(1,), (2,)}
    assert await read(file(tmp_path, "1,2\n3,4\n"), 2) == {(1, 2), (3, 4)}
    named = file(tmp_path, 'name;estate;"a"\nx;1;9\n"y\nz";2;8\n', columns=("estate",), delimiter=";")
    assert await read(named) == {(1,), (2,)}
    swapped = file(tmp_path, "child,parent\n1,2\n", columns=("parent", "child"))
    assert await read(swapped, 2) == {(2, 1)}


@pytest.mark.parametrize(
    ("content", "rest", "text"),
    [
        ("1\nx\n", {}, "row 2: 'x' is no record id"),
        ("1,2\n", {}, "row 1: has 2 values where 1 must be"),
        ("1\n1\n", {}, "row 2: 1 stands there already, in row 1"),
        (b"1\n\xff\n", {}, "is not UTF-8"),
        ("a\n", {"columns": ("id",)}, "column 'id' is not in its header: a"),
        ("id,id\n", {"columns": ("id",)}, "column 'id' is twice in its header"),
        ("", {"columns": ("id",)}, "not even its header"),
        ("a,id\n1\n", {"columns": ("id",)}, "line 2 has 1 values, fewer than the header"),
        ('"1\n2\n', {}, "is no such table"),
        ("1\0\n", {}, "row 1"),
    ],
)
async def test_files_that_cannot_be_used(tmp_path: Path, content: str | bytes, rest: Any, text: str) -> None:
    assert text in await failure(file(tmp_path, content, **rest))


async def test_files_that_are_none(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in await failure(FileSource(str(tmp_path / "none")))
    assert "cannot be read: Is a directory" in await failure(FileSource(str(tmp_path)))


async def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = file(tmp_path, "1\n2\n")
    path = Path(source.path)

    def slowly(rows: Any, width: int) -> Any:
        first = next(rows)
        path.write_text("1\n2\n3\n")
        return read_rows([first, *rows], width)

    monkeypatch.setattr("gateway.reconciling.sources.read_rows", slowly)
    assert "was written to while it was read" in await failure(source)


# databases


def database(tmp_path: Path) -> str:
    path = tmp_path / "crm.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table links (estate integer, address text, at text)")
        connection.executemany("insert into links values (?, ?, '12:30')", [(1, "10"), (2, "20")])
    return f"sqlite:///{path}"


async def test_queries(tmp_path: Path) -> None:
    dsn = database(tmp_path)
    assert await read(SqlSource(dsn, "select estate from links where at = '12:30' and at <> ' :x'")) == {(1,), (2,)}
    assert await read(SqlSource(dsn, "select estate, address from links"), 2) == {(1, 10), (2, 20)}
    assert await read(SqlSource(dsn, "select * from links", ("address", "estate")), 2) == {(10, 1), (20, 2)}
    assert await read(SqlSource(Reference(env="CRM"), "select 100 % 7"), CRM=dsn) == {(2,)}
    (tmp_path / "dsn").write_text(dsn + "\n")
    assert await read(SqlSource(Reference(file=str(tmp_path / "dsn")), "select 3")) == {(3,)}


async def test_an_empty_result_is_an_empty_list_and_whether_it_may_be_is_not_its_own_to_say(tmp_path: Path) -> None:
    assert await read(SqlSource(database(tmp_path), "select estate from links where 1 = 2")) == set()


@pytest.mark.parametrize(
    ("query", "columns", "text"),
    [
        ("select none from links", (), "the query failed: no such column: none"),
        ("selec", (), "the query failed: near"),
        ("select estate, address from links", (), "the query gives 2 columns where 1 must be"),
        ("select estate from links", ("id",), "the result has the columns estate, not id"),
        ("create table x (y)", (), "the query returns no rows"),
        ("delete from links", (), "the query returns no rows"),
        ("select null", (), "row 1: an id is missing"),
        ("select estate from links union all select estate from links", (), "row 3: 1 stands there already, in row 1"),
        ("select 'x'", (), "row 1: 'x' is no record id"),
    ],
)
async def test_queries_that_cannot_be_used(tmp_path: Path, query: str, columns: tuple[str, ...], text: str) -> None:
    dsn = database(tmp_path)
    assert text in await failure(SqlSource(dsn, query, columns))
    assert await read(SqlSource(dsn, "select count(*) from links")) == {(2,)}, "nothing is ever committed"


async def test_databases_that_are_none(tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    assert "there is no database" in await failure(SqlSource(f"sqlite:///{missing}", "select 1"))
    assert not missing.exists()
    assert "environment variable CRM is not set" in await failure(SqlSource(Reference(env="CRM"), "select 1"))
    assert "is no URL" in await failure(SqlSource(Reference(env="CRM"), "select 1"), CRM=f"no url {SECRET}")
    driver = f"postgresql+psycopg://me:{SECRET}@127.0.0.1:9/x"
    assert "the driver 'psycopg' is not installed" in await failure(SqlSource(Reference(env="CRM"), "x"), CRM=driver)


async def test_a_query_that_does_not_end(tmp_path: Path) -> None:
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"
    start = time.monotonic()
    assert "no complete answer in time (SQL query)" in await failure(SqlSource(database(tmp_path), endless, (), 0.3))
    assert time.monotonic() - start < 5


async def test_blocking_work_returns_and_raises_as_if_it_were_none() -> None:
    assert await in_thread(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)


# the web


@dataclass
class Web:
    """A server whose pages a test sets."""

    server: TestServer
    pages: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(default_factory=dict)
    seen: list[web.Request] = field(default_factory=list)

    def url(self, path: str = "/ids") -> str:
        return str(self.server.make_url(path))

    def json(self, document: object, path: str = "/ids", **rest: Any) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.json_response(document, **rest)

        self.pages[path] = answer

    def raw(self, content: bytes, content_type: str = "application/json", **rest: Any) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(body=content, content_type=content_type, **rest)

        self.pages["/ids"] = answer


@pytest.fixture
async def site() -> AsyncIterator[Web]:
    """A web server in this process."""

    async def handle(request: web.Request) -> web.StreamResponse:
        found.seen.append(request)
        return await found.pages[request.path](request)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    found = Web(server)
    yield found
    await server.close()


async def test_documents(site: Web) -> None:
    site.json([1, "2"])
    assert await read(HttpSource(site.url())) == {(1,), (2,)}
    site.json({"data": {"rows": [{"p": {"id": 1}, "c": "5"}, {"p": {"id": 2}, "c": "6"}], "n": 2}})
    source = HttpSource(site.url(), items="data.rows", columns=("p.id", "c"), count="data.n")
    assert await read(source, 2) == {(1, 5), (2, 6)}
    site.raw(gzip.compress(b"[7]"), headers={"Content-Encoding": "gzip"})
    assert await read(HttpSource(site.url())) == {(7,)}


async def test_pages(site: Web) -> None:
    site.json({"items": [1, 2], "all": 3, "next": "/more?x=1"})
    site.json({"items": [3], "all": 3, "next": None}, "/more")
    source = HttpSource(site.url(), items="items", count="all", next="next")
    assert await read(source) == {(1,), (2,), (3,)}
    site.json({"items": [3], "all": 4}, "/more")
    assert "all changed from 3 to 4 between its pages" in await failure(source)
    site.json({"items": [], "all": 3}, "/more")
    assert "it says all = 3, but 2 items came" in await failure(source)
    site.json({"items": [3], "all": 3, "next": "/ids"}, "/more")
    assert "never end" in await failure(source)
    site.json({"items": [3], "all": 3, "next": "http://elsewhere.example/"}, "/more")
    assert "leads to another server" in await failure(source)


async def test_headers_reach_the_server_and_nobody_else(site: Web, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"Bearer {SECRET}\n")
    headers: dict[str, str | Reference] = {
        "X-Plain": "yes",
        "Authorization": Reference(file=str(tmp_path / "token")),
        "X-Key": Reference(env="KEY"),
    }
    site.json([1])
    assert await read(HttpSource(Reference(env="URL"), headers=headers), KEY=SECRET, URL=site.url()) == {(1,)}
    sent = site.seen[0].headers
    assert (sent["X-Plain"], sent["Authorization"], sent["X-Key"]) == ("yes", f"Bearer {SECRET}", SECRET)
    for url in (f"http://127.0.0.1:9/{SECRET}", f"http://u:{SECRET}@[::1/", f"nothing {SECRET}", f"ftp://{SECRET}"):
        await failure(HttpSource(Reference(env="URL")), URL=url)


@pytest.mark.parametrize(
    ("document", "rest", "text"),
    [
        ({"a": 1}, {}, "has no list at its top"),
        ({"items": {}}, {"items": "items"}, "has no list at 'items'"),
        ([1], {"items": "a.b"}, "has no list at 'a.b'"),
        ({"items": [1, 2], "n": 3}, {"items": "items", "count": "n"}, "it says n = 3, but 2 items came"),
        ({"items": [1]}, {"items": "items", "count": "n"}, "does not tell how many items there are at 'n'"),
        ({"items": [1], "n": "1"}, {"items": "items", "count": "n"}, "does not tell how many"),
        ({"items": [1], "next": 5}, {"items": "items", "next": "next"}, "next is int, no address"),
        ([{"id": 1}, {}], {"columns": ("id",)}, "row 2: an id is missing"),
        ([{"id": 1}, 7], {"columns": ("id",)}, "row 2: an id is missing"),
        ([{"id": 1}], {}, "is no record id"),
        ([1, 1], {}, "row 2: 1 stands there already"),
    ],
)
async def test_documents_that_cannot_be_used(site: Web, document: object, rest: Any, text: str) -> None:
    site.json(document)
    assert text in await failure(HttpSource(site.url(), **rest))


async def test_answers_that_are_none(site: Web) -> None:
    site.json([1], status=404)
    assert "answered HTTP 404" in await failure(HttpSource(site.url()))
    site.json([1], status=302, headers={"Location": "/elsewhere"})
    assert "answered HTTP 302, a redirection" in await failure(HttpSource(site.url()))
    site.json([1], status=206)
    assert "answered HTTP 206" in await failure(HttpSource(site.url()))
    site.raw(b"<html>please log in</html>", "text/html")
    assert "answered text/html, no JSON" in await failure(HttpSource(site.url()))
    site.raw(b"[1, 2")
    assert "was cut off" in await failure(HttpSource(site.url()))
    site.raw(b"")
    assert "is no JSON" in await failure(HttpSource(site.url()))
    site.raw(b"[" * 100_000)
    assert "is no JSON" in await failure(HttpSource(site.url()))
    assert "cannot be reached" in await failure(HttpSource("http://127.0.0.1:9/ids"))


async def test_a_connection_that_breaks_off_is_no_short_list(site: Web) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"[1, 2]")
        assert request.transport is not None
        request.transport.abort()
        return response

    site.pages["/ids"] = half
    assert "broke off" in await failure(HttpSource(site.url()))


async def test_a_server_that_hangs(site: Web) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    site.pages["/ids"] = hang
    assert "no complete answer in time (HTTP http" in await failure(HttpSource(site.url(), seconds=0.2))


async def test_a_document_without_end(site: Web) -> None:
    site.raw(json.dumps(list(range(1, 400_000))).encode())
    assert "is larger than 1 MB" in await failure(HttpSource(site.url(), megabytes=1))
    site.raw(gzip.compress(b"[" + b" " * 50_000_000), headers={"Content-Encoding": "gzip"})
    assert "is larger than 1 MB" in await failure(HttpSource(site.url(), megabytes=1))


# onOffice


async def test_records_of_onoffice(box: Sandbox, redis_url: str) -> None:
    for number in range(1, 1203):
        box.api.state.records.put("estate", number, {"verkauft": number % 2})
    async with desk(box, redis_url) as open_desk:
        sources = Sources({}, open_desk)
        sold = RecordsSource("estate", (Condition("verkauft", "=", 1),))
        assert await sources.read("scope", sold, 1) == {(number,) for number in range(1, 1203, 2)}
        assert await sources.everything("keep", sold) == set(range(1, 1203))
        from sandbox.faults import Rule

        box.api.faults.add([Rule.from_document({"kind": "drop_records", "times": 1, "params": {"count": 1}})])
        with pytest.raises(SourceFailed, match="scope: the estate records could not be read"):
            await sources.read("scope", sold, 1)
