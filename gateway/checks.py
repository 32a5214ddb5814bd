"""Checks that `doctor` makes: each says what it found and what to do."""

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile

import redis

from worker.engine.transport import EngineMisfitError, check_fit

ALLOWED_SKEW = 120.0  # seconds, API facts 1.2
WORRYING_SKEW = 30.0  # seconds
ARCHIVE_TRIAL = 64 * 1024  # bytes; more than what a full disk may still take into a block that is begun
ARCHIVE_ROOM = 100 * 2**20  # bytes; one file of letters takes up to some 50 MiB


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    fine: bool
    text: str
    advice: str = ""
    unreachable: bool = False

    def document(self) -> dict[str, object]:
        """For --json."""
        return asdict(self)


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


def check_redis(client: "redis.Redis") -> list[Finding]:
    """Reachable, not evicting, and writing an append-only file."""
    try:
        info: Mapping[str, object] = client.info()
    except redis.exceptions.RedisError as error:
        advice = "start it, or check UNLINKER_REDIS_URL; unset it to use the embedded Valkey"
        return [Finding("redis", False, f"cannot be reached: {error}", advice, unreachable=True)]
    version = info.get("valkey_version") or info.get("redis_version")
    findings = [Finding("redis", True, f"version {version}, {info.get('used_memory_human')} used")]
    policy = str(info.get("maxmemory_policy"))
    findings.append(
        Finding("redis eviction", True, policy)
        if policy == "noeviction"
        else Finding("redis eviction", False, policy, "set maxmemory-policy noeviction: evicted keys are lost jobs")
    )
    aof = bool(info.get("aof_enabled"))
    findings.append(
        Finding("redis append-only file", True, "on")
        if aof
        else Finding("redis append-only file", False, "off", "set appendonly yes: a restart would lose the queue")
    )
    seconds, micros = client.time()
    skew = time.time() - (seconds + micros / 1e6)
    findings.append(check_skew("clock against Redis", skew))
    return findings


def check_skew(name: str, skew: float) -> Finding:
    """Whether a clock is near enough to ours. `skew`: seconds."""
    text = f"{skew:+.1f} s"
    if abs(skew) < WORRYING_SKEW:
        return Finding(name, True, text)
    advice = f"set this machine's clock (NTP); from {ALLOWED_SKEW:.0f} s on the API refuses every request"
    return Finding(name, False, text, advice)
