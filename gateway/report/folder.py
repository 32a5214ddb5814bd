"""A report's folder: there when it is whole, and never in the place of anything but the same run's report."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.exits import CommandError, Exit

SUMMARY = "summary.json"  # says whose report it is


@contextmanager
def new_folder(wanted: Path, run_id: str) -> Iterator[Path]:
    """A folder to write into; it gets the name `wanted` when all went well. Raises CommandError.

    A report of the same run is replaced; whatever else lies in its folder stays there.
    """
    target = Path(os.path.abspath(wanted))  # noqa: PTH100  # resolve() would follow a link, and replace what it points to
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        _require_ours(target, run_id)
        part.mkdir(mode=0o700, parents=True)
        yield part
        _sync(part)
        _require_ours(target, run_id)
        _put(part, target)
    except OSError as error:
        raise CommandError(
            Exit.BAD_INPUT, f"the report cannot be written to {target}: {error.strerror or error}; --out names another"
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _require_ours(target: Path, run_id: str) -> None:
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise CommandError(Exit.BAD_INPUT, f"{target} exists and is no folder; name another with --out")
    owner = _owner(target)
    if owner is None and any(target.iterdir()):
        raise CommandError(Exit.BAD_INPUT, f"{target} holds something, and no report; name another folder with --out")
    if owner not in (None, run_id):
        raise CommandError(Exit.BAD_INPUT, f"{target} holds the report of run {owner}; name another folder with --out")


def _owner(target: Path) -> str | None:
    """The run whose report lies there; None for a folder without one."""
    try:
        document = json.loads((target / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return None
    run = document.get("run") if isinstance(document, dict) else None
    return run if isinstance(run, str) else None


def _put(part: Path, target: Path) -> None:
    """Between the two renames there is no folder of that name; the old one has its own, and nothing is lost."""
    if not target.exists():
        part.rename(target)
        return
    old = target.with_name(f"{part.name}.old")
    target.rename(old)
    try:
        part.rename(target)
    except OSError:
        old.rename(target)
        raise
    for entry in old.iterdir():
        if (target / entry.name).exists():
            entry.unlink()
        else:
            entry.rename(target / entry.name)
    old.rmdir()


def _sync(part: Path) -> None:
    for entry in part.iterdir():
        with entry.open("rb") as file:
            os.fsync(file.fileno())
