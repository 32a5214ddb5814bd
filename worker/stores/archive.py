"""Files that outlive what is dropped from Redis: JSON lines, each file whole or not there."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.stores.private_files import open_private


class ArchiveUnwritable(Exception):
    """A file of what is to be dropped cannot be written, so nothing of it was dropped. See UNLINKER_ARCHIVE_DIR."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A folder of them. Raises ArchiveUnwritable."""

    folder: Path
    token: Callable[[], str]  # makes names unlike any before

    def write(self, stem: str, documents: Iterable[Mapping[str, object]]) -> Path:
        """Write one object a line; returns once the file is on the disk under its name."""
        try:
            return self._write(stem, documents)
        except OSError as error:
            raise ArchiveUnwritable(f"no file can be written in {self.folder}: {error}; nothing was dropped") from error

    def _write(self, stem: str, documents: Iterable[Mapping[str, object]]) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{stem}-{self.token()}.jsonl"
        part = path.with_name(path.name + ".part")
        try:
            with open_private(part, "x") as file:
                for document in documents:
                    file.write(json.dumps(document) + "\n")
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
        _sync_folder(self.folder)
        return path


def _sync_folder(folder: Path) -> None:
    """So that the name outlives a loss of power too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
