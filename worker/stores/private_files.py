"""Files that only their owner may read: plans, reports, exports and archives name customers' records.

Whatever the umask, and also when the file was there before. All raise OSError, for a symbolic link too.
"""

import os
from pathlib import Path
from typing import BinaryIO, Literal, TextIO

OWNER_ONLY = 0o600


def create_private(path: Path) -> BinaryIO:
    """A new file for bytes."""
    return open(path, "xb", opener=_opener)


def open_private(path: Path, mode: Literal["w", "x"] = "w") -> TextIO:
    """A file for text, in UTF-8, with line ends as they are written."""
    return open(path, mode, encoding="utf-8", newline="", opener=_opener)


def write_private(path: Path, text: str) -> None:
    """A whole text."""
    with open_private(path) as file:
        file.write(text)


def _opener(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NOFOLLOW, OWNER_ONLY)
    try:
        os.fchmod(descriptor, OWNER_ONLY)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
