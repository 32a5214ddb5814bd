"""Ids from a JSON document on the web, in one page or several."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from gateway.reconciling.secrets import resolved
from gateway.reconciling.source_errors import SourceUnusable
from worker.unlinking.policies import HttpSource

MOST_PAGES = 10_000
PIECE = 65_536  # bytes
ABSENT = object()


async def read_http(source: HttpSource, environ: Mapping[str, str]) -> list[Sequence[object]]:
    """The values of each item of all pages. Raises SourceUnusable, TimeoutError."""
    url = resolved(source.url, environ)
    headers = {name: resolved(value, environ) for name, value in source.headers.items()}
    try:
        timeout = aiohttp.ClientTimeout(total=source.seconds)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            return await _Reading(source, session).all_pages(url)
    except aiohttp.ClientConnectorError as error:
        raise SourceUnusable(f"cannot be reached: {error.os_error.strerror or 'no connection'}") from None
    except aiohttp.InvalidURL:
        raise SourceUnusable("its url is none") from None
    except aiohttp.ClientError as error:  # its text may repeat the address, and so what is secret in it
        raise SourceUnusable(f"broke off: {type(error).__name__}") from None


@dataclass(slots=True)
class _Reading:
    """One list on its way."""

    source: HttpSource
    session: aiohttp.ClientSession
    items: list[Sequence[object]] = field(default_factory=list)
    bytes_left: int = 0
    count: int | None = None  # of all items, as the document tells

    async def all_pages(self, url: str) -> list[Sequence[object]]:
        self.bytes_left = self.source.megabytes * 1_000_000
        seen = {url}
        while True:
            document = await self._page(url)
            self._take(document)
            following = _at(document, self.source.next) if self.source.next else None
            if following in (None, "", ABSENT):
                break
            url = self._following(url, following)
            if url in seen or len(seen) >= MOST_PAGES:
                raise SourceUnusable(f"its pages never end: page {len(seen)} leads back, or there are too many")
            seen.add(url)
        if self.count is not None and self.count != len(self.items):
            raise SourceUnusable(f"it says {self.source.count} = {self.count}, but {len(self.items)} items came")
        return self.items

    def _following(self, url: str, following: object) -> str:
        """Only at the same place: the headers may be secret."""
        if not isinstance(following, str):
            raise SourceUnusable(f"{self.source.next} is {type(following).__name__}, no address of a next page")
        target = urljoin(url, following)
        if urlsplit(target)[:2] != urlsplit(url)[:2]:
            raise SourceUnusable(f"{self.source.next} leads to another server")
        return target

    async def _page(self, url: str) -> Any:
        async with self.session.get(url, allow_redirects=False) as response:
            if response.status != HTTPStatus.OK:
                raise SourceUnusable(f"answered HTTP {response.status}{_hint(response.status)}")
            if "json" not in response.content_type:
                raise SourceUnusable(f"answered {response.content_type}, no JSON")
            body = bytearray()
            async for piece in response.content.iter_chunked(PIECE):
                body += piece
                if len(body) > self.bytes_left:
                    raise SourceUnusable(
                        f"is larger than {self.source.megabytes} MB; raise http.megabytes if it may be"
                    )
            self.bytes_left -= len(body)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise SourceUnusable("is no JSON, or was cut off") from None

    def _take(self, document: Any) -> None:
        items = _at(document, self.source.items)
        if not isinstance(items, list):
            where = f"at {self.source.items!r}" if self.source.items else "at its top"
            raise SourceUnusable(f"has no list {where}")
        if self.source.count:
            count = _at(document, self.source.count)
            if isinstance(count, bool) or not isinstance(count, int):
                raise SourceUnusable(f"does not tell how many items there are at {self.source.count!r}")
            if self.count not in (None, count):
                raise SourceUnusable(f"{self.source.count} changed from {self.count} to {count} between its pages")
            self.count = count
        self.items += [self._values(item) for item in items]

    def _values(self, item: object) -> Sequence[object]:
        if not self.source.columns:
            return [item]
        found = [_at(item, name) for name in self.source.columns]
        return [None if value is ABSENT else value for value in found]


def _at(document: Any, path: str) -> Any:
    """What stands at a path of names with dots between them; ABSENT for nothing."""
    for name in path.split(".") if path else ():
        if not isinstance(document, dict) or name not in document:
            return ABSENT
        document = document[name]
    return document


def _hint(status: int) -> str:
    if 300 <= status < 400:
        return ", a redirection; name the address that it leads to"
    return ""
