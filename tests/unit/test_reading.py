"""Which reads are made for which links and records, and how they are halved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.onoffice.protocol import GET, IDS_FROM_RELATION, MAX_IDS_PER_READ, Action
from worker.unlinking.job import Relation
from worker.unlinking.reading import Lookup, Read, plan_lookups, plan_reads
from worker.unlinking.relation_types import PREFIX, RELATION_TYPES

KIND = RELATION_TYPES["calendar:address"]
LINKS = [Relation("calendar:address", parent, child) for parent in (1, 2) for child in (5, 6, 7)]


def test_the_shorter_side_is_read() -> None:
    assert plan_reads(LINKS) == [Read(tuple(LINKS), parentids=(1, 2))]
    turned = [Relation("calendar:address", link.childid, link.parentid) for link in LINKS]
    (read,) = plan_reads(turned)
    assert (read.parentids, read.childids) == ((), (1, 2))
    assert set(read.relations) == set(turned)
    (read,) = plan_reads(turned, by_parents=True)
    assert (read.parentids, read.childids) == ((5, 6, 7), ())
    (read,) = plan_reads(LINKS, by_parents=False)
    assert (read.parentids, read.childids) == ((), (5, 6, 7))


def test_of_two_sides_alike_the_parents_are_read() -> None:
    (read,) = plan_reads([Relation("calendar:address", 1, 5), Relation("calendar:address", 2, 6)])
    assert read.parentids == (1, 2)


def test_500_ids_a_read_and_each_once() -> None:
    links = [Relation("calendar:address", number, number) for number in range(1, 1002)]
    assert [read.size for read in plan_reads(links)] == [500, 500, 1]
    assert [look.size for look in plan_lookups(KIND, range(1, 502), range(1, 3))] == [500, 1, 2]
    assert MAX_IDS_PER_READ == 500


def test_types_are_not_mixed() -> None:
    reads = plan_reads([Relation("calendar:address", 1, 5), Relation("calendar:estate", 1, 5)])
    assert sorted(read.relationtype for read in reads) == ["calendar:address", "calendar:estate"]


def test_lookups_are_sorted_and_without_repetitions_parents_first() -> None:
    assert plan_lookups(KIND, [3, 1, 3, 2], [9, 8, 9], 2) == [
        Lookup(KIND, parentids=(1, 2)),
        Lookup(KIND, parentids=(3,)),
        Lookup(KIND, childids=(8, 9)),
    ]
    assert plan_lookups(KIND) == []


@pytest.mark.parametrize("side", ["parentids", "childids"])
def test_what_is_sent(side: str) -> None:
    ids = {side: (1, 2)}
    expected = Action("a", GET, IDS_FROM_RELATION, {side: [1, 2], "relationtype": PREFIX + "calendar:address"})
    assert Lookup(KIND, **ids).action("a") == expected
    assert Read((LINKS[0], LINKS[3]), **ids).action("a") == expected


@given(st.sets(st.integers(1, 10**6), min_size=2, max_size=30), st.booleans())
def test_halves_ask_for_the_same_in_two(ids: set[int], parents: bool) -> None:
    whole = Lookup(KIND, tuple(sorted(ids)), ()) if parents else Lookup(KIND, (), tuple(sorted(ids)))
    first, second = whole.halves()
    assert first.parentids + second.parentids == whole.parentids
    assert first.childids + second.childids == whole.childids
    assert first.kind == second.kind == KIND
    assert first.size - second.size in (0, 1)
    assert first.size + second.size == whole.size == len(ids)


def test_what_is_present_is_told_from_either_side() -> None:
    (by_parents,) = plan_reads(LINKS, by_parents=True)
    assert by_parents.present({1: frozenset({5, 99}), 9: frozenset({6})}) == {LINKS[0]}
    (by_children,) = plan_reads(LINKS, by_parents=False)
    assert by_children.present({5: frozenset({1, 2})}) == {LINKS[0], LINKS[3]}
    assert by_children.present({}) == frozenset()
