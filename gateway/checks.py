"""Checks that `doctor` makes: each says what it found and what to do."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryFile

from gateway.finding import Finding
from worker.engine.transport import EngineMisfitError, check_fit

ARCHIVE_TRIAL = 64 * 1024  # bytes; more than what a full disk may still take into a block that is begun
ARCHIVE_ROOM = 100 * 2**20  # bytes; one file of letters takes up to some 50 MiB


def check_engine() -> Finding:
    """Whether the installed kombu is the one the transport was written for."""
    try:
        check_fit()
    except EngineMisfitError as error:
        return Finding("engine", False, str(error), "make install, or pip install from requirements.lock")
    return Finding("engine", True, "kombu fits")


def check_archive(folder: Path) -> Finding:
    """Whether files can be written where what retention drops is kept; the folder itself is made when it is needed."""
    there = folder if folder.exists() else next(each for each in folder.absolute().parents if each.exists())
    why = "nothing is dropped before its file is written, so Redis fills up"
    try:
        with TemporaryFile(dir=there) as file:  # it has no name, and is gone however this process ends
            file.write(os.urandom(ARCHIVE_TRIAL))
            file.flush()
            os.fsync(file.fileno())
        free = shutil.disk_usage(there).free
    except OSError as error:
        text = f"{there} cannot be written to: {error.strerror or error}"
        return Finding("archive folder", False, text, f"make it writable for the workers: {why}")
    text = f"{folder} can be written to, {free / 2**20:,.0f} MiB are free"
    if free < ARCHIVE_ROOM:
        return Finding("archive folder", False, text, f"make room, {ARCHIVE_ROOM // 2**20} MiB at least: {why}")
    return Finding("archive folder", True, text)
