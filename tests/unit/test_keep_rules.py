"""What is kept how long, and when a letter is tried again: for all numbers and moments."""

from hypothesis import given
from hypothesis import strategies as st

from worker.stores.keep_rules import DAY, KeepRules
from worker.unlinking.redriving import HOUR, RedrivePolicy

moments = st.floats(1e9, 4e9)


@given(moments, st.integers(1, 1000), st.integers(8, 1000))
def test_nothing_younger_than_its_days_goes_and_nothing_a_day_older_stays(now: float, days: int, others: int) -> None:
    rules = KeepRules(letters_days=days, journal_days=others)
    for before, kept in ((rules.letters_before(now), days), (rules.journal_before(now), others)):
        assert now - (kept + 1) * DAY < before <= now - kept * DAY
        assert before % DAY == 0, "once a day"


@given(st.integers(0, 10**7), st.integers(100, 10**7))
def test_no_more_than_the_most_stay_and_not_many_less(count: int, most: int) -> None:
    left = count - KeepRules(letters_most=most).letters_over(count)
    assert left == count or count > most
    assert min(count, most - most // 100) <= left <= most


@given(moments, st.floats(0, 40 * HOUR), st.integers(0, 5))
def test_a_letter_is_due_when_its_wait_is_over_and_three_times_at_most(now: float, age: float, redrives: int) -> None:
    policy = RedrivePolicy()
    ended = now - age
    at = policy.next_at(ended, redrives)
    due = any(times == redrives and ended < before for times, before in policy.due(now))
    waits = {0: HOUR, 1: 4 * HOUR, 2: 16 * HOUR}
    assert (at is None) == (redrives not in waits)
    if at is None:
        assert not due
    elif abs(age - waits[redrives]) > 1:
        assert due == (age > waits[redrives])
        assert (at < now) == due
