"""Where the loop leaves claimed messages for Celery's consumer, which lives in the main thread."""

import contextlib
import os
from collections import deque
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Letter:
    """A message for Celery's consumer."""

    queue: str
    payload: dict[str, Any]


class Inbox:
    """A queue with a file descriptor that Celery's hub can wait on."""

    def __init__(self) -> None:
        self._letters: deque[Letter] = deque()
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)

    def fileno(self) -> int:
        """Readable while there may be letters."""
        return self._read_end

    def put(self, letter: Letter) -> None:
        """Leave a letter; any thread may."""
        self._letters.append(letter)
        with contextlib.suppress(BlockingIOError):  # the pipe is full of wake-ups already
            os.write(self._write_end, b"\0")

    def take_all(self) -> list[Letter]:
        """Every letter there is; called when `fileno` is readable."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_end, 65536)
        letters = []
        while self._letters:
            letters.append(self._letters.popleft())
        return letters
