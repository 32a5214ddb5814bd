"""The clock that requests are signed by: what an answer's date may change, and what it may not."""

from email.utils import formatdate

import pytest

from worker.onoffice.client import refused_for_its_time
from worker.onoffice.clock import SigningClock, date_of
from worker.onoffice.replies import Answer, Missing, Reply

TRUE = 1_800_000_000.0
STALE = Answer(136, "Your timestamp is too old or your server time is wrong.", (), None)
DONE = Answer(0, "OK", (), "success")


def dated(seconds: float) -> dict[str, str]:
    return {"date": formatdate(seconds, usegmt=True)}


@pytest.mark.parametrize("off", [-86_400 * 365 * 20, -3600, -130, 130, 3600, 86_400 * 400])
def test_a_clock_that_is_off_is_put_right_once(off: float) -> None:
    clock = SigningClock(lambda: TRUE + off)
    assert clock() == TRUE + off
    assert clock.put_right(dated(TRUE), 0.0)
    assert abs(clock() - TRUE) < 1
    assert not clock.put_right(dated(TRUE), clock.ahead), "signed by onOffice's clock, and refused: it is not the clock"


def test_requests_that_were_on_the_wire_together_are_all_signed_anew() -> None:
    clock = SigningClock(lambda: TRUE + 3600)
    assert [clock.put_right(dated(TRUE), 0.0) for _ in range(4)] == [True] * 4


def test_a_clock_that_agrees_with_the_apis_is_left_alone() -> None:
    clock = SigningClock(lambda: TRUE)
    assert not clock.put_right(dated(TRUE + 2), 0.0)
    assert clock() == TRUE


def test_without_a_date_the_second_opinion_counts() -> None:
    clock = SigningClock(lambda: TRUE + 3600)
    assert not clock.put_right({}, 0.0)
    clock.second_opinion = -3600.0
    assert clock.put_right({}, 0.0)
    assert clock() == TRUE


@pytest.mark.parametrize("date", ["", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 99 Jan 2026 00:00:00 GMT", "\x00"])
def test_a_date_that_cannot_be_right_is_none(date: str) -> None:
    assert date_of({"date": date}) is None


def test_a_date_without_a_zone_is_greenwichs() -> None:
    assert date_of({"date": "Fri, 15 Jan 2027 08:00:00 -0000"}) == TRUE


@pytest.mark.parametrize(
    ("answers", "top", "refused"),
    [
        ((STALE, STALE), 0, True),
        ((Missing("no result"), Missing("no result")), 136, True),
        ((STALE, Missing("no result")), 136, True),
        ((STALE, DONE), 0, False),
        ((STALE, Missing("no result")), 0, False),
        ((DONE, DONE), 136, False),
        ((), 136, False),
    ],
)
def test_only_what_was_refused_as_a_whole_is_sent_again(
    answers: tuple[Answer | Missing, ...], top: int, refused: bool
) -> None:
    """Sending it again must not repeat an action that was carried out."""
    assert refused_for_its_time(Reply(200, top, "", answers)) is refused
