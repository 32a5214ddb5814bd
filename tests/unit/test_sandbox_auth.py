"""Who the sandbox believes: signatures of version 2 and nothing else, so that no test passes with a wrong one."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN
from sandbox.auth import INVALID_HMAC, STALE_TIMESTAMP, Checker
from sandbox.options import SandboxAccount
from worker.onoffice.protocol import Credentials, build_request, delete_relation

NOW, WINDOW = 1_700_000_000, 600
URN = "urn:onoffice-de-ns:smart:2.5:relationTypes:calendar:address"


def action(**changes: object) -> dict[str, Any]:
    """As our protocol signs it, but for the changes."""
    credentials = Credentials(DEFAULT_TOKEN, DEFAULT_SECRET)
    body = json.loads(build_request(credentials, [delete_relation("a", URN, 671, 153)], NOW))
    found: dict[str, Any] = body["request"]["actions"][0]
    return found | changes


def fault(given: dict[str, Any], now: float = NOW) -> tuple[int, str] | None:
    account = SandboxAccount("default", DEFAULT_TOKEN, DEFAULT_SECRET)
    return Checker(account, now, WINDOW).fault(given)


def version_1(given: dict[str, Any], token: str = DEFAULT_TOKEN, secret: str = DEFAULT_SECRET) -> str:
    """The old signature, which onOffice still takes (API facts 1.4)."""
    parts = [given[name] for name in ("actionid", "identifier", "resourceid", "timestamp", "resourcetype")]
    action_id, identifier, resource_id, timestamp, resource_type = map(str, parts)
    words = ",".join([token, action_id, identifier, resource_id, secret, timestamp, resource_type])
    parameters = json.dumps(given["parameters"], sort_keys=True, separators=(",", ":")).replace("/", "\\/")
    inner = hashlib.md5(f"{parameters},{words}".encode(), usedforsecurity=False).hexdigest()
    return hashlib.md5((secret + inner).encode(), usedforsecurity=False).hexdigest()


def test_what_is_tried_below_is_a_signature_of_version_1() -> None:
    names = {name: name for name in ("identifier", "timestamp")}
    given = names | {"actionid": "action", "resourceid": 1, "timestamp": 100, "resourcetype": "type"}
    signed = version_1(given | {"parameters": {"paramKey": "paramValue"}}, "token", "secret")
    assert signed == "7e0bb4b6ceb4b3cff609524e416f2ac3", "the vector of the vendor's own tests"


@pytest.mark.parametrize("version", ["2", 2])
def test_version_2_is_believed(version: object) -> None:
    assert fault(action(hmac_version=version)) is None


@pytest.mark.parametrize("version", ["1", 1, "", None, "3", 2.5, [2], True])
def test_no_other_version_is_believed_even_with_a_signature_of_version_2(version: object) -> None:
    assert fault(action(hmac_version=version)) == INVALID_HMAC


def test_a_signature_of_version_1_is_not_believed() -> None:
    given = action()
    for version in ("1", 1, "2"):
        assert fault(given | {"hmac_version": version, "hmac": version_1(given)}) == INVALID_HMAC
    without = {name: value for name, value in given.items() if name != "hmac_version"}
    assert fault(without) == INVALID_HMAC


def _signed(message: str, secret: str = DEFAULT_SECRET) -> str:
    return base64.b64encode(hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest()).decode()


@pytest.mark.parametrize(
    "wrong", ["", None, 5, "x", _signed("y"), _signed(f"{NOW}{DEFAULT_TOKEN}relation", "another secret")]
)
def test_a_wrong_signature_is_not_believed(wrong: object) -> None:
    assert fault(action(hmac=wrong)) == INVALID_HMAC


@pytest.mark.parametrize(
    "change", [{"timestamp": NOW + 1}, {"resourcetype": "address"}, {"actionid": "urn:read"}], ids=str
)
def test_a_signature_is_of_its_action_only(change: dict[str, object]) -> None:
    assert fault(action(**change)) == INVALID_HMAC


@pytest.mark.parametrize(
    ("ago", "believed"), [(WINDOW, True), (WINDOW + 1, False), (-WINDOW, True), (-WINDOW - 1, False)]
)
def test_the_window_of_the_timestamp(ago: int, believed: bool) -> None:
    assert fault(action(), NOW + ago) == (None if believed else STALE_TIMESTAMP)


@pytest.mark.parametrize("timestamp", ["1700000000", None, 1_700_000_000.0])
def test_a_timestamp_that_is_no_integer(timestamp: object) -> None:
    assert fault(action(timestamp=timestamp)) == STALE_TIMESTAMP
