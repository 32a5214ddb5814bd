"""Checks that `doctor` and `accounts check` make: each says what it found and what to do."""

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import redis

from config.accounts import Account
from config.settings import Settings
from gateway.composition import credentials
from worker.engine.transport import EngineMisfitError, check_fit
from worker.onoffice.codes import judge_http
from worker.onoffice.errors import OnOfficeError, UnreadableReply
from worker.onoffice.protocol import build_request, harmless_read
from worker.onoffice.replies import Answer, parse_reply
from worker.onoffice.transport import Timeouts, Transport
from worker.stores.refusals import explain

ALLOWED_SKEW = 120.0  # seconds, API facts 1.2
WORRYING_SKEW = 30.0  # seconds
CHECK_TIMEOUT = 10.0  # seconds


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
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding("archive folder", True, f"{folder} can be written to")
    advice = "make it writable for the workers: nothing is dropped before its file is written, so Redis fills up"
    return Finding("archive folder", False, f"{there} cannot be written to, or is no folder", advice)


def check_redis(client: "redis.Redis") -> list[Finding]:
    """Reachable, not evicting, and writing an append-only file."""
    try:
        info: Mapping[str, object] = client.info()
    except redis.exceptions.RedisError as error:
        trouble = explain(error)
        return [Finding("redis", False, trouble.what, trouble.cure, unreachable=True)]
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
    findings.append(_skew("clock against Redis", skew))
    return findings


async def check_credentials(settings: Settings, account: Account) -> Finding:
    """A harmless read with the account's credentials."""
    finding, _ = await _ask_api(settings, account)
    return finding


async def check_api(settings: Settings, account: Account) -> list[Finding]:
    """The API: reachable, its clock against ours, and the account's credentials."""
    finding, server_time = await _ask_api(settings, account)
    if server_time is None:
        return [finding]
    return [finding, _skew("clock against onOffice", time.time() - server_time)]


async def _ask_api(settings: Settings, account: Account) -> tuple[Finding, float | None]:
    action = harmless_read(secrets.token_hex(8))
    try:
        async with Transport(settings.onoffice_url, Timeouts(total=CHECK_TIMEOUT)) as transport:
            reply = await transport.post(build_request(credentials(account), [action], int(time.time())))
    except OnOfficeError as error:
        advice = "check UNLINKER_ONOFFICE_URL and the network"
        return Finding(account.name, False, f"cannot be reached: {error}", advice, unreachable=True), None
    server_time = _date(reply.headers)
    if judge_http(reply.status, reply.headers) is not None:
        advice = "check UNLINKER_ONOFFICE_URL: it must be the whole address of api.php"
        return Finding(account.name, False, f"HTTP {reply.status}", advice, unreachable=True), server_time
    try:
        parsed = parse_reply(reply.body, [action])
    except UnreadableReply as error:
        return Finding(
            account.name, False, f"no answer of the API: {error}", "check UNLINKER_ONOFFICE_URL"
        ), server_time
    answer = parsed.answers[0]
    code, text = (
        (answer.errorcode, answer.message) if isinstance(answer, Answer) else (parsed.errorcode, parsed.message)
    )
    if isinstance(answer, Answer) and code == 0:
        return Finding(account.name, True, "credentials work"), server_time
    return Finding(account.name, False, f"error {code}: {text}", _advice(code)), server_time


def _advice(code: int) -> str:
    match code:
        case 136:
            return "set this machine's clock: the API accepts 120 s of difference"
        case 137 | 243 | 49:
            return "check the secret (64 characters), and that token and secret are not swapped"
        case 22 | 40 | 41 | 42 | 43 | 153:
            return "check the token (32 characters) and that the API user is active"
        case 149 | 155 | 156 | 170 | 174:
            return "grant the API user the right to read relations"
        case _:
            return "docs/onoffice.md tells what is known of the API's codes"


def _date(headers: Mapping[str, str]) -> float | None:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None


def _skew(name: str, skew: float) -> Finding:
    text = f"{skew:+.1f} s"
    if abs(skew) < WORRYING_SKEW:
        return Finding(name, True, text)
    advice = f"set this machine's clock (NTP); from {ALLOWED_SKEW:.0f} s on the API refuses every request"
    return Finding(name, False, text, advice)
