"""Checks that `doctor` and `accounts check` make: each says what it found and what to do."""

import os
import secrets
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

from config.accounts import Account
from config.settings import Settings
from gateway.composition import credentials
from gateway.finding import Finding, clock_finding
from worker.engine.transport import EngineMisfitError, check_fit
from worker.onoffice.codes import judge_http
from worker.onoffice.errors import OnOfficeError, UnreadableReply
from worker.onoffice.protocol import build_request, harmless_read
from worker.onoffice.replies import Answer, parse_reply
from worker.onoffice.transport import Timeouts, Transport

CHECK_TIMEOUT = 10.0  # seconds


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


async def check_credentials(settings: Settings, account: Account) -> Finding:
    """A harmless read with the account's credentials."""
    finding, _ = await _ask_api(settings, account)
    return finding


async def check_api(settings: Settings, account: Account) -> list[Finding]:
    """The API: reachable, its clock against ours, and the account's credentials."""
    finding, server_time = await _ask_api(settings, account)
    if server_time is None:
        return [finding]
    return [finding, clock_finding("clock against onOffice", time.time() - server_time)]


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
