"""Rows on their way into a plan: each once, in order, and what was seen of them."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.planning.checking import MOST_EXTENTS, Extents, looks_from_parents
from gateway.planning.rows import Given
from gateway.planning.spool import Side, Spool, spooling
from worker.unlinking.job import MAX_ID, Relation
from worker.unlinking.plan import Standing
from worker.unlinking.relation_types import RelationTypeError
from worker.unlinking.type_rules import TypeRules
from worker.unlinking.viewer import Survey

KINDS = ("calendar:address", "estate:address:owner")
LINKS = st.builds(Relation, st.sampled_from(KINDS), st.integers(1, 4) | st.just(MAX_ID), st.integers(1, 4))


@pytest.fixture
def spool() -> Iterator[Spool]:
    with spooling() as spool:
        yield spool


def filled(spool: Spool, links: list[Relation]) -> None:
    for line, link in enumerate(links, start=2):
        spool.put(Given(str(line), link, (str(line), "é\0")), Standing.UNCHECKED)


@given(links=st.lists(LINKS, max_size=40), size=st.integers(1, 5))
def test_each_relation_once_in_order_and_portions_hold_them_all(links: list[Relation], size: int) -> None:
    with spooling() as spool:
        filled(spool, links)
        repeats = spool.seal()
        once = list(dict.fromkeys(links))
        rows = list(spool.rows())
        assert [row.relation for row in rows] == once
        assert [int(row.source) - 2 for row in rows] == [links.index(link) for link in once], "the first one stays"
        assert repeats.count == len(links) - len(once)
        assert bool(repeats.example) == bool(repeats.count)
        for kind in spool.names:
            of_kind = [link for link in once if link.relationtype == kind]
            assert spool.count(kind) == len(of_kind)
            assert spool.sides(kind) == (len({x.parentid for x in of_kind}), len({x.childid for x in of_kind}))
            for by_parents in (True, False):
                portions = list(spool.portions(Side(kind, by_parents), size))
                assert all(0 < len(portion) <= size for portion in portions)
                found = [link for portion in portions for link in portion]
                order = [(x.parentid, x.childid) if by_parents else (x.childid, x.parentid) for x in found]
                assert order == sorted(order)
                assert set(found) == set(of_kind)
                assert len(found) == len(of_kind)


def test_the_example_of_a_repeat_names_both_lines(spool: Spool) -> None:
    filled(spool, [Relation(KINDS[0], 1, 1), Relation(KINDS[0], 1, 2), Relation(KINDS[0], 1, 1)])
    assert spool.seal().example == "line 4 repeats line 2"


def test_standings_are_noted_even_between_portions(spool: Spool) -> None:
    filled(spool, [Relation(kind, parent, 1) for kind in KINDS for parent in range(1, 8)])
    spool.seal()
    for portion in spool.portions(Side(KINDS[0], by_parents=True), 2):
        spool.stand((link, Standing.NOT_SEEN if link.parentid < 5 else Standing.PRESENT) for link in portion)
    spool.stand_all(KINDS[0], Standing.ABSENT, before=Standing.NOT_SEEN)
    spool.stand_all(KINDS[1], Standing.REFUSED)
    assert [row.standing for row in spool.rows()] == (
        [Standing.ABSENT] * 4 + [Standing.PRESENT] * 3 + [Standing.REFUSED] * 7
    )


def test_a_parent_on_the_edge_of_two_portions_counts_once() -> None:
    extents = Extents()
    extents.add(Survey({}, {(KINDS[0], 2): 5, (KINDS[0], 1): 3}))
    extents.add(Survey({}, {(KINDS[0], 3): 1, (KINDS[0], 2): 5}))
    extents.add(Survey({}, {(KINDS[1], 3): 7}))
    seen = extents.seen()
    assert seen.existing == {KINDS[0]: 9, KINDS[1]: 7}
    assert seen.extents == {KINDS[0]: {1: 3, 2: 5, 3: 1}, KINDS[1]: {3: 7}}


def test_too_many_parents_are_only_added_up() -> None:
    extents = Extents()
    extents.add(Survey({}, {(KINDS[0], parent): 2 for parent in range(1, MOST_EXTENTS + 1)}))
    assert extents.seen().extents is not None
    extents.add(Survey({}, {(KINDS[1], 1): 2}))
    assert extents.seen().extents is None
    extents.add(Survey({}, {(KINDS[1], 2): 2}))
    assert extents.seen().existing == {KINDS[0]: 2 * MOST_EXTENTS, KINDS[1]: 4}


@pytest.mark.parametrize(
    ("parents", "children", "from_parents"),
    [(1, 1, True), (10_000, 1, True), (10_001, 1, False), (10_001, 1001, True), (10_011, 1001, False)],
)
def test_parents_are_looked_at_unless_children_are_far_fewer(parents: int, children: int, from_parents: bool) -> None:
    assert looks_from_parents(parents, children) is from_parents


def test_what_is_protected_is_protected_even_if_it_is_allowed() -> None:
    rules = TypeRules.of(["calendar:address", "estate:address:owner"], ["calendar:address"])
    assert rules.refusal("calendar:address") == "protected by UNLINKER_PROTECTED_TYPES"
    assert rules.refusal("estate:address:owner") is None
    assert rules.refusal("estate:address:buyer") == "not in UNLINKER_ALLOWED_TYPES"
    assert TypeRules().refusal("estate:address:buyer") is None
    assert TypeRules().refusal("user:messengerUser:is") == "read only in onOffice"
    with pytest.raises(RelationTypeError):
        TypeRules.of([], ["calendar:adress"])
