"""The body of a message, opened: base64, compressed as kombu does it, JSON with kombu's types. Bounded and pure."""

import base64
import bz2
import json
import lzma
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from kombu.utils.json import loads as kombu_loads

MOST_BYTES = 1024 * 1024  # opened; as large as a message may be
LZMA_MEMORY = 64 * 1024 * 1024  # bytes
JSON_TYPE = "application/json"
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
_KOMBU_TYPE = b'"__type__"'  # dates, UUIDs, decimals: see kombu.utils.json


def _zlib(packed: bytes) -> bytes:
    return zlib.decompressobj().decompress(packed, MOST_BYTES + 1)


def _bz2(packed: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(packed, MOST_BYTES + 1)


def _lzma(packed: bytes) -> bytes:
    return lzma.LZMADecompressor(memlimit=LZMA_MEMORY).decompress(packed, MOST_BYTES + 1)


# kombu.compression, of what Python itself can read; what it calls gzip is zlib's format
OPENERS: Mapping[str, Callable[[bytes], bytes]] = {
    **dict.fromkeys(("application/x-gzip", "gzip", "zlib"), _zlib),
    **dict.fromkeys(("application/x-bz2", "bzip2", "bzip"), _bz2),
    **dict.fromkeys(("application/x-lzma", "lzma", "xz"), _lzma),
}


class UnreadableBody(ValueError):
    """The body cannot be opened; says why."""


def open_body(payload: Mapping[str, Any], headers: Mapping[str, Any], properties: Mapping[str, Any]) -> bytes:
    """The body as its JSON. Raises UnreadableBody and other ValueErrors."""
    content_type = payload.get("content-type")
    if content_type != JSON_TYPE and str(content_type).partition(";")[0].strip().lower() != JSON_TYPE:
        named = str(content_type)[:100]
        raise UnreadableBody(f"content type {named!r}: only {JSON_TYPE} is read; set serializer='json'")
    body = payload["body"]
    if not isinstance(body, str):
        raise UnreadableBody("the body is no text")
    packed = base64.b64decode(body, validate=True) if properties.get("body_encoding") == "base64" else body.encode()
    compression = headers.get("compression")
    return _opened(packed, compression) if compression else packed


def _opened(packed: bytes, compression: object) -> bytes:
    opener = OPENERS.get(compression) if isinstance(compression, str) else None
    if opener is None:
        raise UnreadableBody(f"compression {str(compression)[:100]!r} is not read; use gzip, bzip2 or lzma")
    try:
        opened = opener(packed)
    except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
        raise UnreadableBody(f"the body is no {compression}: {error}") from None
    if len(opened) > MOST_BYTES:
        raise UnreadableBody(f"the body is larger than {MOST_BYTES} bytes when it is opened")
    return opened


def parse(raw: bytes) -> Any:
    """JSON that can be stored again. Raises ValueError and RecursionError."""
    try:
        content = kombu_loads(raw) if _KOMBU_TYPE in raw else json.loads(raw)
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"a value is not of the type that it names: {error}") from None
    if _HALF_PAIR.search(raw):  # JSON can name half of a surrogate pair, which nobody can store
        json.dumps(content, ensure_ascii=False, default=str).encode()
    return content
