"""The table of the vendor's codes, and what it makes of answers (API facts 2.2, 2.4, 3, appendix A)."""

import math
import os
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.onoffice.codes import (
    CODES,
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    Reason,
    Verdict,
    judge_delete,
    judge_http,
    retry_after_seconds,
    rule_for,
)
from worker.onoffice.replies import UNREADABLE_CODE, Answer
from worker.unlinking.errors import REASONS, error_for

NOW = 1445412480.0  # Wed, 21 Oct 2015 07:28:00 GMT
NO_SUCH_CODES = [
    2, 10, 11, 12, 33, 66, 118, 120, 128, 140, 147, 157, 195, 197, 200, 234, 280, 296,
]  # fmt: skip


def test_all_287_codes_are_there() -> None:
    assert len(CODES) == 287
    assert sorted(CODES) == [code for code in range(305) if code not in NO_SUCH_CODES]
    assert all(rule.code == code and rule.text == rule.text.strip() != "" for code, rule in CODES.items())


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "OK"),
        (75, 'Unknown field: "%s"'),
        (132, "No or unknown relation given"),
        (137, "The HMAC is invalid."),
        (168, "Entry could not be deleted"),
        (275, "Mail couldn’t be deleted"),  # noqa: RUF001  # the vendor's apostrophe
        (304, "Module and view parameters must not be empty"),
    ],
)
def test_texts_are_the_vendors(code: int, text: str) -> None:
    assert CODES[code].text == text


TRANSIENT = (Verdict.AGAIN, Reason.EXHAUSTED, None, Verdict.REFUSED)
TWICE = (Verdict.AGAIN, Reason.EXHAUSTED, 2, Verdict.REFUSED)
SIGN_ANEW = (Verdict.AGAIN, None, 2, Verdict.HALT_ACCOUNT)
ACCOUNT = (Verdict.HALT_ACCOUNT, None, None, Verdict.REFUSED)
OUR_FAULT = (Verdict.REFUSED, Reason.BAD_REQUEST, None, Verdict.REFUSED)
RIGHTS = (Verdict.REFUSED, Reason.MISSING_RIGHT, None, Verdict.REFUSED)
NOT_SUPPORTED = (Verdict.REFUSED, Reason.NOT_SUPPORTED, None, Verdict.REFUSED)
LOOK_RECORD = (Verdict.UNKNOWN, Reason.UNKNOWN_RECORD, 2, Verdict.REFUSED)
OTHER = (Verdict.AGAIN, Reason.UNKNOWN_CODE, 2, Verdict.REFUSED)


@pytest.mark.parametrize(
    ("codes", "rule"),
    [
        ([1, 9, 26, 27, 175, 176, 303], TRANSIENT),
        ([8], TWICE),
        ([136, 137, 243], SIGN_ANEW),
        ([13, 22, 40, 41, 42, 43, 45, 46, 47, 48, 49, 153, 104, 134, 184, 286, 158, 193, 201, 248, 240], ACCOUNT),
        ([3, 4, 5, 6, 7, 14, 15, 247, 16, 17, 18, 19, 20, 21, 23, 24, 25], OUR_FAULT),
        ([73, 74, 187, 194, 227, 228, 229, 236, 255, 270, 294, 79, 96, 110], OUR_FAULT),
        ([167, 254, 282, 215, 185, 186, 219, 302], OUR_FAULT),
        ([149, 170, 155, 156, 174, 183, 253, 261, 262], RIGHTS),
        ([199, 216, 217, 218], NOT_SUPPORTED),
        ([80, 235, 251, 292, 293, 169, 117, 121], LOOK_RECORD),
        ([168], (Verdict.UNKNOWN, Reason.NOT_DELETABLE, None, Verdict.REFUSED)),
        ([132], (Verdict.UNKNOWN, Reason.UNKNOWN_RELATION_TYPE, 2, Verdict.REFUSED)),
        ([0, 97], (Verdict.UNKNOWN, None, None, Verdict.REFUSED)),
        ([28, 29, 34, 37, 50, 75, 203, 288, 304], OTHER),
        ([2, 305, 999, 10**9, -5, UNREADABLE_CODE], OTHER),
    ],
)  # fmt: skip
def test_class_of_each_code(codes: list[int], rule: tuple[Verdict, Reason | None, int | None, Verdict]) -> None:
    for code in codes:
        found = rule_for(code)
        assert (found.verdict, found.reason, found.max_tries, found.then) == rule, code
        assert found.code == code
        assert found.text


