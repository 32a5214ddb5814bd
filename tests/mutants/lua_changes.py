"""The small changes that are tried on a Lua script, one at a time. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one line."""

    line: int  # from 1
    was: str
    now: str
    text: str  # the whole script with the change


# what stands for what; longer words first, since the first that fits is taken
_WORDS: dict[str, tuple[str, ...]] = {
    "<=": ("<", ">"),
    ">=": (">", "<"),
    "==": ("~=",),
    "~=": ("==",),
    "<": ("<=", ">="),
    ">": (">=", "<="),
    "+": ("-",),
    "*": ("/",),
    "/": ("*",),
    "%": ("*",),
    "and": ("or",),
    "or": ("and",),
    "not": ("",),
    "true": ("false",),
    "false": ("true",),
    "math.max": ("math.min",),
    "math.min": ("math.max",),
    "break": ("do end",),
}
# only in the name of a command
_COMMANDS = {"LPUSH": "RPUSH", "RPUSH": "LPUSH", "PEXPIRE": "EXPIRE"}
_WORD = re.compile(r"\bmath\.(?:max|min)\b|\b(?:and|or|not|true|false|break)\b|[<>=~]=|[<>+*/%]")
_MINUS = re.compile(r"(?<=[\w\])] )-(?= )")  # between two values; a sign is told by the number behind it
_NUMBER = re.compile(r"(?<![\w.'])\d+(?![\w.'])")
_RETURNED_TEXT = re.compile(r"\breturn '(?=[^'])")
_CONDITION = re.compile(r"\b(?:else)?if (.+?) then\b")
_COMPARES = re.compile(r"[<>=~]=|[<>]|\b(?:and|or|not)\b")
_CALL = re.compile(r"\s*(?:redis\.call|dead_\w+|keep|stop|finish\w*|write|note_pace)\(")
_ASSIGNMENT = re.compile(r"\s*[\w.\[\]# +]+(?:, [\w.]+)* = ")
_ONE_LINE_IF = re.compile(r"\s*if .* then .* end\s*$")


def changes(script: str) -> Iterator[Change]:
    """Every change of a script, by its lines."""
    code = masked(script).split("\n")
    lines = script.split("\n")
    for number, line in enumerate(lines):
        for changed in _of_line(line, code[number]):
            if changed != line:
                text = "\n".join([*lines[:number], changed, *lines[number + 1 :]])
                yield Change(number + 1, line.strip(), changed.strip(), text)


def masked(script: str) -> str:
    """The script with blanks in place of its comments and of what stands in quotes."""
    return re.sub(r"--[^\n]*|'(?:\\.|[^'\\\n])*'", _blank, script)


def _blank(found: re.Match[str]) -> str:
    text = found.group()
    return " " * len(text) if text.startswith("--") else "'" + " " * (len(text) - 2) + "'"


def _of_line(line: str, code: str) -> Iterator[str]:
    if code.strip():
        yield from _with_other_words(line, code)
        yield from _with_other_texts(line)
        if _may_go(code):
            yield f"-- {line}"


def _with_other_words(line: str, code: str) -> Iterator[str]:
    for found in _WORD.finditer(code):
        for word in _WORDS[found.group()]:
            yield _put(line, found, word)
    for found in _MINUS.finditer(code):
        yield _put(line, found, "+")
    for found in _NUMBER.finditer(code):
        yield _put(line, found, _another_number(int(found.group())))
    for found in _CONDITION.finditer(code):
        if not _COMPARES.search(found.group(1)):
            yield _put_span(line, found.span(1), f"not ({line[slice(*found.span(1))]})")


def _with_other_texts(line: str) -> Iterator[str]:
    for found in _RETURNED_TEXT.finditer(line):
        end = line.index("'", found.end())
        yield _put_span(line, (found.end(), end), "")
    for name, other in _COMMANDS.items():
        if f"'{name}'" in line:
            yield line.replace(f"'{name}'", f"'{other}'", 1)


def _put(line: str, found: re.Match[str], word: str) -> str:
    return _put_span(line, found.span(), word)


def _put_span(line: str, span: tuple[int, int], word: str) -> str:
    return line[: span[0]] + word + line[span[1] :]


def _another_number(number: int) -> str:
    """One more of a small number, as a bound that is off by one; of a large one ten times as much."""
    return str(number + 1 if number < 100 else number * 10)


def _may_go(code: str) -> bool:
    """Whether the line is one whole statement, so that the script is one without it."""
    if code.count("(") != code.count(")") or code.count("{") != code.count("}"):
        return False
    if _ONE_LINE_IF.match(code):
        return True
    is_alone = not re.search(r"\b(?:if|then|do|function|end|local|return|while|repeat|until)\b", code)
    return is_alone and bool(_CALL.match(code) or _ASSIGNMENT.match(code))
