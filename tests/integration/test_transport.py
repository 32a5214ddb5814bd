"""The transport against real sockets on 127.0.0.1: one tiny server per fault."""

import asyncio
import gzip
import json
import secrets
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from worker.onoffice.errors import OnOfficeError, ReplyTooLarge, RequestNotSent, RequestUnanswered, UnreadableReply
from worker.onoffice.replies import parse_reply
from worker.onoffice.transport import Timeouts, Transport

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SOON = Timeouts(connect=2.0, total=0.3)
PATIENT = Timeouts(connect=2.0, total=10.0)
KILOBYTE, MEGABYTE = 1024, 1024 * 1024


@asynccontextmanager
async def serving(handler: Handler, scheme: str = "http") -> AsyncIterator[str]:
    """A server that gives each connection to `handler`; yields its address."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/stable/api.php"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def receive(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    """One request: its headers (the request line as "") and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = {"": head[0]} | {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:])}
    return headers, await reader.readexactly(int(headers["content-length"]))


def reply(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    lines = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def answering(*replies: bytes) -> Handler:
    """Answers the requests of a connection with these bytes, one after another, then closes it."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in replies:
            await receive(reader)
            writer.write(each)
            await writer.drain()

    return handler


async def test_post_and_answer() -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await receive(reader))
        writer.write(reply(b'{"a": 1}', Retry_After="3", X_Own="Yes"))

    async with serving(handler) as url, Transport(url, PATIENT) as transport:
        answer = await transport.post(b'{"token": "t"}')
    headers, body = seen[0]
    assert (answer.status, answer.body) == (200, b'{"a": 1}')
    assert (answer.headers["retry-after"], answer.headers["x-own"]) == ("3", "Yes")
    assert headers[""] == "POST /api/stable/api.php HTTP/1.1"
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "gzip, deflate"
    assert body == b'{"token": "t"}'


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "429 Slow Down", "500 Oops", "503 Unavailable"])
async def test_error_statuses_are_replies(status: str) -> None:
    async with serving(answering(reply(b"no", status))) as url, Transport(url, PATIENT) as transport:
        answer = await transport.post(b"{}")
    assert (answer.status, answer.body) == (int(status[:3]), b"no")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_redirects_are_not_followed(status: str) -> None:
    """A 307 would carry the token to wherever it points."""
    asked = []

    async def elsewhere(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(True)
        writer.write(reply(b"{}"))

    async with (
        serving(elsewhere) as target,
        serving(answering(reply(b"", status, Location=target))) as url,
        Transport(url, PATIENT) as transport,
    ):
        answer = await transport.post(b"{}")
    assert answer.status == int(status[:3])
    assert answer.headers["location"] == target
    assert not asked


async def test_cookies_are_not_kept() -> None:
    seen: list[dict[str, str]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            seen.append((await receive(reader))[0])
            writer.write(reply(b"{}", Set_Cookie="session=1; Path=/"))

    async with serving(handler) as url, Transport(url, PATIENT) as transport:
        await transport.post(b"{}")
        await transport.post(b"{}")
    assert [("cookie" in headers) for headers in seen] == [False, False]


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with serving(answering(reply(b"{}"))) as url, Transport(url, PATIENT) as transport:
        assert (await transport.post(b"{}")).status == 200


# --- surely nothing happened


async def test_refused() -> None:
    with socket.socket() as closed:  # bound and not listening: nobody else can take the port
        closed.bind(("127.0.0.1", 0))
        async with Transport(f"http://127.0.0.1:{closed.getsockname()[1]}/", PATIENT) as transport:
            with pytest.raises(RequestNotSent):
                await transport.post(b"{}")


async def test_unknown_host() -> None:
    async with Transport("http://unlinker.invalid/api.php", Timeouts(connect=5.0, total=10.0)) as transport:
        with pytest.raises(RequestNotSent):
            await transport.post(b"{}")


async def test_server_that_speaks_no_tls() -> None:
    requests = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.read(KILOBYTE))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(handler, scheme="https") as url, Transport(url, PATIENT) as transport:
        with pytest.raises(RequestNotSent):
            await transport.post(b"the-token")
    assert b"the-token" not in b"".join(requests)


async def test_server_that_never_finishes_the_tls_handshake() -> None:
    async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with (
        serving(handler, scheme="https") as url,
        Transport(url, Timeouts(connect=0.3, total=10.0)) as transport,
    ):
        with pytest.raises(RequestNotSent):
            await transport.post(b"{}")


@pytest.mark.parametrize("url", ["not an address", "http://", "ftp://127.0.0.1/"])
async def test_address_that_is_none(url: str) -> None:
    async with Transport(url, PATIENT) as transport:
        with pytest.raises(RequestNotSent):
            await transport.post(b"{}")


async def test_not_open_or_closed_again() -> None:
    transport = Transport("http://127.0.0.1:1/", PATIENT)
    with pytest.raises(RequestNotSent, match="not open"):
        await transport.post(b"{}")
    await transport.open()
    await transport.close()
    await transport.close()
    with pytest.raises(RequestNotSent, match="not open"):
        await transport.post(b"{}")


# --- it may have happened


async def test_hang_after_the_request() -> None:
    async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await receive(reader)
        await reader.read()

    async with serving(handler) as url, Transport(url, SOON) as transport:
        with pytest.raises(RequestUnanswered):
            await transport.post(b"{}")


async def test_hang_within_the_body() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await receive(reader)
        writer.write(reply(b'{"status": 1}')[:-5])
        await reader.read()

    async with serving(handler) as url, Transport(url, SOON) as transport:
        with pytest.raises(RequestUnanswered):
            await transport.post(b"{}")


async def test_reset_after_the_request() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await receive(reader)
        writer.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )  # close sends RST
        writer.transport.abort()

    async with serving(handler) as url, Transport(url, PATIENT) as transport:
        with pytest.raises(RequestUnanswered):
            await transport.post(b"{}")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
        b"\x00\xff garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        reply(b"this is not gzip at all", Content_Encoding="gzip"),
    ],
    ids=["closed", "cut head", "cut body", "cut chunk", "bad chunk", "bad length", "garbage", "huge header",
         "not gzip"],
)  # fmt: skip
async def test_broken_answers(answer: bytes) -> None:
    async with serving(answering(answer)) as url, Transport(url, PATIENT) as transport:
        with pytest.raises(RequestUnanswered):
            await transport.post(b"{}")


async def test_a_cut_gzip_stream_shows_nothing_that_was_not_sent() -> None:
    """aiohttp does not miss the rest, so a cut body comes as a shorter one; reading it as JSON fails then."""
    body = json.dumps({"status": {"errorcode": 0}, "random": secrets.token_hex(1000)}).encode()
    packed = gzip.compress(body)
    answer = reply(packed[: len(packed) // 2], Content_Encoding="gzip")
    async with serving(answering(answer)) as url, Transport(url, PATIENT) as transport:
        got = (await transport.post(b"{}")).body
    assert body.startswith(got)
    with pytest.raises(UnreadableReply):
        parse_reply(got, [])


async def test_a_reused_connection_that_breaks_is_not_tried_again() -> None:
    """aiohttp repeats idempotent methods on a stale connection. It must not repeat a delete that nobody answered."""
    connections, requests = [], []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(True)
        requests.append(await receive(reader))
        writer.write(reply(b"{}"))
        requests.append(await receive(reader))

    async with serving(handler) as url, Transport(url, PATIENT) as transport:
        await transport.post(b"first")
        with pytest.raises(RequestUnanswered):
            await transport.post(b"second")
    assert [body for _, body in requests] == [b"first", b"second"]
    assert len(connections) == 1


async def test_cancelling_is_not_swallowed() -> None:
    arrived = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await receive(reader)
        arrived.set()
        await reader.read()

    async with serving(handler) as url, Transport(url, PATIENT) as transport:
        post = asyncio.create_task(transport.post(b"{}"))
        await arrived.wait()
        post.cancel()
        with pytest.raises(asyncio.CancelledError):
            await post


async def test_errors_do_not_show_what_was_sent() -> None:
    async with serving(answering(b"")) as url, Transport(url, PATIENT) as transport:
        with pytest.raises(OnOfficeError) as caught:
            await transport.post(b'{"token": "T0KEN"}')
    assert "T0KEN" not in repr(caught.value)


# --- size


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_answers(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    body = b'{"status": {}}' * 10_000
    async with (
        serving(answering(reply(pack(body), Content_Encoding=encoding))) as url,
        Transport(url, PATIENT) as transport,
    ):
        assert (await transport.post(b"{}")).body == body


@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_size_is_counted_after_decompression(encoding: str | None) -> None:
    def answer(size: int) -> bytes:
        body = b"x" * size
        return reply(gzip.compress(body), Content_Encoding=encoding) if encoding else reply(body)

    for size, fits in ((100 * KILOBYTE, True), (100 * KILOBYTE + 1, False)):
        async with (
            serving(answering(answer(size))) as url,
            Transport(url, PATIENT, max_reply_bytes=100 * KILOBYTE) as transport,
        ):
            if fits:
                assert len((await transport.post(b"{}")).body) == size
            else:
                with pytest.raises(ReplyTooLarge):
                    await transport.post(b"{}")


async def test_answer_without_an_end() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await receive(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * KILOBYTE)
            await writer.drain()

    async with serving(handler) as url, Transport(url, PATIENT, max_reply_bytes=MEGABYTE) as transport:
        with pytest.raises(ReplyTooLarge):
            await transport.post(b"{}")


async def test_gzip_bomb_is_noticed_while_it_is_small() -> None:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(MEGABYTE)
    bomb = b"".join(packer.compress(zeros) for _ in range(256)) + packer.flush()  # 256 MB in 250 kB
    async with (
        serving(answering(reply(bomb, Content_Encoding="gzip"))) as url,
        Transport(url, PATIENT, max_reply_bytes=4 * MEGABYTE) as transport,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(ReplyTooLarge):
                await transport.post(b"{}")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 32 * MEGABYTE
