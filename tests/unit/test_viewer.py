"""The viewer: what reads show, what proves an absence, and what becomes of reads that are answered with an error."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from tests.boxed import SeenTypes
from worker.onoffice.errors import (
    EmptyReply,
    NotJson,
    OnOfficeError,
    ReplyTooLarge,
    RequestNotSent,
    RequestUnanswered,
    Throttled,
)
from worker.onoffice.protocol import Action
from worker.onoffice.replies import Answer, Missing, Reply
from worker.unlinking.job import Relation
from worker.unlinking.judging import Sight
from worker.unlinking.reading import Read, plan_reads
from worker.unlinking.viewer import Api, Survey, Unread, View, Viewer, ask, is_refused, read_all

OWNER, BUYER = "estate:address:owner", "estate:address:buyer"
REFUSED, PASSING, HALTING = 149, 500, 137  # codes: no right; a fault of the server; wrong credentials
LINKS = [Relation(OWNER, parent, 5) for parent in (1, 2, 3, 4)]


@dataclass
class Office:
    """An API that answers reads from the children of each parent, and with an error for those that name a bad one."""

    children: Mapping[int, Sequence[int]] = field(default_factory=dict)
    bad: Mapping[int, int] = field(default_factory=dict)  # parent -> the code of every read that names it
    error: Callable[[Sequence[int]], OnOfficeError | None] = lambda _: None  # of a whole request, by its parents
    actions_per_request: int = 10
    asked: list[list[tuple[int, ...]]] = field(default_factory=list)  # the parents of each read, by requests

    async def call(self, actions: Sequence[Action]) -> Reply:
        """One request."""
        reads = [_parents(action) for action in actions]
        self.asked.append(reads)
        error = self.error([parent for read in reads for parent in read])
        if error is not None:
            raise error
        return Reply(200, 0, "OK", tuple(self._answer(read) for read in reads))

    def _answer(self, parents: Sequence[int]) -> Answer:
        codes = [self.bad[parent] for parent in parents if parent in self.bad]
        if codes:
            return Answer(codes[0], "no", (), None)
        elements = {str(parent): [str(child) for child in self.children.get(parent, ())] for parent in parents}
        return Answer(0, "OK", ({"elements": elements},), None)


@dataclass
class Says:
    """An API that answers the same to everything."""

    reply: Reply
    actions_per_request: int = 10

    async def call(self, actions: Sequence[Action]) -> Reply:
        """One request."""
        assert len(actions) == len(self.reply.answers)
        return self.reply


def _parents(action: Action) -> tuple[int, ...]:
    ids = action.parameters["parentids"]
    assert isinstance(ids, list)
    return tuple(ids)


def reads(links: Sequence[Relation], size: int = 500) -> list[Read]:
    return plan_reads(links, size, by_parents=True)


def survey(api: Api, links: Sequence[Relation], seen: SeenTypes | None = None, size: int = 500) -> Survey:
    return asyncio.run(Viewer(api, seen or SeenTypes()).survey(reads(links, size)))


def unread(view: View) -> Unread:
    assert isinstance(view, Unread)
    return view


@pytest.mark.parametrize("children", [{}, {1: []}, {1: [], 2: [], 9: [5]}])
def test_an_empty_answer_proves_no_absence(children: Mapping[int, Sequence[int]]) -> None:
    """An account without the right to see such links is answered with empty lists, too."""
    seen = SeenTypes()
    found = survey(Office(children), LINKS[:2], seen)
    assert set(found.views.values()) == {Sight.NOT_SEEN}
    assert seen.types == set(), "nothing was seen, so nothing is remembered"


@pytest.mark.parametrize("size", [500, 1])
def test_one_link_of_its_type_proves_the_absence_of_the_others(size: int) -> None:
    seen = SeenTypes()
    found = survey(Office({1: [5], 2: [], 3: []}), LINKS[:3], seen, size)
    assert [found.views[link] for link in LINKS[:3]] == [Sight.PRESENT, Sight.ABSENT, Sight.ABSENT]
    assert seen.types == {OWNER}


def test_a_link_to_another_record_proves_it_too() -> None:
    assert survey(Office({1: [6]}), LINKS[:1]).views == {LINKS[0]: Sight.ABSENT}


def test_what_was_seen_before_proves_absence_of_its_own_type_only() -> None:
    links = [LINKS[0], Relation(BUYER, 1, 5)]
    seen = SeenTypes([OWNER])
    views = survey(Office(), links, seen).views
    assert (views[links[0]], views[links[1]]) == (Sight.ABSENT, Sight.NOT_SEEN)
    assert seen.types == {OWNER}


def test_how_many_children_each_parent_has() -> None:
    """Of several reads; a parent that the answer leaves out has none, one that could not be read has no number."""
    office = Office({1: [5, 6, 7], 2: [], 3: [5]}, bad={4: PASSING})
    found = survey(office, LINKS, size=1)
    assert found.extents == {(OWNER, 1): 3, (OWNER, 2): 0, (OWNER, 3): 1}
    assert unread(found.views[LINKS[3]]).answer == Answer(PASSING, "no", (), None)


def test_nothing_to_look_at_is_no_request() -> None:
    office = Office()
    assert asyncio.run(Viewer(office, SeenTypes()).look([])) == {}
    assert office.asked == []


def test_a_look_is_a_survey_with_the_fewest_ids() -> None:
    office = Office({1: [5]})
    links = [Relation(OWNER, 1, child) for child in (5, 6)]
    views = asyncio.run(Viewer(office, SeenTypes()).look(links))
    assert views == {links[0]: Sight.PRESENT, links[1]: Sight.ABSENT}
    assert office.asked == [[(1,)]]


def test_a_refused_read_is_halved_until_the_culprit_is_alone() -> None:
    office = Office({1: [5], 2: [5], 4: [5]}, bad={3: REFUSED})
    views = survey(office, LINKS).views
    assert [views[link] for link in (LINKS[0], LINKS[1], LINKS[3])] == [Sight.PRESENT] * 3
    assert unread(views[LINKS[2]]) == Unread(answer=Answer(REFUSED, "no", (), None))
    assert office.asked == [[(1, 2, 3, 4)], [(1, 2), (3, 4)], [(3,), (4,)]], "and no read twice"


def test_an_answer_that_is_too_large_is_halved() -> None:
    office = Office({1: [5]}, error=lambda parents: ReplyTooLarge("100 MB") if len(parents) > 1 else None)
    office.actions_per_request = 1
    views = survey(office, LINKS).views
    assert views[LINKS[0]] is Sight.PRESENT
    assert [views[link] for link in LINKS[1:]] == [Sight.ABSENT] * 3


@pytest.mark.parametrize("code", [PASSING, HALTING])
def test_an_error_that_speaks_of_the_moment_is_not_halved(code: int) -> None:
    """A smaller read would meet it just the same."""
    office = Office(bad={3: code})
    views = survey(office, LINKS).views
    assert {unread(view).answer for view in views.values()} == {Answer(code, "no", (), None)}
    assert len(office.asked) == 1


@pytest.mark.parametrize(
    "error",
    [
        RequestUnanswered("reset"),
        RequestNotSent("refused"),
        NotJson("<html>"),
        EmptyReply("empty"),
        Throttled("429", 2),
    ],
)
def test_a_request_that_fails_leaves_its_reads_unread_with_the_error(error: OnOfficeError) -> None:
    office = Office({3: [5]}, error=lambda parents: error if 1 in parents else None, actions_per_request=2)
    views = survey(office, LINKS, size=1).views
    assert [views[link] for link in LINKS[:2]] == [Unread(error=error, whole=True)] * 2
    assert [views[link] for link in LINKS[2:]] == [Sight.PRESENT, Sight.ABSENT]
    assert len(office.asked) == 2, "no more than was asked for"


def test_a_culprit_alone_is_told_and_not_asked_for_ever() -> None:
    office = Office(bad={1: REFUSED})
    assert unread(survey(office, LINKS[:1]).views[LINKS[0]]).answer == Answer(REFUSED, "no", (), None)
    assert len(office.asked) == 1
    large = Office(error=lambda _: ReplyTooLarge("100 MB"))
    assert isinstance(unread(survey(large, LINKS[:1]).views[LINKS[0]]).error, ReplyTooLarge)
    assert len(large.asked) == 1


@pytest.mark.parametrize(
    "records", [(), ({"elements": {"1": [5]}}, {"elements": {}}), ({"elements": "x"},), ({"elements": {"1": "x"}},)]
)
def test_what_cannot_be_understood_is_unread_and_not_empty(records: tuple[Mapping[str, object], ...]) -> None:
    found = survey(Says(Reply(200, 0, "OK", (Answer(0, "OK", records, None),))), LINKS[:1]).views[LINKS[0]]
    assert isinstance(unread(found).error, OnOfficeError)


def test_no_more_actions_a_request_than_are_allowed() -> None:
    office = Office({parent: [5] for parent in (1, 2, 3, 4)}, actions_per_request=3)
    found = asyncio.run(read_all(office, reads(LINKS, 1)))
    assert sorted(map(len, office.asked)) == [1, 3]
    assert [read.parentids for read, _ in found] == [(1,), (2,), (3,), (4,)]


MISSING = Missing("no result")
OK = Answer(0, "OK", ({"elements": {"1": ["5"]}},), None)
NO = Answer(REFUSED, "no", (), None)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(200, 0, "OK", (OK, NO)), [OK, Unread(answer=NO)]),
        (Reply(200, 0, "OK", (OK, MISSING)), [OK, Unread(answer=MISSING)]),
        (Reply(200, 0, "OK", (MISSING, MISSING)), [Unread(answer=MISSING)] * 2),
        (Reply(400, 22, "x", (OK, MISSING)), [OK, Unread(answer=MISSING)]),  # the top level speaks for all or none
        (Reply(400, 22, "x", (MISSING, MISSING)), [Unread(answer=Answer(22, "x", (), None), whole=True)] * 2),
        (Reply(400, 1, "x", (MISSING, MISSING)), [Unread(answer=Answer(1, "x", (), None), whole=True)] * 2),
    ],
)
def test_what_each_action_of_a_request_came_to(reply: Reply, expected: list[Answer | Unread]) -> None:
    actions = [read.action(str(number)) for number, read in enumerate(reads(LINKS[:2], 1))]
    assert asyncio.run(ask(Says(reply), actions)) == expected


@pytest.mark.parametrize(
    ("found", "refused"),
    [
        (Unread(answer=NO), True),
        (Unread(answer=Answer(80, "unknown record", (), None)), True),
        (Unread(answer=Answer(PASSING, "later", (), None)), False),
        (Unread(answer=Answer(HALTING, "who?", (), None)), False),
        (Unread(answer=MISSING), False),
        (Unread(error=ReplyTooLarge("100 MB")), False),
    ],
)
def test_a_refusal_is_an_answer_about_what_was_asked_for(found: Unread, refused: bool) -> None:
    assert is_refused(found) is refused


def test_when_one_request_breaks_off_the_others_are_over_before_it_is_told() -> None:
    ended: list[str] = []

    class Broken:
        actions_per_request = 1

        async def call(self, actions: Sequence[Action]) -> Reply:
            if _parents(actions[0]) == (1,):
                raise RuntimeError("no error of onOffice's")
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("other")
            raise AssertionError

    async def look() -> list[str]:
        with pytest.raises(RuntimeError, match="no error"):
            await Viewer(Broken(), SeenTypes()).survey(reads(LINKS[:3], 1))
        return list(ended)  # now, and not when the loop ends

    assert asyncio.run(look()) == ["other"] * 2
