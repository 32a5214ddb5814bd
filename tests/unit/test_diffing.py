"""Wanted against found: nothing that may stay is planned, a second night does nothing, and every brake holds."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from worker.unlinking.brakes import SMALL, Excess
from worker.unlinking.diffing import Found, Pair, Unusable, Wanted, check_found, check_lists, compare, holds
from worker.unlinking.policies import NightBrakes, Side

IDS = st.integers(1, 12)
SETS = st.frozensets(IDS)
FOUND = st.dictionaries(IDS, SETS)
SIDES = st.sampled_from(Side)
WANTED = st.one_of(
    st.just(Wanted()),
    st.builds(Wanted, related=SETS),
    st.builds(Wanted, related=SETS, visible=SETS),
    st.builds(Wanted, pairs=st.frozensets(st.tuples(IDS, IDS))),
)
BRAKES = st.builds(
    NightBrakes,
    max_deletions=st.integers(1, 60),
    max_share=st.floats(0.01, 1),
    max_share_per_parent=st.floats(0.01, 1),
)
MANY = st.dictionaries(st.integers(1, 4), st.frozensets(st.integers(1, 60), max_size=60), max_size=4)


def pairs_of(side: Side, found: Found) -> set[Pair]:
    return {(one, other) if side is Side.PARENTS else (other, one) for one, others in found.items() for other in others}


@given(SIDES, FOUND, WANTED)
def test_what_is_planned_is_there_and_may_not_stay(side: Side, found: Found, wanted: Wanted) -> None:
    """Against the sets themselves, worked out another way."""
    diff = compare(side, found, wanted)
    there = pairs_of(side, found)
    others = {pair: pair[1] if side is Side.PARENTS else pair[0] for pair in there}
    may_stay = {pair for pair in there if pair in (wanted.pairs or ()) or others[pair] in (wanted.related or ())}
    blind = {pair for pair in there if wanted.visible is not None and others[pair] not in wanted.visible}
    assert set(diff.unwanted) == there - may_stay - blind
    assert len(set(diff.unwanted)) == len(diff.unwanted)
    assert (diff.kept, diff.unseen) == (len(may_stay), len(blind - may_stay))
    assert diff.found == len(there) == diff.kept + diff.unseen + len(diff.unwanted)
    assert sum(diff.found_by_parent.values()) == diff.found
    assert all(diff.unwanted_by_parent[parent] <= diff.found_by_parent[parent] for parent, _ in diff.unwanted)


@given(SIDES, FOUND, WANTED, st.data())
def test_a_second_night_does_nothing_and_half_a_night_leaves_the_other_half(
    side: Side, found: Found, wanted: Wanted, data: st.DataObject
) -> None:
    unwanted = compare(side, found, wanted).unwanted
    gone = set(data.draw(st.lists(st.sampled_from(unwanted), unique=True))) if unwanted else set()
    for removed in (gone, set(unwanted)):
        left = {
            one: frozenset(x for x in others if ((one, x) if side is Side.PARENTS else (x, one)) not in removed)
            for one, others in found.items()
        }
        assert set(compare(side, left, wanted).unwanted) == set(unwanted) - removed


@given(SIDES, FOUND, SETS, SETS)
def test_a_longer_list_of_what_may_stay_never_deletes_more(
    side: Side, found: Found, some: frozenset[int], more: frozenset[int]
) -> None:
    fewer = compare(side, found, Wanted(related=some | more)).unwanted
    assert set(fewer) <= set(compare(side, found, Wanted(related=some)).unwanted)


@given(SIDES, MANY, BRAKES, st.data())
def test_brakes_hold_and_say_what_would_release_them(
    side: Side, found: Found, brakes: NightBrakes, data: st.DataObject
) -> None:
    diff = compare(side, found, Wanted(related=data.draw(st.frozensets(st.integers(1, 60)))))
    over = holds(diff.unwanted, diff, brakes)
    going = diff.unwanted_by_parent
    is_over = {
        "--max-deletions": len(diff.unwanted) > brakes.max_deletions,
        "--max-share": diff.found >= SMALL and len(diff.unwanted) / diff.found > brakes.max_share,
        "--max-share-per-parent": any(
            had >= SMALL and going[parent] / had > brakes.max_share_per_parent
            for parent, had in diff.found_by_parent.items()
        ),
    }
    assert {excess.option for excess in over} == {option for option, held in is_over.items() if held}
    assert holds(diff.unwanted, diff, released(brakes, over)) == []


def released(brakes: NightBrakes, over: list[Excess]) -> NightBrakes:
    """With exactly what the brakes ask for."""
    changes = {excess.option.removeprefix("--").replace("-", "_"): float(excess.value) for excess in over}
    return replace(brakes, **changes)  # type: ignore[arg-type]  # a float where an int is told is as good here


def links(count: int, parent: int = 1) -> Found:
    return {parent: frozenset(range(1, count + 1))}


def held(found: Found, kept: int, **bounds: float) -> list[str]:
    diff = compare(Side.PARENTS, found, Wanted(related=frozenset(range(1, kept + 1))))
    brakes = replace(NightBrakes(max_deletions=10**9, max_share=1.0), **bounds)  # type: ignore[arg-type]  # as above
    return [f"{excess.why}: {excess.option} {excess.value}" for excess in holds(diff.unwanted, diff, brakes)]


def test_each_brake() -> None:
    assert held(links(100), 40, max_deletions=59) == [
        "60 links would go, more than max_deletions = 59: --max-deletions 60"
    ]
    assert held(links(100), 40, max_deletions=60) == []
    assert held(links(300), 199, max_share=0.33) == [
        "101 of the 300 links found would go, more than max_share = 0.33: --max-share 0.337"
    ]
    assert held(links(100), 40, max_share=0.6) == []
    found = {**links(100), **links(20, parent=2), 3: frozenset(range(1000, 1019))}
    assert held(found, 0, max_share_per_parent=0.9) == [
        "20 of the 20 links below 2 would go, more than max_share_per_parent = 0.9: --max-share-per-parent 1"
    ]
    assert held({3: frozenset(range(19))}, 0, max_share=0.1, max_share_per_parent=0.1) == [], "of few any share may go"


def test_lists_that_are_none() -> None:
    brakes = NightBrakes(expect_at_least=3)
    full = frozenset({1, 2, 3})
    check_lists(full, Wanted(), NightBrakes())
    check_lists(full, Wanted(related=full), brakes)
    for scope, wanted, text in (
        (frozenset[int](), Wanted(), "the scope is empty"),
        (full, Wanted(related=frozenset()), "may stay is empty"),
        (full, Wanted(pairs=frozenset()), "may stay is empty"),
        (full, Wanted(related=frozenset({1, 2})), "has 2 rows, fewer than expect_at_least = 3"),
        (full, Wanted(pairs=frozenset({(1, 1)})), "has 1 rows, fewer than"),
    ):
        with pytest.raises(Unusable, match=text):
            check_lists(scope, wanted, brakes)
    check_lists(frozenset(), Wanted(related=frozenset()), NightBrakes(allow_empty=True))
    with pytest.raises(Unusable, match="has 0 rows"):
        check_lists(full, Wanted(related=frozenset()), NightBrakes(allow_empty=True, expect_at_least=1))


def test_an_answer_that_is_not_whole() -> None:
    with pytest.raises(Unusable, match="of 3 records 1 were not answered for, and 0 unasked"):
        check_found(frozenset({1, 2, 3}), {1: frozenset({5}), 2: frozenset()}, type_was_seen=True)
    with pytest.raises(Unusable, match="0 were not answered for, and 1 unasked"):
        check_found(frozenset({1}), {1: frozenset({5}), 2: frozenset()}, type_was_seen=True)


@given(FOUND, st.booleans())
def test_seeing_nothing_at_all_is_blindness_unless_the_type_was_seen_before(found: Found, seen: bool) -> None:
    assume(found)
    asked = frozenset(found)
    if any(found.values()) or seen:
        check_found(asked, found, type_was_seen=seen)
    else:
        with pytest.raises(Unusable, match="may lack the right"):
            check_found(asked, found, type_was_seen=seen)


def test_an_empty_scope_is_no_blindness() -> None:
    check_found(frozenset(), {}, type_was_seen=False)
