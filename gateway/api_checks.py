"""Checks of the API that `doctor` and `accounts check` make: one harmless read, in the limit of its account."""

import secrets
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

from redis.exceptions import RedisError

from gateway.finding import Finding, clock_finding
from worker.engine.gate import NoPlace
from worker.engine.reading_desk import DeskOptions, ReadingDesk
from worker.onoffice.client import Client
from worker.onoffice.clock import SigningClock
from worker.onoffice.errors import AccountRefused, OnOfficeError, UnreadableReply
from worker.onoffice.protocol import harmless_read
from worker.onoffice.replies import Answer, Reply
from worker.onoffice.transport import Timeouts, Transport

CHECK_TIMEOUT = 10.0  # seconds for an answer
PATIENCE = 10.0  # seconds for a place in the account's limit
UNLIMITED = " (sent without the limiter, since Redis cannot be asked)"


@dataclass(slots=True)
class _Heard:
    """What came of the read."""

    reply: Reply | OnOfficeError
    headers: Mapping[str, str]
    remark: str = ""


async def check_credentials(options: DeskOptions) -> Finding:
    """A harmless read with the account's credentials. Raises redis.exceptions.RedisError: then nothing was sent."""
    return _finding(options.account, await _ask(options))


async def check_api(options: DeskOptions) -> list[Finding]:
    """The API: reachable, its clock against ours, and the account's credentials. Without Redis, too."""
    try:
        heard = await _ask(options)
    except RedisError:
        heard = await _ask_without_limiter(options)
    finding, server_time = _finding(options.account, heard), _date(heard.headers)
    if server_time is None:
        return [finding]
    return [finding, clock_finding("clock against onOffice", time.time() - server_time)]


async def _ask(options: DeskOptions) -> _Heard:
    options = replace(options, request_timeout=min(options.request_timeout, CHECK_TIMEOUT))
    async with ReadingDesk(options) as desk:
        try:
            return _Heard(await desk.probe(PATIENCE), desk.headers)
        except OnOfficeError as error:
            return _Heard(error, desk.headers)


async def _ask_without_limiter(options: DeskOptions) -> _Heard:
    """One request. Nobody can be asked for a place, and who asks wants to know whether it is Redis alone."""
    headers: dict[str, str] = {}
    async with Transport(options.onoffice_url, Timeouts(total=CHECK_TIMEOUT)) as transport:
        client = Client(transport, options.access.credentials, SigningClock(time.time), headers.update)
        try:
            reply = await client.call_once([harmless_read(secrets.token_hex(8))], nullcontext)
        except OnOfficeError as error:
            return _Heard(error, headers, UNLIMITED)
    return _Heard(reply, headers, UNLIMITED)


def _finding(account: str, heard: _Heard) -> Finding:
    match heard.reply:
        case NoPlace() as error:
            advice = "try again: other processes use all of it, or onOffice asked for a pause"
            return Finding(account, False, str(error), advice, unreachable=True)
        case UnreadableReply() as error:
            text = f"no answer of the API: {error}{heard.remark}"
            return Finding(account, False, text, "check UNLINKER_ONOFFICE_URL")
        case OnOfficeError() as error:
            whole = ": it must be the whole address of api.php" if isinstance(error, AccountRefused) else ""
            advice = f"check UNLINKER_ONOFFICE_URL{whole or ' and the network'}"
            text = f"cannot be reached: {error}{heard.remark}"
            return Finding(account, False, text, advice, unreachable=True)
        case reply:
            return _of_reply(account, reply, heard.remark)


def _of_reply(account: str, reply: Reply, remark: str) -> Finding:
    answer = reply.answers[0]
    if isinstance(answer, Answer) and answer.errorcode == 0:
        return Finding(account, True, f"credentials work{remark}")
    code, text = (answer.errorcode, answer.message) if isinstance(answer, Answer) else (reply.errorcode, reply.message)
    return Finding(account, False, f"error {code}: {text}{remark}", _advice(code))


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
