"""Cutting credentials out of texts: whatever the writing, nothing of ours is left, and other text stays as it is."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.echo import WRITINGS
from worker.onoffice.protocol import Credentials, build_request, delete_relation
from worker.onoffice.redacting import LEFT_OUT, MASK, PIECE, Redactor
from worker.onoffice.replies import Answer, parse_reply

TOKEN = "q7Zk2vXw9Tn4Lb8Rm1Yc6Hd3Jf5Gs0Pa"
SECRET = "Vb5nK8wQ1zX4cJ7mR0tY3uI6oP9aS2dF-/gH5jL8kZ1xC4vB7nM0qW3eR6tY9uI2+"
CREDENTIALS = Credentials(TOKEN, SECRET)
ACTION = delete_relation("job-1", "urn:onoffice-de-ns:smart:2.5:relationTypes:calendar:address", 671, 153)
BODY = build_request(CREDENTIALS, [ACTION], 1_700_000_000)
HMAC = json.loads(BODY)["request"]["actions"][0]["hmac"]
redact = Redactor(CREDENTIALS).of_request(BODY)


def holds(text: str, secret: str) -> bool:
    """Whether a piece of the secret can still be read."""
    plain = "".join(each for each in text.lower() if each.isalnum())
    wanted = "".join(each for each in secret.lower() if each.isalnum())
    return any(wanted[at : at + PIECE] in plain for at in range(len(wanted) - PIECE + 1))


@pytest.mark.parametrize("secret", [TOKEN, SECRET, HMAC])
@pytest.mark.parametrize("writing", WRITINGS)
def test_no_writing_of_a_secret_stays(secret: str, writing: str) -> None:
    told = redact(f"The token <{WRITINGS[writing](secret)}> is invalid")
    assert not holds(told, secret)
    assert told == LEFT_OUT or (told.startswith("The token <") and told.endswith("> is invalid") and MASK in told)


@pytest.mark.parametrize("secret", [TOKEN, SECRET, HMAC])
def test_a_piece_is_cut_out_and_the_rest_is_kept(secret: str) -> None:
    assert redact(f"not {secret[:16]} but") == f"not {MASK} but"
    assert redact(f"not {secret[-16:].swapcase()} but") == f"not {MASK} but"


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
def test_base64_is_seen_whatever_stands_before(before: str) -> None:
    coded = base64.b64encode(f"{before}{TOKEN}:{SECRET}".encode()).decode()
    told = redact(f"Authorization: Basic {coded}")
    assert not any(coded[at : at + 16] in told for at in range(len(coded) - 16))


def test_signatures_of_other_requests_are_cut_out_too() -> None:
    other = json.loads(build_request(CREDENTIALS, [ACTION], 1_600_000_000))["request"]["actions"][0]["hmac"]
    for text in (other, other.replace("/", "\\/"), other.replace("=", "%3D").replace("/", "%2F")):
        assert redact(f"hmac {text} is wrong") == f"hmac {MASK} is wrong"


@pytest.mark.parametrize("text", ["", "OK", "Entry could not be deleted", "Unknown record id 671", "Grüße, 1234567890"])
def test_other_texts_stay(text: str) -> None:
    assert redact(text) == text


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from([TOKEN, SECRET, HMAC]))
def test_between_any_texts_nothing_is_left(before: str, after: str, secret: str) -> None:
    assert not holds(redact(before + secret + after), secret)


@given(st.text(max_size=300))
def test_a_text_without_secrets_stays(text: str) -> None:
    assert redact(text) == text


def test_every_text_of_an_answer_is_redacted() -> None:
    document = {
        "status": {"code": 500, "errorcode": 97, "message": f"top {TOKEN}"},
        "response": {
            "results": [
                {
                    "actionid": ACTION.actionid,
                    "resourcetype": "relation",
                    "identifier": "job-1",
                    "data": {
                        "records": [{"elements": {"success": f"no {SECRET}", "list": [HMAC], "map": {"a": TOKEN}}}]
                    },
                    "status": {"errorcode": 0, "message": "x" * 295 + TOKEN},
                }
            ]
        },
    }
    reply = parse_reply(json.dumps(document).encode(), [ACTION], redact)
    answer = reply.answers[0]
    assert isinstance(answer, Answer)
    assert (reply.message, answer.success, answer.message) == (f"top {MASK}", f"no {MASK}", "x" * 295 + MASK)
    assert answer.records == ({"elements": {"success": f"no {MASK}", "list": [MASK], "map": {"a": MASK}}},)


def test_a_huge_text_is_cut_off_and_read_in_bounded_time() -> None:
    assert len(redact("y" * 10_000_000)) <= 100_000
