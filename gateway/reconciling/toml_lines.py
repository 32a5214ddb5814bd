"""On which line of a TOML text each key stands. tomllib does not tell, and a fault without its line is hard to find.

Only for texts that tomllib has read without complaint: then a few tokens are enough to walk from one statement to the
next. Keys inside of values (inline tables, arrays) stand on the line of their value.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping

Key = str | int  # an int is the place in an array of tables
Path = tuple[Key, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r'[ \t]*(?:(?P<bare>[A-Za-z0-9_-]+)|(?P<quoted>"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'))[ \t]*')
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[\]{}\n]"
    r"|[^\[\]{}\n\"'#]+",
    re.DOTALL,
)


def key_lines(text: str) -> dict[Path, int]:
    """Line, from 1, of every key and table header."""
    lines: dict[Path, int] = {}
    table: Path = ()
    counts: dict[Path, int] = {}
    for start, header, names, brackets in _statements(text):
        line = text.count("\n", 0, start) + 1
        if not header:
            path = table + names
        else:
            path = table = _open(names, counts, new=brackets == 2)
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], line)
    return lines


def line_of(lines: Mapping[Path, int], path: Path) -> int | None:
    """The line of a key, or of the nearest table around one that is not there."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _open(names: Path, counts: dict[Path, int], *, new: bool) -> Path:
    """The path of a header: names that stand for arrays of tables lead into their last table."""
    path: Path = ()
    for place, name in enumerate(names, start=1):
        path += (name,)
        if new and place == len(names):
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path += (counts[path],)
    return path


def _statements(text: str) -> Iterator[tuple[int, bool, Path, int]]:
    """Where each one starts, whether it is a header, its names, and how many brackets it has."""
    at = _skip_blank(text, 0)
    while at < len(text):
        start, brackets = at, 0
        while text[at] == "[":
            at, brackets = at + 1, brackets + 1
        names, at = _names(text, at)
        yield start, brackets > 0, names, brackets
        at = _skip_blank(text, _skip_value(text, at + max(1, brackets)))


def _names(text: str, at: int) -> tuple[Path, int]:
    names: list[str] = []
    while True:
        found = _KEY.match(text, at)
        if found is None:
            raise ValueError(f"no key at {at}: tomllib must have read the text first")
        quoted = found["quoted"]
        names.append(str(tomllib.loads(f"value = {quoted}")["value"]) if quoted else found["bare"])
        at = found.end()
        if text[at : at + 1] != ".":
            return tuple(names), at
        at += 1


def _skip_blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _skip_value(text: str, at: int) -> int:
    """To the end of the line on which the value ends."""
    depth = 0
    for token in _TOKEN.finditer(text, at):
        word = token[0]
        if word in ("[", "{"):
            depth += 1
        elif word in ("]", "}"):
            depth -= 1
        elif word == "\n" and depth == 0:
            return token.end()
    return len(text)
