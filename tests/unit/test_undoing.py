"""Which deleted links come back: the last deed that may have changed a link decides, and nothing else."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.planning.link_table import tabling
from worker.unlinking.attribution import By
from worker.unlinking.job import Relation
from worker.unlinking.outcome import Kind
from worker.unlinking.undoing import BROUGHT_BACK, Past, Undoing, UndoRow, Why

OWNER = Relation("estate:address:owner", 1, 2)
GUEST = Relation("calendar:address", 1, 2)
TASK = Relation("task:address", 1, 2)
DELETIONS = [Kind.UNLINKED, Kind.ALREADY_ABSENT, Kind.DEAD, Kind.EXPIRED, Kind.CANCELLED]
RESTORES = [Kind.RESTORED, Kind.ALREADY_PRESENT, Kind.DEAD, Kind.EXPIRED]
BY: dict[str | None, By | None] = dict.fromkeys(DELETIONS, By.NOT_US)
BY |= {None: None, Kind.UNLINKED: By.US}
Links = dict[tuple[str, Relation], UndoRow]


def past(at: float, outcome: str | None = Kind.UNLINKED, **more: object) -> Past:
    known: dict[str, object] = {
        "account": "default",
        "relation": OWNER,
        "restore": False,
        "at": at,
        "outcome": outcome and str(outcome),
        "by": BY.get(outcome),
        "why": "",
        "evidence": outcome and "answered",
        "confirmation": None,
        "job": f"job-{at}",
        "chosen": True,
    }
    return Past(**(known | more))  # type: ignore[arg-type]  # the values fit, as the tests show


def undo(deeds: Sequence[Past], *, with_confirmation: bool = True, only_certain: bool = False) -> tuple[Undoing, Links]:
    """As the journal tells deeds: by their ends, those without one last, and once more if need be."""
    told = sorted(deeds, key=lambda deed: (deed.outcome is None, deed.at))
    accounts = {deed.account for deed in deeds}
    with tabling() as table:
        undoing = Undoing(table, with_confirmation=with_confirmation, only_certain=only_certain)
        for deed in told:
            undoing.add(deed)
        if undoing.needs_second_pass:
            for deed in told:
                if not deed.chosen or deed.restore:
                    undoing.add_later_will(deed)
        rows = {(name, relation): row for name in accounts for relation, row in table.rows(name)}
        assert (
            sum(table.accounts().values())
            == len(rows)
            == sum(total.count for name in accounts for total in table.totals(name))
        )
    return undoing, rows


def only(deeds: Sequence[Past], **options: bool) -> UndoRow:
    _, rows = undo(deeds, **options)
    (row,) = rows.values()
    return row


def test_what_was_removed_comes_back_once() -> None:
    undoing, rows = undo([past(1), past(2), past(3, Kind.ALREADY_ABSENT), past(4, Kind.DEAD)])
    (row,) = rows.values()
    assert (row.job, row.comes_back, row.certain) == ("job-2", True, True)
    assert undoing.others == {"already_absent": 1, "dead": 1}


def test_what_removed_nothing_brings_nothing_back() -> None:
    for outcome in DELETIONS[1:]:
        assert undo([past(1, outcome)])[1] == {}


def test_a_later_will_stands() -> None:
    assert only([past(1), past(2, Kind.RESTORED, restore=True, chosen=False)]).why is Why.RESTORED_SINCE
    assert only([past(1), past(2, Kind.ALREADY_PRESENT, restore=True, chosen=False)]).why is Why.RESTORED_SINCE
    assert only([past(1), past(2, chosen=False)]).why is Why.DELETED_SINCE
    assert only([past(1), past(2, None, chosen=False)]).why is Why.DELETED_SINCE
    assert only([past(1), past(2, Kind.ALREADY_ABSENT, chosen=False)]).comes_back
    assert only([past(1), past(2, Kind.DEAD, restore=True, chosen=False)]).comes_back
    assert only([past(1), past(2, None, restore=True, chosen=False)]).comes_back, "nobody knows: it is looked for"
    assert only([past(1), past(2, Kind.RESTORED, restore=True, chosen=False), past(3)]).comes_back


def test_an_unknown_end_counts_as_a_removal_but_not_for_certain() -> None:
    row = only([past(1, None)])
    assert (row.comes_back, row.certain, row.known_by) == (True, False, "unknown")


@pytest.mark.parametrize("outcome", DELETIONS)
def test_whoever_may_have_removed_it_counts_whatever_its_outcome_is_called(outcome: Kind) -> None:
    row = only([past(1, outcome, by=By.UNKNOWN, why="reset")])
    assert (row.comes_back, row.certain) == (True, False)
    assert row.doubt.endswith(": reset")
    certain = only([past(1, outcome, by=By.UNKNOWN)], only_certain=True)
    assert (certain.comes_back, certain.why) == (False, Why.NOT_CERTAIN)
    assert only([past(1, outcome, by=By.US)], only_certain=True).comes_back
    assert outcome is Kind.UNLINKED or undo([past(1, outcome, by=By.NOT_US)])[1] == {}


def test_what_we_removed_stays_ours_though_a_later_job_is_not_sure() -> None:
    ours, unsure = past(1), past(2, by=By.UNKNOWN)
    assert only([ours, unsure]).certain
    assert only([past(1, by=By.UNKNOWN), past(2)], only_certain=True).comes_back
    between = past(1.5, Kind.RESTORED, restore=True, chosen=False)
    assert not only([ours, between, unsure]).certain, "the second link was another one"


def test_an_unknown_end_is_told_late_and_is_no_later_will_for_that() -> None:
    for later in (past(2, Kind.RESTORED, restore=True, chosen=False), past(2, chosen=False)):
        assert not only([past(1, None), later]).comes_back
    assert only([past(2, None), past(1, chosen=False)]).comes_back
    assert only([past(1, None), past(2)]).job == "job-2"


def test_types_that_cannot_be_created_are_left_out_whatever_came_later() -> None:
    assert only([past(1, relation=TASK)]).why is Why.NOT_CREATABLE
    assert only([past(1, relation=TASK), past(2, chosen=False, relation=TASK)]).why is Why.NOT_CREATABLE
    assert only([past(1, relation=Relation("a:type:of:later", 1, 2))]).why is Why.NOT_CREATABLE


@pytest.mark.parametrize(
    ("saved", "with_confirmation", "why", "confirmation"),
    [
        ("confirmed", True, None, "confirmed"),
        ("not-set", True, None, "not-set"),
        (None, True, Why.NOT_SAVED, None),
        ("a new one", True, Why.UNKNOWN_STATUS, None),
        ("confirmed", False, Why.NOT_WANTED, None),
    ],
)
def test_a_participant_comes_back_with_what_was_saved(
    saved: str | None, with_confirmation: bool, why: Why | None, confirmation: str | None
) -> None:
    row = only([past(1, relation=GUEST, confirmation=saved)], with_confirmation=with_confirmation)
    assert (row.comes_back, row.why, row.confirmation) == (True, why, confirmation)


def test_of_two_jobs_that_think_they_removed_it_the_one_that_saw_the_status_tells_it() -> None:
    seen, blind = past(1, relation=GUEST, confirmation="sent"), past(2, relation=GUEST)
    assert only([seen, blind]).confirmation == "sent"
    between = past(1.5, Kind.RESTORED, relation=GUEST, restore=True, chosen=False)
    assert only([seen, between, blind]).why is Why.NOT_SAVED, "the second link was another one"


def test_accounts_do_not_mix() -> None:
    _, rows = undo([past(1), past(2, Kind.RESTORED, restore=True, chosen=False, account="other")])
    assert rows["default", OWNER].comes_back


def test_chosen_restores_are_counted_and_are_later_wills() -> None:
    undoing, rows = undo([past(1), past(2, Kind.RESTORED, restore=True)])
    assert undoing.restores == 1
    assert rows["default", OWNER].why is Why.RESTORED_SINCE


relations = st.sampled_from([OWNER, GUEST, TASK, Relation("estate:address:owner", 1, 3)])
deeds = st.builds(
    lambda relation, restore, number, by, confirmation, chosen, account: {
        "relation": relation,
        "restore": restore,
        "outcome": ([*RESTORES, None] if restore else [*DELETIONS, None])[number],
        "by": None if restore else by,
        "confirmation": confirmation,
        "chosen": chosen,
        "account": account,
    },
    relations,
    st.booleans(),
    st.integers(0, 4),
    st.sampled_from(By),
    st.sampled_from([None, "sent", "odd"]),
    st.booleans(),
    st.sampled_from(["default", "other"]),
)


@given(st.lists(deeds, max_size=12))
def test_the_last_deed_that_may_have_changed_a_link_decides(told: list[dict[str, object]]) -> None:
    timeline = [past(at, **each) for at, each in enumerate(told, start=1)]  # type: ignore[arg-type]  # as above
    _, rows = undo(timeline)
    for key in {(deed.account, deed.relation) for deed in timeline}:
        changing = [
            deed
            for deed in timeline
            if (deed.account, deed.relation) == key
            and (deed.outcome in BROUGHT_BACK if deed.restore else deed.may_have_removed)
        ]
        last = changing[-1] if changing else None
        comes_back = last is not None and last.chosen and not last.restore and key[1] != TASK
        assert (key in rows and rows[key].comes_back) == comes_back
        if comes_back:
            assert last is not None
            assert rows[key].job == last.job
            assert rows[key].certain or last.by is not By.US
            assert (rows[key].confirmation is None) or key[1] == GUEST
    for key, row in rows.items():
        assert any(deed.chosen and not deed.restore and (deed.account, deed.relation) == key for deed in timeline)
        assert row.why is None or row.why.sentence