def test_no_code_by_itself_is_a_success() -> None:
    assert not {rule.verdict for rule in CODES.values()} & {Verdict.GONE, Verdict.ALREADY_GONE}


def test_no_code_lets_a_job_run_for_ever_or_die_without_a_reason() -> None:
    for rule in CODES.values():
        assert rule.verdict is not Verdict.SLOW_DOWN
        if rule.verdict is Verdict.REFUSED or (rule.verdict is Verdict.AGAIN and rule.then is Verdict.REFUSED):
            assert rule.reason is not None, rule.code


def test_each_reason_names_an_exception() -> None:
    for reason in Reason:
        error = error_for(reason, 168, "text")
        assert isinstance(error, REASONS[reason.value])
        assert type(error).__name__ == str(reason)


@pytest.mark.parametrize(
    ("errorcode", "success", "verdict"),
    [
        (0, "success", Verdict.GONE),
        (0, None, Verdict.GONE),
        (0, "error", Verdict.UNKNOWN),
        (0, "Success", Verdict.UNKNOWN),
        (0, "", Verdict.UNKNOWN),
        (0, "<bool>", Verdict.UNKNOWN),
        (168, "success", Verdict.UNKNOWN),  # the code counts first
        (132, None, Verdict.UNKNOWN),
        (170, None, Verdict.REFUSED),
        (137, None, Verdict.AGAIN),
        (41, None, Verdict.HALT_ACCOUNT),
        (UNREADABLE_CODE, None, Verdict.AGAIN),
    ],
)
def test_judge_delete(errorcode: int, success: str | None, verdict: Verdict) -> None:
    found, rule = judge_delete(Answer(errorcode, "text", (), success))
    assert found is verdict
    assert rule == (None if errorcode == 0 else rule_for(errorcode))


@given(errorcode=st.integers(), success=st.none() | st.text())
def test_only_code_0_and_a_clear_success_are_success(errorcode: int, success: str | None) -> None:
    verdict, _ = judge_delete(Answer(errorcode, "", (), success))
    assert (verdict is Verdict.GONE) == (errorcode == 0 and success in (None, "success"))


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([200, 201, 204], None),
        ([429, 503], Verdict.SLOW_DOWN),
        ([301, 302, 307, 308, 304, 401, 403, 404], Verdict.HALT_ACCOUNT),
        ([500, 501, 502, 504, 520, 599, 400, 402, 405, 408, 413, 418, 101, 0], Verdict.UNKNOWN),
    ],
)
def test_judge_http(statuses: list[int], verdict: Verdict | None) -> None:
    assert {judge_http(status, {}) for status in statuses} == {verdict}


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/New_York"])
def _local_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = os.environ.get("TZ")
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.setenv("TZ", before) if before is not None else monkeypatch.delenv("TZ")
    time.tzset()


@pytest.mark.usefixtures("_local_zone")
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", SHORTEST_PAUSE), ("1", 1.0), (" 7 ", 7.0), ("2.5", 2.5), ("+3", 3.0), ("120", 120.0),
        ("-1", SHORTEST_PAUSE), ("-1000000", SHORTEST_PAUSE), ("0.0000001", SHORTEST_PAUSE),
        ("301", LONGEST_PAUSE), (str(10**9), LONGEST_PAUSE), ("9" * 400, LONGEST_PAUSE),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:28:30 -0000", 30.0),
        ("Wed, 21 Oct 2015 07:28:30", 30.0),
        ("Wed, 21 Oct 2015 09:28:30 +0200", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", SHORTEST_PAUSE),
        ("Thu, 01 Jan 1970 00:00:00 GMT", SHORTEST_PAUSE),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE),
        ("", None), ("soon", None), ("nan", None), ("inf", None), ("-inf", None), ("1_0", None), ("0x10", None),
        ("1e9", None), ("٣", None), ("1, 2", None), ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +9999999999", None),
    ],
)  # fmt: skip
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": value}, NOW) == seconds


def test_no_retry_after() -> None:
    assert retry_after_seconds({}, NOW) is None


_dates = st.from_regex(r"\w{3}, \d{1,3} \w{3} \d{1,5} \d{1,3}:\d\d(:\d\d)?( [+-]?\w{1,6})?", fullmatch=True)


@given(value=st.text() | _dates, now=st.floats(0, 4e9))
def test_retry_after_is_bounded_whatever_is_sent(value: str, now: float) -> None:
    seconds = retry_after_seconds({"retry-after": value}, now)
    assert seconds is None or (math.isfinite(seconds) and SHORTEST_PAUSE <= seconds <= LONGEST_PAUSE)
