"""The changes that `make mutants` tries on a Lua script."""

import pytest

from tests.mutants.lua_changes import changes, masked


def tried(line: str) -> set[str]:
    return {change.now for change in changes(line)}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("if a == 1 then", {"if a ~= 1 then", "if a == 2 then"}),
        ("if a <= b then", {"if a < b then", "if a > b then"}),
        ("if a < b and c then", {"if a <= b and c then", "if a >= b and c then", "if a < b or c then"}),
        ("if not a then", {"if  a then"}),
        ("if a then", {"if not (a) then"}),
        ("local x = a + 200", {"local x = a - 200", "local x = a + 2000"}),
        ("local x = a - 1", {"local x = a + 1", "local x = a - 2"}),
        ("local x = math.min(a, b)", {"local x = math.max(a, b)"}),
        ("return 'ended'", {"return ''"}),
        ("return {'ended', 0}", {"return {'ended', 1}"}),
        ("redis.call('DEL', key)", {"-- redis.call('DEL', key)"}),
        (
            "redis.call('LPUSH', key, 1)",
            {"-- redis.call('LPUSH', key, 1)", "redis.call('RPUSH', key, 1)", "redis.call('LPUSH', key, 2)"},
        ),
        ("x = y", {"-- x = y"}),
        ("local x = y", set()),
        ("return x", set()),
        ("", set()),
        ("-- a < b and 1", set()),
        ("local x = 'a < b and 1' -- c > 5", set()),
        ("redis.call('HSET', key,", set()),
        ("local ROWS = 'unlinker:rows:'", set()),
    ],
)
def test_of_a_line(line: str, expected: set[str]) -> None:
    assert tried(line) == expected


def test_a_change_is_of_one_line_and_the_rest_stays() -> None:
    script = "-- with others\nlocal a = KEYS[1]\nif a then return 1 end\n"
    found = list(changes(script))
    assert {change.line for change in found} == {2, 3}
    for change in found:
        lines = change.text.split("\n")
        assert lines[0] == "-- with others"
        assert [place for place, line in enumerate(script.split("\n")) if line != lines[place]] == [change.line - 1]


def test_the_mask_keeps_places() -> None:
    script = "redis.call('SET', '\\n', \"x\") -- it's a comment\nreturn 'a' .. 'b'"
    assert masked(script) == "redis.call('   ', '  ', \"x\")                  \nreturn ' ' .. ' '"
    assert len(masked(script)) == len(script)
