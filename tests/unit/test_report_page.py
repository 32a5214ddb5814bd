"""The summary of a report and its picture: right for every state of a run, and harmless whatever the texts are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.following import Capacity
from gateway.report import curve
from gateway.report.chart import progress
from gateway.report.page import render
from gateway.report.summary import Point, Summary, percent, took, when
from gateway.report.terminal import curve_lines, facts
from worker.stores.runs import Pace, Run
from worker.unlinking.chunk import RowState
from worker.unlinking.plan import Action
from worker.unlinking.report import Trace, letter_end, row_end
from worker.unlinking.report_counts import Counts
from worker.unlinking.runs import RunState

START = 1_764_000_000  # Unix seconds
FIELDS = {
    "state": "done",
    "account": "default",
    "action": "unlink",
    "rows": "100",
    "canary": "10",
    "size": "500",
    "max_failure_rate": "0.1",
    "by": "operator@host",
    "because": "spring",
    "source": "links.csv",
    "plan": "/plans/spring.plan",
    "started_at": str(START * 1000),
}
UNLINKED = row_end(Action.UNLINK, RunState.DONE, RowState.UNLINKED)
NOT_SENT = row_end(Action.UNLINK, RunState.RUNNING, RowState.PENDING)


def failed(message: str = "kept", reason: str = "NotDeletable") -> Trace:
    told = json.dumps({"reason": reason, "code": 168, "message": message})
    return Trace("r.0:1", "ended", "dead", told)


def counted(unlinked: int, dead: int = 0, not_sent: int = 0, letter: Trace | None = None) -> Counts:
    counts = Counts(Action.UNLINK)
    for end, times in (
        (UNLINKED, unlinked),
        (letter_end(Action.UNLINK, RowState.DEAD, [letter or failed()]), dead),
        (NOT_SENT, not_sent),
    ):
        if times:
            counts.add(end, times)
    return counts


def summary(counts: Counts, pace: Sequence[tuple[float, int, int]] = (), /, **fields: str) -> Summary:
    """Of a run of 100 rows."""
    numbers = {f"n:{name}": str(count) for name, count in counts.outcomes.items()}
    found: Mapping[str, str] = FIELDS | numbers | fields
    return Summary(
        run=Run("r", found),
        made_at=START + 1000.0,
        counts=counts,
        pace=[Pace(START + at, done, dead) for at, done, dead in pace],
        capacity=Capacity(rows_per_second=20),
        plan="/plans/spring.plan",
    )


ENDED = {"ended_at": str((START + 10) * 1000)}


def test_rate_and_share_are_of_the_time_the_run_took() -> None:
    found = summary(counted(100), **ENDED)
    assert (found.seconds, found.rate, found.share_of_limit) == (10.0, 10.0, 0.5)
    assert found.succeeded
    assert found.notes == []


def test_a_running_run_is_measured_until_now_and_says_so() -> None:
    found = summary(counted(40, 0, 60), [(3, 30, 0)], state="running")
    assert found.seconds == 1000.0
    assert "still going on" in found.notes[0]
    assert not found.succeeded


@pytest.mark.parametrize("state", ["paused", "stopped"])
def test_a_run_that_is_held_up_is_measured_until_it_last_got_on(state: str) -> None:
    found = summary(counted(40, 0, 60), [(3, 30, 0), (8, 40, 0)], state=state, steered_by="x")
    assert (found.seconds, found.rate) == (8.0, 5.0)
    assert "`unlinker bulk resume r`" in found.notes[0]


def test_rows_that_were_cancelled_do_not_count_as_done() -> None:
    counts = counted(40, 0, 0)
    counts.add(row_end(Action.UNLINK, RunState.CANCELLED, RowState.CANCELLED), 60)
    found = summary(counts, [(4, 40, 0), (5, 100, 0)], state="cancelled", steered_by="bernd", why="wrong file", **ENDED)
    assert (found.processed, found.rate) == (40, 4.0)
    assert [point.done for point in found.points] == [0, 40, 40, 40]
    assert found.told_state == "cancelled by bernd: wrong file"
    assert found.notes == []


def test_rows_whose_end_is_lost_are_no_success() -> None:
    counts = counted(90, 0, 10)
    found = summary(counts, state="done", **ENDED, **{"n:unlinked": "95"})
    assert found.lost == 5
    assert "5 rows ended, but how is no longer kept" in found.notes[0]
    assert found.document()["lost"] == 5
    assert not found.succeeded


def test_a_run_that_has_not_begun_has_no_rate_and_no_picture() -> None:
    fields = {name: value for name, value in FIELDS.items() if name != "started_at"} | {"state": "loading"}
    found = Summary(
        run=Run("r", fields), made_at=START, counts=counted(0, 0, 100), pace=[], capacity=None, plan=None, missing="x"
    )
    assert (found.seconds, found.rate, found.share_of_limit, found.points) == (0.0, None, None, [])
    assert "<svg" not in render(found, UTC)
    assert "has not begun" in found.notes[0]
    json.dumps(found.document())


def test_the_progress_is_thinned_out_and_never_goes_back() -> None:
    pace = [(number / 100, number // 10, 0) for number in range(1000)] + [(3.0, 100, 0)]
    points = summary(counted(100), pace, **ENDED).points
    assert len(points) <= 302
    assert [each.seconds for each in points] == sorted(each.seconds for each in points)
    assert (points[0].done, points[-1].done, points[-1].seconds) == (0, 100, 10.0)


def test_the_document_has_always_the_same_keys() -> None:
    one = summary(counted(100), **ENDED).document()
    other = summary(counted(5, 5, 90), state="stopped", why="canary", stopped_at=str(START * 1000)).document()
    assert list(one) == list(other)
    assert one["files"] == {"succeeded": 100, "already_absent": 0, "failed": 0, "unprocessed": 0}
    assert other["failures"][0]["reason"] == "NotDeletable"  # type: ignore[index]  # values are objects


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def tags(page: str) -> Tags:
    parser = Tags()
    parser.feed(page)
    return parser


HOSTILE = st.text(alphabet=st.sampled_from("<>&\"'/ ascriptonlodimg=x;\x00\ud800"), min_size=1, max_size=30)


@given(HOSTILE, st.sampled_from(["done", "stopped", "paused"]))
def test_no_text_from_outside_becomes_markup(text: str, state: str) -> None:
    def page(word: str) -> Tags:
        counts = counted(50, 50, letter=failed(word, word))
        said = {"account": word, "because": word, "by": word, "source": word, "why": word, "steered_by": word}
        found = summary(counts, [(4, 40, 4)], state=state, **said)
        return tags(render(replace(found, plan=word, missing=word), UTC))

    assert page(text).found == page("plain").found


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = render(summary(counted(50, 20, 30), [(4, 40, 4)], state="running"), UTC)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in tags(page).found}
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    ("state", "counts", "words"),
    [
        ("done", counted(100), ["done", "succeeded", "100.0 %"]),
        ("done", counted(0, 100), ["done, all failed", "onOffice refuses to delete this link", "168: kept"]),
        ("done", counted(50, 50), ["done, not all succeeded"]),
        ("running", counted(50, 0, 50), ["running", "still going on", "not sent"]),
        ("stopped", counted(0, 10, 90), ["stopped by a brake: too much", "unlinker bulk resume r"]),
        ("cancelled", counted(50, 0, 50), ["cancelled by bernd: too much"]),
    ],
)
def test_the_page_tells_how_it_stands(state: str, counts: Counts, words: list[str]) -> None:
    why = {} if state in ("done", "running") else {"why": "too much", "steered_by": "bernd"}
    over = ENDED if state in ("done", "cancelled") else {}
    text = tags(render(summary(counts, [(4, 10, 0)], state=state, **why, **over), UTC)).text
    for word in words:
        assert word in text


def test_who_resumed_it_is_told_where_the_state_does_not_tell() -> None:
    found = summary(counted(100), state="done", why="looked at", steered_by="bernd", **ENDED)
    assert ("last steered", "by bernd: looked at") in facts(found, UTC)
    assert found.told_state == "done"


@pytest.mark.parametrize("most", [1, 2, 7, 399, 1000, 12_400, 1_000_000])
def test_the_rows_scale_is_round_and_short(most: int) -> None:
    values = [tick.value for tick in curve.row_ticks(most)]
    assert values[0] == 0
    assert values[-1] <= most
    assert len(values) <= 6
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("seconds", [0.001, 0.4, 1, 2.1, 59, 61, 3599, 3601, 90_000, 400_000, 9e6])
def test_the_time_scale_is_round_and_short(seconds: float) -> None:
    ticks = curve.time_ticks(seconds)
    assert 2 <= len(ticks) <= 8
    assert ticks[-1].value <= seconds * 1.0001
    assert len({tick.label for tick in ticks}) == len(ticks)


def test_the_curve_goes_evenly_between_its_points() -> None:
    points = [Point(0, 0, 0), Point(10, 100, 10), Point(10, 120, 10), Point(20, 120, 30)]
    assert curve.at(points, 5) == (50.0, 5.0)
    assert curve.at(points, 15) == (120.0, 20.0)
    assert curve.at(points, 99) == (120.0, 30.0)
    assert curve.at(points, -1) == (0.0, 0.0)


POINTS = st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=20)


@given(POINTS)
def test_every_progress_can_be_drawn(points: list[tuple[float, int, int]]) -> None:
    found = [Point(at, max(done, dead), dead) for at, done, dead in sorted(points)]
    svg = progress(found, 1000)
    assert svg == "" or (svg.startswith("<svg") and "nan" not in svg and "inf" not in svg)
    if svg:
        lines = [line.plain for line in curve_lines(found, 1000, " .:|")]
        assert len({len(line) for line in lines[:-1]}) == 1


def test_a_finished_curve_reaches_the_top_and_the_failed_are_red() -> None:
    lines = list(curve_lines([Point(0, 0, 0), Point(10, 100, 50)], 100, " #"))
    assert lines[0].plain.endswith("#")
    assert "red" in {span.style for span in lines[-3].spans}
    assert "red" not in {span.style for span in lines[0].spans}
    plain = [line.plain for line in curve_lines([Point(0, 0, 0), Point(10, 100, 50)], 100, " #", "x")]
    assert (plain[0][-1], plain[-3][-1]) == ("#", "x")
    assert "x failed" in plain[-1]
    few = [line.plain for line in curve_lines([Point(0, 0, 0), Point(10, 1000, 1)], 1000, " #", "x")]
    assert few[-3][-1] == "x", "one in a thousand shows"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0.4 s"), (59.4, "59 s"), (61, "1 min 1 s"), (3700, "1 h 1 min"), (200_000, "2 d 7 h")],
)
def test_times_are_told_for_people(seconds: float, text: str) -> None:
    assert took(seconds) == text


def test_nothing_is_rounded_to_all_or_to_nothing() -> None:
    assert [percent(*pair) for pair in ((0, 9), (1, 10_000), (9_999, 10_000), (5, 5), (0, 0))] == [
        "0.0 %",
        "< 0.1 %",
        "> 99.9 %",
        "100.0 %",
        "0.0 %",
    ]


def test_a_moment_has_its_time_zone() -> None:
    assert when(START, UTC) == "2025-11-24 16:00:00 UTC"
    assert when(None, UTC) == ""
