"""Reports of nights: what they tell, and that nothing in them is taken for markup."""

from dataclasses import replace
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from gateway.reconciling.page import render
from gateway.reconciling.report import Report, approval_command, text
from worker.unlinking.job import Relation
from worker.unlinking.night import (
    RELATIONS_KEPT,
    TRUTH,
    Drift,
    Happened,
    Night,
    NightStatus,
    concern,
    drift,
    kept_relations,
    night_id,
    run_id,
)

DAY = 86400.0
START = 1_780_360_200.0  # 2026-06-02 00:30 UTC
NIGHT = Night(
    id=night_id("sold", START),
    policy="sold",
    account="default",
    slot=START,
    started_at=START + 5,
    status=NightStatus.DONE,
    ended_at=START + 65,
    why="12 unlinked, 0 were gone already, 1 failed",
    relationtype="estate:address:interested",
    counts={"scope": 3, "found": 30, "planned": 13, "unlinked": 12, "failed": 1, "resurrected": 1},
    failures={"NotDeletable": 1},
    run="r1",
    resurrected=(("estate:address:interested", 1, 10),),
    story=(Happened(START + 6, "read 3 records"), Happened(START + 60, "done")),
)


def earlier(*counts: dict[str, int], status: NightStatus = NightStatus.DONE) -> list[Night]:
    return [
        replace(NIGHT, id=f"n{place}", slot=START - place * DAY, counts=each, status=status)
        for place, each in enumerate(counts, start=1)
    ]


def test_drift_is_against_good_nights_only() -> None:
    good = earlier({"found": 28}, {"found": 20, "scope": 3})
    aborted = earlier({"found": 1}, status=NightStatus.ABORTED)
    later = replace(NIGHT, id="later", slot=START + DAY, counts={"found": 99})
    found = drift(NIGHT, [later, NIGHT, *aborted, *good])
    assert found["found"] == Drift(30, 28, 24.0)
    assert found["scope"] == Drift(3, 3, 3.0)
    assert found["unlinked"] == Drift(12, None, None)


def test_the_text_tells_all() -> None:
    told = text(Report(NIGHT, earlier({"found": 28})))
    for line in (
        "sold: done: 12 unlinked, 0 were gone already, 1 failed",
        "  slot           2026-06-02 00:30:00 UTC",
        "         30  links found (+2 since the last night; 28 on average)",
        "         12  unlinked (first night)",
        "          1  failed for NotDeletable",
        "  estate:address:interested 1 -> 10",
        "  2026-06-02 00:30:06 UTC  read 3 records",
    ):
        assert line in told, told


def test_a_night_that_waits_says_what_would_let_it_go() -> None:
    over = ({"option": "--max-deletions", "value": "13", "why": "13 links would go"},)
    night = replace(NIGHT, status=NightStatus.WAITING, over=over, expires_at=START + DAY)
    command = "unlinker reconcile apply sold@20260602T003000Z --max-deletions 13 --because TEXT"
    assert approval_command(night) == command
    assert "13 links would go; allow it with --max-deletions 13" in text(Report(night, []))
    assert command in render(Report(night, []))


def test_what_needs_a_person() -> None:
    counts = {"failed": 2, "resurrected": 3}
    assert concern(replace(NIGHT, counts=counts)) == "sold: 2 links could not be unlinked, 3 links there again"
    assert concern(replace(NIGHT, counts={"unlinked": 5})) is None
    needy = {
        NightStatus.WAITING, NightStatus.ABORTED, NightStatus.STOPPED, NightStatus.MISSED, NightStatus.EXPIRED,
        NightStatus.SKIPPED,
    }  # fmt: skip
    quiet = replace(NIGHT, counts={})
    assert {status for status in NightStatus if concern(replace(quiet, status=status))} == needy


def test_many_links_are_counted_and_some_are_shown() -> None:
    relations = [Relation("estate:address:interested", 1, child) for child in range(1, 151)]
    night = replace(NIGHT, resurrected=kept_relations(relations), counts={"resurrected": 150})
    assert len(night.resurrected) == RELATIONS_KEPT
    assert "  and 50 more" in text(Report(night, []))
    assert "and 50 more" in render(Report(night, []))


def test_each_attempt_at_a_night_has_a_run_of_its_own() -> None:
    assert run_id(NIGHT.id, "one") == run_id(NIGHT.id, "one")
    others = {run_id(NIGHT.id, "other"), run_id(night_id("sold", START + DAY), "one")}
    assert len(others | {run_id(NIGHT.id, "one")}) == 3


class Elements(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def elements(page: str) -> Elements:
    found = Elements()
    found.feed(page)
    return found


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(NightStatus))
def test_no_text_becomes_markup(said: str, status: NightStatus) -> None:
    hostile = f"<script>alert(1)</script>{said}"
    night = replace(
        NIGHT,
        account=hostile,
        status=status,
        why=hostile,
        approved_by=hostile,
        approved_because=hostile,
        failures={hostile: 1},
        counts={hostile: 1, "resurrected": 1},
        over=({"option": hostile, "value": hostile, "why": hostile},),
        resurrected=((hostile, 1, 2),),
        story=(Happened(START, hostile),),
    )
    plain = elements(render(Report(replace(night, account="x"), [])))
    assert "script" not in plain.tags
    assert "link" not in plain.tags


def test_a_page_needs_nothing_else() -> None:
    page = render(Report(NIGHT, earlier({"found": 28}, {})))
    found = elements(page)
    assert not {"script", "link", "img", "iframe"} & set(found.tags)
    assert "http" not in page.replace("http-equiv", "")
    assert "url(" not in page
    assert "default-src 'none'" in page
    assert found.tags.count("rect") == 4, "two bars for each night that has counts"
    assert found.tags.count("circle") == 1, "and a ring for the one that has none"
    truth = replace(NIGHT, policy=TRUTH + "default")
    assert "Truth pass" in elements(render(Report(truth, []))).text
