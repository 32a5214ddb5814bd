"""The page about dead letters tells what the code does."""

import re

import pytest
import typer.main

from config.settings import Settings
from gateway.cli import app
from gateway.moving import CAP
from gateway.reasons_page import PAGE, renewed, spans, table
from tests.harness import ROOT
from worker.stores.keep_rules import KeepRules
from worker.unlinking.errors import REASONS
from worker.unlinking.redriving import HOUR, RedrivePolicy

TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


def test_its_table_is_the_codes_own() -> None:
    assert renewed(TEXT) == TEXT, "run python -m gateway.reasons_page"
    assert all(f"| `{reason}` |" in TEXT for reason in REASONS)
    with pytest.raises(ValueError, match="substring not found"):
        renewed("a page without marks")


def test_its_commands_and_options_exist() -> None:
    """Every `unlinker ...` line of a code block is one that the command line understands."""
    known = typer.main.get_command(app)
    lines = [line for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
    used = [line.split("#")[0].split() for line in lines if line.startswith("unlinker ")]
    assert len(used) > 10
    for _, *words in used:
        command = known
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]  # type: ignore[attr-defined]  # a group has them
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words


def test_its_figures_are_the_codes() -> None:
    rules, fields = KeepRules(), Settings.model_fields
    assert (fields["dead_letters_days"].default, fields["journal_days"].default) == (90, 90)
    assert fields["dead_letters_max"].default == rules.letters_most == 1_000_000
    assert (rules.letters_days, rules.journal_days) == (90, 90)
    for figure in ("`UNLINKER_DEAD_LETTERS_DAYS` | 90", "`UNLINKER_DEAD_LETTERS_MAX` | 1,000,000"):
        assert figure in TEXT
    assert RedrivePolicy().waits == (HOUR, 4 * HOUR, 16 * HOUR)
    assert "1, 4 and 16 hours" in TEXT
    assert f"more than {CAP}" in TEXT


def test_spans() -> None:
    assert spans([3, 4, 5, 9, 11, 12]) == "3 to 5, 9, 11 to 12"
    assert spans([]) == ""
    assert "| `NotDeletable` | 168, " in table()
    assert "| `Exhausted` | 1, 8 to 9, " in table()
    assert "| `UnknownCode` | every other that halts no account |" in table()
