"""Cutting our credentials out of what others wrote: an answer, or a proxy's error page, may repeat our request. Pure.

Rule 1: what stands there as we sent it, or a piece of it, is masked. So is whatever looks like a signature.
Rule 2: a text that holds it in another writing (escaped, percent-encoded, split up) is left out as a whole.
"""

import base64
import html
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from urllib.parse import unquote

from worker.onoffice.protocol import Credentials

Redact = Callable[[str], str]
MASK = "**"
LEFT_OUT = "(a text that repeats our credentials, left out)"
PIECE = 10  # characters: a shorter piece of a secret is not told from other text, and is of no use to anybody
LONGEST_TEXT = 100_000  # characters; what is behind them is cut off
# base64 of the 32 bytes of a SHA-256, as it is, in JSON or in a URL
SIGNATURE = re.compile(r"(?:[A-Za-z0-9+/_-]|\\/|%2[BbFf]){43}(?:=|%3[Dd]|\\u003[Dd])")
SENT_SIGNATURES = re.compile(rb'"hmac": "([^"]+)"')
ESCAPED = re.compile(r"\\u([0-9A-Fa-f]{4})")
_LOWER = {ord(letter): ord(letter.lower()) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}  # keeps every text's length


def unchanged(text: str) -> str:
    """For answers to requests that hold no credentials."""
    return text


class Redactor:
    """Cuts the credentials of one account out of texts."""

    def __init__(self, credentials: Credentials) -> None:
        self._pieces = _Pieces(form for secret in (credentials.token, credentials.secret) for form in _forms(secret))

    def of_request(self, body: bytes) -> Redact:
        """For what came back for this request: cuts out the pieces of its signatures, too."""

        signatures: list[_Pieces] = []  # made once, and only if there is a text to look at

        def redact(text: str) -> str:
            if len(text) < PIECE:
                return text
            if not signatures:
                signatures.append(_Pieces(each.decode() for each in set(SENT_SIGNATURES.findall(body))))
            return self._cut(text, signatures[0])

        return redact

    def _cut(self, text: str, signatures: "_Pieces") -> str:
        text = SIGNATURE.sub(MASK, text[:LONGEST_TEXT])
        for pieces in (self._pieces, signatures):
            text = pieces.mask(text)
        other_writing = _squeezed(_decoded(text))
        if self._pieces.squeezed_in(other_writing) or signatures.squeezed_in(other_writing):
            return LEFT_OUT
        return text


class _Pieces:
    """Every piece of some secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = [secret.translate(_LOWER) for secret in secrets if secret]
        self._pieces = _cut_up(forms)
        self._squeezed = _cut_up(filter(None, map(_squeezed, forms)))

    def mask(self, text: str) -> str:
        """The text without them, whatever their case."""
        if not (hidden := _places(text.translate(_LOWER), self._pieces)):
            return text
        marked = groupby(enumerate(text), key=lambda place: place[0] in hidden)
        return "".join(MASK if is_hidden else "".join(letter for _, letter in some) for is_hidden, some in marked)

    def squeezed_in(self, text: str) -> bool:
        """Whether a squeezed text holds one."""
        return bool(_places(text, self._squeezed))


def _cut_up(secrets: Iterable[str]) -> dict[int, set[str]]:
    """Length -> all pieces of that length."""
    found: dict[int, set[str]] = {}
    for secret in secrets:
        size = min(PIECE, len(secret))
        found.setdefault(size, set()).update(secret[start : start + size] for start in range(len(secret) - size + 1))
    return found


def _places(text: str, pieces: dict[int, set[str]]) -> set[int]:
    """The places in `text` that belong to a piece."""
    found: set[int] = set()
    for size, some in pieces.items():
        for start in range(len(text) - size + 1):
            if text[start : start + size] in some:
                found.update(range(start, start + size))
    return found


def _forms(secret: str) -> Iterator[str]:
    """As it is, in hexadecimal, and in base64 whatever stands before it."""
    raw = secret.encode()
    yield secret
    yield raw.hex()
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        yield coded[(before * 8 + 5) // 6 : -1]  # without the characters that depend on the neighbours


def _decoded(text: str) -> str:
    return unquote(html.unescape(ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)))


def _squeezed(text: str) -> str:
    """Letters and digits only, in lower case."""
    return "".join(letter for letter in text.translate(_LOWER) if letter.isascii() and letter.isalnum())
