"""Lines of keys: whatever TOML allows, each key is found where it stands."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.reconciling.toml_lines import Path, key_lines, line_of

TEXT = '''# a comment with [brackets] and a = sign
top = 1
"quoted key" = "]"
a.b . 'c' = 2

[ policies . first ]   # comment
text = """
[not.a.table]
key = "no key"
\\""" still in it
"""
raw = \'\'\'
x = 1\'\'\'
list = [ # one
  "]", # two
  { inner = 1 },
]
after = 3
[[steps]]
name = "one"
[[steps]]
name = "two"
[steps.deep]
x = 1
'''


def test_every_kind_of_statement() -> None:
    lines = key_lines(TEXT)
    tomllib.loads(TEXT)
    wanted: dict[Path, int] = {
        ("top",): 2,
        ("quoted key",): 3,
        ("a", "b", "c"): 4,
        ("policies",): 6,
        ("policies", "first"): 6,
        ("policies", "first", "text"): 7,
        ("policies", "first", "raw"): 12,
        ("policies", "first", "list"): 14,
        ("policies", "first", "after"): 18,
        ("steps", 0): 19,
        ("steps", 0, "name"): 20,
        ("steps", 1): 21,
        ("steps", 1, "name"): 22,
        ("steps", 1, "deep"): 23,
        ("steps", 1, "deep", "x"): 24,
    }
    assert {path: lines.get(path) for path in wanted} == wanted


def test_a_key_that_is_not_there_is_at_its_table() -> None:
    lines = key_lines(TEXT)
    assert line_of(lines, ("policies", "first", "missing", "deeper")) == 6
    assert line_of(lines, ("nowhere",)) is None


NAMES = st.text(st.sampled_from("ab-_ .\"'#[]=é\n"), max_size=4)
STRINGS = st.text(st.sampled_from("ab \"'#[]{}=\\\n,"), max_size=12)
VALUES = st.recursive(
    st.integers(-9, 9) | st.booleans() | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def value(given: Any, multiline: bool) -> str:
    match given:
        case bool():
            return str(given).lower()
        case int():
            return str(given)
        case str() if multiline:
            return '"""' + given.replace("\\", "\\\\").replace('"', '\\"') + '"""'
        case str():
            return quote(given)
        case list():
            inner = "".join(f"  {value(each, multiline)}, # ] a comment \n" for each in given)
            return f"[ # [\n{inner}]"
        case _:
            return "{" + ", ".join(f"{quote(name)} = {value(each, False)}" for name, each in given.items()) + "}"


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=4), st.booleans())
def test_a_written_document_has_its_keys_on_the_lines_they_were_written_to(
    document: dict[str, dict[str, Any]], multiline: bool
) -> None:
    text = ""
    wanted: dict[Path, int] = {}
    for table, entries in document.items():
        wanted[table,] = text.count("\n") + 1
        text += f"[{quote(table)}] # [x]\n\n"
        for name, each in entries.items():
            wanted[table, name] = text.count("\n") + 1
            text += f"{quote(name)} = {value(each, multiline)}\n"
    tomllib.loads(text)
    assert key_lines(text) == wanted
