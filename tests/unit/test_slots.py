"""Slots: every time that a schedule names is one slot, however the clock is set; time is an argument here."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.unlinking.slots import (
    Due,
    Timing,
    TimingError,
    check_cron,
    check_zone,
    due,
    next_slot,
    slots_after,
    slots_until,
)

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600.0
DAY = 86400.0


def berlin(cron: str, catch_up: float = 6 * HOUR) -> Timing:
    return Timing(cron, "Europe/Berlin", catch_up)


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def first(timing: Timing, start: str, count: int) -> list[str]:
    zone = ZoneInfo(timing.zone)
    found = itertools.islice(slots_after(timing, at(start, zone)), count)
    return [datetime.fromtimestamp(slot, zone).isoformat(timespec="minutes") for slot in found]


@pytest.mark.parametrize(
    ("cron", "slots"),
    [
        ("30 2 * * *", ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        ("*/20 2 * * *", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        ("0 2,3 * * *", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        ("30 1,2,3 * * *", ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"]),
        ("0 0 * * *", ["2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"]),
    ],
)
def test_a_slot_in_the_skipped_hour_comes_once_right_after_it(cron: str, slots: list[str]) -> None:
    assert first(berlin(cron), "2026-03-28T20:00", len(slots)) == slots


@pytest.mark.parametrize(
    ("cron", "slots"),
    [
        ("30 2 * * *", ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        ("*/30 2 * * *", ["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-26T02:00+01:00"]),
        ("30 1-3 * * *", ["2026-10-25T01:30+02:00", "2026-10-25T02:30+02:00", "2026-10-25T03:30+01:00"]),
    ],
)
def test_a_slot_in_the_doubled_hour_comes_once(cron: str, slots: list[str]) -> None:
    assert first(berlin(cron), "2026-10-24T20:00", len(slots)) == slots


@pytest.mark.parametrize("cron", ["*/30 * * * *", "0,30 * * * *", "0-59/30 */1 * * *", "*/30 0-23 * * *"])
def test_a_schedule_of_every_hour_follows_the_time_that_passes(cron: str) -> None:
    doubled = first(berlin(cron), "2026-10-25T01:59", 5)
    assert doubled == [
        *("2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00"),
        "2026-10-25T03:00+01:00",
    ]
    assert first(berlin(cron), "2026-03-29T01:29", 3) == [
        *("2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00")
    ]


@pytest.mark.parametrize(
    ("zone", "cron", "start", "slots"),
    [
        # half an hour is doubled, from 01:30 to 02:00
        (
            *("Australia/Lord_Howe", "*/15 * * * *", "2026-04-05T01:29"),
            [*("01:30+11:00", "01:45+11:00", "01:30+10:30", "01:45+10:30", "02:00+10:30")],
        ),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-05T01:29", ["01:45+11:00", "01:45+10:30"]),
        ("America/New_York", "15 * * * *", "2026-11-01T00:30", ["01:15-04:00", "01:15-05:00", "02:15-05:00"]),
        ("America/New_York", "15 * * * *", "2026-03-08T00:30", ["01:15-05:00", "03:15-04:00"]),
    ],
)
def test_the_doubled_hour_of_other_clocks(zone: str, cron: str, start: str, slots: list[str]) -> None:
    assert [slot.split("T")[1] for slot in first(Timing(cron, zone, HOUR), start, len(slots))] == slots


ZONES = st.sampled_from(["Europe/Berlin", "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
HOURS = st.integers(0, 23)
MINUTES = st.integers(0, 59)
MOMENTS = st.integers(int(at("2026-01-01T00:00")), int(at("2027-01-01T00:00"))).map(float)
SET = ["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"]  # days when clocks are set
CHANGES = st.builds(
    lambda day, seconds: at(f"{day}T02:00") + seconds, st.sampled_from(SET), st.integers(-90_000, 90_000)
)
CRONS = st.builds(
    lambda minutes, hours: f"{minutes} {hours} * * *",
    st.one_of(st.just("*"), st.integers(1, 40).map(lambda n: f"*/{n}"), st.integers(0, 59).map(str)),
    st.one_of(st.just("*"), st.just("*/1"), st.integers(2, 9).map(lambda n: f"*/{n}"), st.integers(0, 23).map(str)),
)


@settings(deadline=None)
@given(ZONES, CRONS, st.one_of(MOMENTS, CHANGES))
def test_slots_go_up_and_no_named_time_comes_twice(zone: str, cron: str, moment: float) -> None:
    clock = ZoneInfo(zone)
    found = itertools.takewhile(lambda slot: slot < moment + 2 * DAY, slots_after(Timing(cron, zone, HOUR), moment))
    slots = list(found)
    assert all(one < other for one, other in itertools.pairwise([moment, *slots]))
    if cron.split()[1] not in ("*", "*/1"):
        walls = [datetime.fromtimestamp(slot, clock).replace(tzinfo=None) for slot in slots]
        assert len(set(walls)) == len(walls)


@settings(deadline=None)
@given(ZONES, st.sampled_from([1, 2, 5, 10, 15, 30]), st.one_of(MOMENTS, CHANGES))
def test_every_so_many_minutes_means_of_time_that_passes(zone: str, minutes: int, moment: float) -> None:
    slots = list(itertools.islice(slots_after(Timing(f"*/{minutes} * * * *", zone, HOUR), moment), 200))
    assert {other - one for one, other in itertools.pairwise(slots)} == {minutes * 60}


def test_looking_from_within_the_hours_of_change() -> None:
    timing = berlin("30 2 * * *")
    twice = at("2026-10-25T02:45:00") + HOUR  # 02:45 for the second time
    assert next_slot(timing, twice) == at("2026-10-26T02:30:00")
    assert next_slot(timing, at("2026-10-25T02:30:00")) == at("2026-10-26T02:30:00")
    assert next_slot(timing, at("2026-03-29T03:00:00")) == at("2026-03-30T02:30:00")


@pytest.mark.parametrize(
    ("zone", "cron", "start", "slot"),
    [
        ("America/New_York", "30 2 * * *", "2026-03-07T20:00", "2026-03-08T03:00-04:00"),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T20:00", "2026-10-04T02:30+11:00"),
        ("Pacific/Apia", "0 5 * * *", "2011-12-29T20:00", "2011-12-31T00:00+14:00"),
        ("UTC", "0 0 29 2 *", "2026-01-01T00:00", "2028-02-29T00:00+00:00"),
    ],
)
def test_other_clocks(zone: str, cron: str, start: str, slot: str) -> None:
    assert first(Timing(cron, zone, HOUR), start, 1) == [slot]


@settings(deadline=None)
@given(ZONES, HOURS, MINUTES, MOMENTS)
def test_a_daily_slot_comes_once_on_each_day(zone: str, hour: int, minute: int, moment: float) -> None:
    """Against the calendar: 40 days have 40 slots, each at its time, or right after a gap in which that time lies."""
    clock = ZoneInfo(zone)
    slots = list(itertools.islice(slots_after(Timing(f"{minute} {hour} * * *", zone, HOUR), moment), 40))
    assert slots[0] > moment
    shown = [datetime.fromtimestamp(slot, clock) for slot in slots]
    days = [each.date() for each in shown]
    assert days == [days[0] + timedelta(days=n) for n in range(40)]
    for each in shown:
        wall = each.replace(hour=hour, minute=minute, second=0, tzinfo=None)
        if each.replace(tzinfo=None) != wall:
            before = (each.astimezone(UTC) - timedelta(minutes=1)).astimezone(clock).replace(tzinfo=None)
            assert before < wall < each.replace(tzinfo=None), "the clock skipped it just now"
        else:
            assert each.fold == 0, "the first time that the clock shows it"


@settings(deadline=None)
@given(ZONES, st.sampled_from(["* * * * *", "*/7 * * * *", "0 */5 * * *", "30 2 * * *", "1 1 1 * *"]), MOMENTS, MOMENTS)
def test_dealt_with_is_dealt_with(zone: str, cron: str, one: float, other: float) -> None:
    """What is due is the latest slot between; once it is noted, nothing is due any more at that moment."""
    timing = Timing(cron, zone, HOUR)
    handled, now = sorted((one, other))
    found = due(timing, handled, now)
    if found is None:
        assert next_slot(timing, handled) > now
        return
    assert handled < found.slot <= now < next_slot(timing, found.slot)
    assert found.late is (now - found.slot > HOUR)
    assert due(timing, found.slot, now) is None


def test_of_several_slots_that_were_missed_the_latest_runs_once() -> None:
    timing = berlin("0 * * * *", catch_up=6 * HOUR)
    start = at("2026-06-01T00:00:00")
    assert due(timing, start, start + 3.5 * HOUR) == Due(start + 3 * HOUR, late=False, missed=2)


@settings(deadline=None)
@given(ZONES, st.sampled_from(["*/15 * * * *", "*/20 2 * * *", "0 */5 * * *", "30 2 * * *"]), MOMENTS)
def test_backwards_are_the_same_slots(zone: str, cron: str, moment: float) -> None:
    timing = Timing(cron, zone, HOUR)
    forwards = list(itertools.takewhile(lambda slot: slot <= moment + 2 * DAY, slots_after(timing, moment)))
    backwards = itertools.takewhile(lambda slot: slot > moment, slots_until(timing, moment + 2 * DAY))
    assert forwards == list(backwards)[::-1]


def test_a_slot_past_its_window_is_missed() -> None:
    timing = berlin("30 2 * * *", catch_up=2 * HOUR)
    slot = at("2026-06-02T02:30:00")
    handled = slot - DAY
    assert due(timing, handled, slot - 1) is None
    assert due(timing, handled, slot) == Due(slot, late=False, missed=0)
    assert due(timing, handled, slot + 2 * HOUR) == Due(slot, late=False, missed=0)
    assert due(timing, handled, slot + 2 * HOUR + 1) == Due(slot, late=True, missed=0)


def test_a_year_of_silence_is_counted_in_bounded_time() -> None:
    found = due(berlin("* * * * *"), at("2026-01-01T00:00"), at("2027-01-01T00:00"))
    assert found == Due(at("2027-01-01T00:00"), late=False, missed=1000)


@pytest.mark.parametrize(
    ("cron", "text"),
    [
        ("* * * *", "has 4 fields"),
        ("0 30 2 * * *", "has 6 fields"),
        ("", "has 0 fields"),
        ("@daily", "has 1 fields"),
        ("61 * * * *", "bad minute"),
        ("0 25 * * *", "bad hour"),
        ("a b c d e", "bad minute"),
        ("0 0 31 2 *", "bad day-of-month"),
    ],
)
def test_schedules_that_mean_nothing(cron: str, text: str) -> None:
    with pytest.raises(TimingError, match=text):
        check_cron(cron)


@pytest.mark.parametrize("zone", ["Europe/Berlni", "", "../../etc/passwd", "/etc/passwd", "Europe", "CET\0"])
def test_zones_that_are_none(zone: str) -> None:
    with pytest.raises(TimingError, match="no time zone"):
        check_zone(zone)
