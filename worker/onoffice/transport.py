"""The HTTP side: one aiohttp session per process, one POST at a time and call. All meaning is given elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import aiohttp

from worker.onoffice.errors import Overloaded, ReplyTooLarge, RequestNotSent, RequestUnanswered

CHUNK = 64 * 1024
# all of these are raised before a byte of the request is written
NOT_SENT = (
    aiohttp.ClientConnectorError,  # refused, DNS, TLS
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
# whatever else aiohttp raises, the request may have arrived; it never repeats a POST by itself
UNANSWERED = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """Status, headers (names in lower case) and the decompressed body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds."""

    connect: float = 5.0
    total: float = 30.0


class Transport:
    """POSTs to one address. Open it on the loop that uses it."""

    def __init__(
        self, url: str, timeouts: Timeouts, max_reply_bytes: int = 16 * 1024 * 1024, connections: int = 64
    ) -> None:
        self._url = url
        self._timeouts = timeouts
        self._max_reply_bytes = max_reply_bytes
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=self._timeouts.total,
                connect=None,
                sock_connect=min(self._timeouts.connect, self._timeouts.total),
            ),
            headers={"Content-Type": "application/json", "Accept-Encoding": "gzip, deflate", "User-Agent": "unlinker"},
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the session."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> "Transport":
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def post(self, body: bytes) -> HttpReply:
        """One POST. Raises RequestNotSent when it surely did not arrive, RequestUnanswered when it may have."""
        if self._session is None:
            raise RequestNotSent("the transport is not open")
        try:
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                return HttpReply(response.status, headers, await self._read(response))
        except NOT_SENT as error:
            raise RequestNotSent(f"cannot be reached: {error}") from None
        except TimeoutError as error:
            raise Overloaded(f"no answer in time: {type(error).__name__}") from None
        except UNANSWERED as error:
            raise RequestUnanswered(f"no answer: {type(error).__name__} {error}".strip()) from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, read piece by piece so that a compressed bomb is noticed while it is small."""
        pieces, size = [], 0
        async for piece in response.content.iter_chunked(CHUNK):
            size += len(piece)
            if size > self._max_reply_bytes:
                raise ReplyTooLarge(f"more than {self._max_reply_bytes} bytes")
            pieces.append(piece)
        return b"".join(pieces)
