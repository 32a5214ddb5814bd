"""A report's folder: whole or not at all, and in nobody's place."""

import json
from pathlib import Path

import pytest

from gateway.exits import CommandError
from gateway.report.folder import SUMMARY, new_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make(target: Path, run: str, text: str) -> None:
    with new_folder(target, run) as part:
        (part / "failed.csv").write_text(text)
        (part / SUMMARY).write_text(json.dumps({"run": run}))


def test_it_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report"
    with new_folder(target, "r") as part:
        (part / "failed.csv").write_text("x")
        assert not target.exists()
    assert (target / "failed.csv").read_text() == "x"
    assert names(target.parent) == ["report"]


def break_off(target: Path) -> None:
    with new_folder(target, "r") as part:
        (part / "failed.csv").write_text("half")
        raise KeyboardInterrupt


def test_nothing_is_left_of_one_that_failed(tmp_path: Path) -> None:
    make(tmp_path / "report", "r", "before")
    with pytest.raises(KeyboardInterrupt):
        break_off(tmp_path / "report")
    assert names(tmp_path) == ["report"]
    assert (tmp_path / "report" / "failed.csv").read_text() == "before"


def test_a_report_of_the_same_run_is_replaced_and_other_files_stay(tmp_path: Path) -> None:
    target = tmp_path / "report"
    make(target, "r", "before")
    (target / "my notes.txt").write_text("called them")
    (target / "sub").mkdir()
    make(target, "r", "after")
    assert (target / "failed.csv").read_text() == "after"
    assert (target / "my notes.txt").read_text() == "called them"
    assert names(target) == ["failed.csv", "my notes.txt", "sub", SUMMARY]
    assert names(tmp_path) == ["report"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    make(tmp_path / "report", "r", "x")
    assert (tmp_path / "report" / "failed.csv").exists()


@pytest.mark.parametrize("summary", [None, "{", "[]", '{"run": 7}', '{"run": "another"}'])
def test_a_folder_of_anything_else_is_refused(tmp_path: Path, summary: str | None) -> None:
    target = tmp_path / "report"
    target.mkdir()
    (target / "precious").write_text("x")
    if summary is not None:
        (target / SUMMARY).write_text(summary)
    before = names(target)
    with pytest.raises(CommandError, match="--out"):
        make(target, "r", "x")
    assert names(target) == before
    assert names(tmp_path) == ["report"]


def meet_another(target: Path) -> None:
    with new_folder(target, "r"):
        target.mkdir()
        (target / "precious").write_text("x")


def test_what_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "report"
    with pytest.raises(CommandError, match="holds something"):
        meet_another(target)
    assert (target / "precious").read_text() == "x"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_neither_files_nor_links_are_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "report"
    if kind == "file":
        target.write_text("x")
    else:
        (tmp_path / "elsewhere").mkdir()
        target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandError, match="no folder"):
        make(target, "r", "x")


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CommandError, match=r"cannot be written.*--out"):
        make(tmp_path / "file" / "report", "r", "x")
