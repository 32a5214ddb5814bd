"""The client against a server that answers with what it was sent, in no shape that HTTP or onOffice knows."""

import asyncio
import time
from contextlib import nullcontext

import pytest

from worker.onoffice.client import Client
from worker.onoffice.clock import SigningClock
from worker.onoffice.errors import OnOfficeError
from worker.onoffice.protocol import Credentials, harmless_read
from worker.onoffice.transport import Timeouts, Transport

TOKEN, SECRET = "q7Zk2vXw9Tn4Lb8Rm1Yc6Hd3Jf5Gs0Pa", "Vb5nK8wQ1zX4cJ7mR0tY3uI6oP9aS2dFgH5jL8kZ1xC4vB7nM0qW3eR6tY9uI2pQ"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n"


@pytest.mark.parametrize(
    "before",
    [
        b"\x1b[2J",  # no status line, but a word to the terminal
        b"HTTP/1.1 ",  # what was sent is the status
        b"HTTP/1.1 200 OK\r\n",  # the headers
        WHOLE + b"\r\n",  # the body, cut off
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",  # the size of a chunk
    ],
)
async def test_no_error_repeats_what_was_sent(before: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = await reader.readuntil(b"}}]}}")
        writer.write(before + heard.partition(b"\r\n\r\n")[2])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with Transport(f"http://127.0.0.1:{port}/api.php", Timeouts(total=5)) as transport:
            client = Client(transport, Credentials(TOKEN, SECRET), SigningClock(time.time))
            with pytest.raises(OnOfficeError) as caught:
                await client.call_once([harmless_read("read")], nullcontext)
    finally:
        server.close()
        await server.wait_closed()
    assert TOKEN[:12] not in str(caught.value)
    assert "hmac" not in str(caught.value) or "**" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 300
