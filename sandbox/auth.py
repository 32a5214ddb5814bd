"""Who asks: HMAC version 2, the timestamp window, token and customer (facts 1.2, 1.3, 3)."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.options import SandboxAccount

UNKNOWN_CUSTOMER = (41, "Customer unknown!")
INACTIVE_CUSTOMER = (42, "Customer is not active!")
STALE_TIMESTAMP = (136, "Your timestamp is too old or your server time is wrong.")
INVALID_HMAC = (137, "The HMAC is invalid.")
Fault = tuple[int, str]


def find_account(accounts: Sequence[SandboxAccount], token: object) -> SandboxAccount | Fault:
    """The token's account, or why there is none."""
    for account in accounts:
        if account.token == token:
            return account if account.active else INACTIVE_CUSTOMER
    return UNKNOWN_CUSTOMER


class Checker:
    """Checks the actions of one request; equal signatures are computed once."""

    def __init__(self, account: SandboxAccount, now: float, window: int) -> None:
        self._account = account
        self._now = now
        self._window = window
        self._signatures: dict[tuple[Any, ...], str] = {}

    def fault(self, action: Mapping[str, Any]) -> Fault | None:
        """What is wrong with an action's signature, if anything."""
        timestamp = action.get("timestamp")
        if not isinstance(timestamp, int) or abs(self._now - timestamp) > self._window:
            return STALE_TIMESTAMP
        if action.get("hmac_version") not in ("2", 2):
            return INVALID_HMAC
        given = action.get("hmac")
        if not isinstance(given, str) or not hmac.compare_digest(
            given.encode(), self._sign(timestamp, str(action.get("resourcetype")), str(action.get("actionid"))).encode()
        ):
            return INVALID_HMAC
        return None

    def _sign(self, timestamp: int, resourcetype: str, actionid: str) -> str:
        key = (timestamp, resourcetype, actionid)
        if key not in self._signatures:
            message = f"{timestamp}{self._account.token}{resourcetype}{actionid}"
            digest = hmac.new(self._account.secret.encode(), message.encode(), hashlib.sha256).digest()
            self._signatures[key] = base64.b64encode(digest).decode()
        return self._signatures[key]
