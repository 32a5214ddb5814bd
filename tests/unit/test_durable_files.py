"""Files that must be there after a loss of power: on the disk before they have their name, and over no other file."""

import os
import stat
from pathlib import Path

import pytest

from gateway.exits import CommandError
from gateway.plan_file import PlanWriter, read_head, verify, write_plan
from gateway.report.folder import _sync
from worker.stores.archive import Archive
from worker.unlinking.job import Relation
from worker.unlinking.plan import Action, PlanDraft, PlanRow, Standing

DRAFT = PlanDraft(
    id="0b7c6a3e-0000-4000-8000-000000000001",
    action=Action.UNLINK,
    account="default",
    made_at=1_700_000_000.0,
    expires_at=1_700_086_400.0,
    made_by="x",
    because="y",
    source="z",
    columns=(),
)
ROWS = [PlanRow(Relation("calendar:address", 671, child), Standing.PRESENT) for child in range(1, 500)]


class Disk:
    """What was synced: the bytes that the file or folder had then, and the names that were in its folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self.files: list[tuple[int, set[str]]] = []
        self.folders = 0
        self._real = os.fsync
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _fsync(self, descriptor: int) -> None:
        state = os.fstat(descriptor)
        if stat.S_ISDIR(state.st_mode):
            self.folders += 1
        else:
            self.files.append((state.st_size, {path.name for path in self._folder.iterdir()}))
        self._real(descriptor)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    folder = tmp_path / "disk"
    folder.mkdir()
    return Disk(folder, monkeypatch)


@pytest.mark.parametrize("name", ["a.plan.jsonl", "a.plan.jsonl.gz"])
def test_a_plan_is_on_the_disk_before_it_has_its_name(tmp_path: Path, disk: Disk, name: str) -> None:
    path = tmp_path / "disk" / name
    write_plan(path, DRAFT, ROWS)
    ((size, names),) = disk.files
    assert size == path.stat().st_size, "all of it"
    assert name not in names
    assert len(names) == 1, "the part alone"


def test_a_plan_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Two that plan into the same file: the first that is whole stays, and the other is told."""
    path = tmp_path / "a.plan.jsonl"
    with PlanWriter(path, DRAFT) as writer:
        writer.add(ROWS[0])
        first = write_plan(path, DRAFT, ROWS)
        before = path.read_bytes()
        with pytest.raises(CommandError, match="exists already"):
            writer.finish()
    assert path.read_bytes() == before
    assert verify(path) == read_head(path) == first
    assert [each.name for each in tmp_path.iterdir()] == [path.name], "nothing half is left"


def test_an_archive_is_on_the_disk_before_it_has_its_name_and_its_name_too(tmp_path: Path, disk: Disk) -> None:
    """What is written there is dropped from Redis next."""
    path = Archive(tmp_path / "disk", lambda: "t").write("letters", [{"id": number} for number in range(500)])
    ((size, names),) = disk.files
    assert size == path.stat().st_size
    assert names == {path.name + ".part"}
    assert disk.folders == 1


def test_every_file_of_a_report_is_on_the_disk_before_the_folder_has_its_name(tmp_path: Path, disk: Disk) -> None:
    folder = tmp_path / "disk"
    for number in range(3):
        (folder / f"{number}.csv").write_text("x" * (number + 1))
    _sync(folder)
    assert sorted(size for size, _ in disk.files) == [1, 2, 3]
