"""A file as lines of text: opened, unpacked, decoded, and with a bound to every line."""

import codecs
import gzip
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from gateway.exits import CommandError, Exit

STDIN = "-"
PIECE = 1024 * 1024  # bytes
LONGEST_LINE = 1_000_000  # characters
UTF_8 = "utf-8-sig"  # with a byte order mark or without
FALLBACK = "cp1252"  # what Excel writes on a German Windows
_BOMS = ((codecs.BOM_UTF8, UTF_8), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NO_TEXT = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive; save it as CSV first"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save it as CSV first"),
    (b"%PDF", "a PDF"),
)


class BadLine(Exception):
    """A line that cannot be read, while those after it can. The text says why."""


@dataclass(frozen=True, slots=True)
class Text:
    """An opened file."""

    name: str  # for people
    lines: "Lines"
    encoding: str
    guessed: bool  # it is not UTF-8, and nobody said what it is
    beginning: str  # the first character that is no space

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know of how it is read."""
        said = f"{self.name} is not UTF-8 and is read as {self.encoding}; --encoding says otherwise"
        return (said,) if self.guessed else ()


class Lines:
    """Lines with their ends, one by one; after BadLine it goes on with the next."""

    def __init__(self, text: TextIOWrapper) -> None:
        self._text = text
        self.number = 0  # of the last line, from 1

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_LINE + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > LONGEST_LINE:
            while (rest := self._text.readline(LONGEST_LINE)) and not rest.endswith(("\n", "\r")):
                pass
            raise BadLine(f"is longer than {LONGEST_LINE:,} characters")
        if "\0" in line:
            raise BadLine("holds a NUL byte")
        return line


@contextmanager
def opened(name: str, encoding: str | None) -> Iterator[Text]:
    """A path, or `-` for standard input; `.gz` content is unpacked. Raises CommandError for what is no text."""
    shown = "standard input" if name == STDIN else name
    with ExitStack() as stack, reading(shown):
        file = stack.enter_context(_unpacked(stack.enter_context(_raw(name))))
        beginning = file.read(PIECE)
        _require_text(shown, beginning)
        file.seek(0)
        found, guessed = _find_encoding(shown, file, encoding)
        file.seek(0)
        errors = "replace" if guessed else "strict"
        text = stack.enter_context(TextIOWrapper(cast("BufferedReader", file), found, errors, newline=""))
        first = beginning.decode(found, "replace").lstrip("\ufeff \t\r\n")[:1]
        yield Text(shown, Lines(text), found, guessed, first)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Every fault of reading a file, while it is read. Raises CommandError."""
    try:
        yield
    except EOFError:
        raise CommandError(Exit.BAD_INPUT, f"{name} is cut off: its compressed content has no end") from None
    except UnicodeError as error:
        raise CommandError(Exit.BAD_INPUT, f"{name} changed while it was read: {error}") from None
    except (OSError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise CommandError(Exit.BAD_INPUT, f"{name} cannot be read: {why}") from None


@contextmanager
def _raw(name: str) -> Iterator[BinaryIO]:
    """Seekable, so that it can be looked through before it is read."""
    if name != STDIN:
        with Path(name).open("rb") as file:
            yield file
        return
    with TemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy, PIECE)
        copy.seek(0)
        yield cast("BinaryIO", copy)


@contextmanager
def _unpacked(raw: BinaryIO) -> Iterator[BinaryIO]:
    magic = raw.read(2)
    raw.seek(0)
    if magic != b"\x1f\x8b":
        yield raw
        return
    with gzip.GzipFile(fileobj=raw) as file:
        yield cast("BinaryIO", file)


def _require_text(name: str, beginning: bytes) -> None:
    if not beginning:
        raise CommandError(Exit.BAD_INPUT, f"{name} is empty")
    for magic, what in _NO_TEXT:
        if beginning.startswith(magic):
            raise CommandError(Exit.BAD_INPUT, f"{name} is {what}")
    if b"\0" in beginning.split(b"\n", 1)[0] and not beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CommandError(Exit.BAD_INPUT, f"{name} is binary, not text (or UTF-16: then say --encoding utf-16)")


def _find_encoding(name: str, file: BinaryIO, wanted: str | None) -> tuple[str, bool]:
    """The encoding, and whether it is a guess. Looks through the whole file."""
    beginning = file.read(4)
    file.seek(0)
    marked = next((found for bom, found in _BOMS if beginning.startswith(bom)), None)
    encoding = _named(wanted) if wanted else marked or UTF_8
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
        while piece := file.read(PIECE):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        if wanted or marked:
            why = f"{name} is not {encoding} throughout: {error}; see --encoding"
            raise CommandError(Exit.BAD_INPUT, why) from None
        return FALLBACK, True
    return encoding, False


def _named(wanted: str) -> str:
    try:
        TextIOWrapper(BytesIO(), wanted)  # refuses what makes no text
        found = codecs.lookup(wanted).name
    except (LookupError, UnicodeError, ValueError):
        raise CommandError(Exit.BAD_INPUT, f"--encoding {wanted!r} is unknown; try utf-8 or {FALLBACK}") from None
    return UTF_8 if found == "utf-8" else found
