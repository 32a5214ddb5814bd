"""The table of codes and the two small readers of HTTP."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.onoffice.codes import (
    CODES,
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    Verdict,
    judge_delete,
    judge_http,
    retry_after_seconds,
    rule_for,
)
from worker.onoffice.replies import Answer
from worker.onoffice.vendor_codes import TEXTS
from worker.unlinking.errors import REASONS


def test_all_vendor_codes_have_a_rule() -> None:
    assert len(TEXTS) == 287
    assert set(CODES) == set(TEXTS)
    assert all(CODES[code].text == TEXTS[code] for code in CODES)


def test_every_reason_is_an_exception_of_the_contract() -> None:
    assert {rule.reason for rule in CODES.values() if rule.reason} <= set(REASONS)


@pytest.mark.parametrize(
    ("code", "verdict", "reason"),
    [
        (1, Verdict.AGAIN, "Exhausted"),
        (4, Verdict.REFUSED, "BadRequest"),
        (22, Verdict.HALT_ACCOUNT, None),
        (41, Verdict.HALT_ACCOUNT, None),
        (80, Verdict.UNKNOWN, "UnknownRecord"),
        (132, Verdict.UNKNOWN, "UnknownRelationType"),
        (137, Verdict.AGAIN, None),
        (156, Verdict.REFUSED, "MissingRight"),
        (168, Verdict.UNKNOWN, "NotDeletable"),
        (199, Verdict.REFUSED, "NotSupported"),
        (292, Verdict.UNKNOWN, "UnknownRecord"),
        (302, Verdict.REFUSED, "BadRequest"),
        (56, Verdict.AGAIN, "UnknownCode"),
        (4711, Verdict.AGAIN, "UnknownCode"),
    ],
)
def test_what_codes_mean(code: int, verdict: Verdict, reason: str | None) -> None:
    rule = rule_for(code)
    assert (rule.verdict, rule.reason) == (verdict, reason)


def test_bad_signatures_are_tried_twice_then_halt_the_account() -> None:
    for code in (136, 137, 243):
        assert (rule_for(code).max_tries, rule_for(code).then) == (2, Verdict.HALT_ACCOUNT)


def test_codes_nobody_listed_cannot_loop() -> None:
    assert (rule_for(-1).max_tries, rule_for(999).max_tries) == (2, 2)


@pytest.mark.parametrize(
    ("success", "verdict"), [("success", Verdict.GONE), (None, Verdict.GONE), ("error", Verdict.UNKNOWN)]
)
def test_code_0_is_success_unless_the_element_says_otherwise(success: str | None, verdict: Verdict) -> None:
    assert judge_delete(Answer(0, "OK", (), success))[0] is verdict


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, None),
        (204, None),
        (301, Verdict.HALT_ACCOUNT),
        (401, Verdict.HALT_ACCOUNT),
        (404, Verdict.HALT_ACCOUNT),
        (418, Verdict.UNKNOWN),
        (429, Verdict.SLOW_DOWN),
        (500, Verdict.UNKNOWN),
        (502, Verdict.UNKNOWN),
        (503, Verdict.SLOW_DOWN),
    ],
)
def test_http_statuses(status: int, verdict: Verdict | None) -> None:
    assert judge_http(status, {}) is verdict


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("-1", SHORTEST_PAUSE),
        ("0", SHORTEST_PAUSE),
        ("1000000000", LONGEST_PAUSE),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:16:45 GMT", 5.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", SHORTEST_PAUSE),
    ],
)
def test_retry_after_is_read_within_sane_bounds(value: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": value}, now=1000.0) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_can_stop_us_for_long(value: str) -> None:
    seconds = retry_after_seconds({"retry-after": value}, now=1000.0)
    assert seconds is None or SHORTEST_PAUSE <= seconds <= LONGEST_PAUSE
