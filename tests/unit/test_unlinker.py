"""The unlinker against an API that answers as a script says: what each answer comes to, and what is sent for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from tests.boxed import CLOCK, SeenTypes, to_the_end
from worker.onoffice.errors import (
    AccountRefused,
    EmptyReply,
    OnOfficeError,
    RequestNotSent,
    RequestUnanswered,
    Throttled,
)
from worker.onoffice.protocol import DELETE, Action
from worker.onoffice.replies import Answer, Missing, Reply
from worker.unlinking.attribution import NOTHING, Known
from worker.unlinking.decisions import Again, Ask, End, Park, Snooze, Ticket
from worker.unlinking.job import Job, Relation
from worker.unlinking.judging import Policy
from worker.unlinking.outcome import CANCELLED, EXPIRED, Kind, Outcome
from worker.unlinking.unlinker import Unlinker

KIND = "estate:address:owner"
OK = Answer(0, "OK", (), "success")


def code(number: int) -> Answer:
    return Answer(number, f"text of {number}", (), None)


@dataclass(frozen=True)
class Whole:
    """An error answer to the whole request, without results."""

    code: int


Told = Answer | Missing | Whole | OnOfficeError


@dataclass
class Script:
    """Links, and what deletes and reads are answered with; what the script does not say is done as it should be."""

    links: set[int]  # children of parent 1
    deletes: list[tuple[Told, bool]] = field(default_factory=list)  # what each action is answered; whether it is done
    reads: list[OnOfficeError | Answer] = field(default_factory=list)
    lag: Callable[[int], bool] = lambda child: False
    actions_per_request: int = 50
    sent: list[list[int]] = field(default_factory=list)  # children named by each delete request
    looks: int = 0

    async def call(self, actions: Sequence[Action]) -> Reply:
        """One request."""
        return self._delete(actions) if actions[0].actionid == DELETE else self._read(actions)

    def _delete(self, actions: Sequence[Action]) -> Reply:
        children = [int(str(action.parameters["childid"])) for action in actions]
        self.sent.append(children)
        if not self.deletes:
            answers = tuple(OK if child in self.links else code(168) for child in children)
            self.links -= set(children)
            return Reply(200, 0, "OK", answers)
        told, done = self.deletes.pop(0)
        if done:
            self.links -= set(children)
        if isinstance(told, OnOfficeError):
            raise told
        if isinstance(told, Whole):
            return Reply(500, told.code, "whole", tuple(Missing("no result") for _ in actions))
        return Reply(200, 0, "OK", tuple(told for _ in actions))

    def _read(self, actions: Sequence[Action]) -> Reply:
        self.looks += 1
        told = self.reads.pop(0) if self.reads else None
        if isinstance(told, OnOfficeError):
            raise told
        if told is not None:
            return Reply(200, 0, "OK", tuple(told for _ in actions))
        shown = sorted(self.links | {child for child in range(1, 9) if self.lag(child)} | {99})
        by_child = {str(child): ["1"] for child in shown}
        elements = {"1": [str(child) for child in shown]}
        answers = [
            Answer(0, "OK", ({"elements": elements if "parentids" in action.parameters else by_child},), None)
            for action in actions
        ]
        return Reply(200, 0, "OK", tuple(answers))


def tickets(*children: int, known: Known = NOTHING) -> list[Ticket]:
    return [Ticket(job=Job(id=f"job-{child}", relation=Relation(KIND, 1, child)), known=known) for child in children]


def unlink(script: Script, some: Sequence[Ticket], policy: Policy | None = None) -> dict[str, Outcome]:
    return to_the_end(Unlinker(script, SeenTypes([KIND]), policy or Policy(), CLOCK).run, some)


def ends(script: Script, *children: int, known: Known = NOTHING, policy: Policy | None = None) -> set[tuple[str, str]]:
    return {
        (str(o.reason or o.kind), str(o.by)) for o in unlink(script, tickets(*children, known=known), policy).values()
    }


SEEN = Known(seen=True)
THROTTLED, RESET, NOT_SENT = Throttled("HTTP 503", 1.0), RequestUnanswered("reset"), RequestNotSent("refused")
DONE, NOT_DONE = True, False
THERE, ABSENT = {1, 2}, set[int]()


CODES = (80, 168, 262, 173, 185, 255, 282, 999)
EVERY = (
    *(1, 8, 66, 98, 127, 132, 168, 178, 179, 180, 181, 182, 185, 189, 198, 199, 255, 261, 276, 282, 305, 400, 404, 173),
)
OUTCOMES: list[tuple[set[int], Known, Told, bool, tuple[str, str]]] = [
    (THERE, NOTHING, OK, DONE, ("unlinked", "us")),
    # the answer is lost, or speaks for the server only
    (THERE, NOTHING, RESET, DONE, ("unlinked", "unknown")),
    (THERE, NOTHING, RESET, NOT_DONE, ("unlinked", "us")),
    (THERE, NOTHING, EmptyReply("empty"), DONE, ("unlinked", "unknown")),
    (THERE, NOTHING, THROTTLED, DONE, ("unlinked", "unknown")),
    (THERE, NOTHING, THROTTLED, NOT_DONE, ("unlinked", "us")),
    (THERE, NOTHING, AccountRefused("HTTP 403"), DONE, ("unlinked", "unknown")),
    (THERE, NOTHING, Missing("no result"), DONE, ("unlinked", "unknown")),
    (THERE, NOTHING, Answer(0, "OK", (), "error"), DONE, ("unlinked", "unknown")),
    (THERE, NOTHING, code(-1), DONE, ("unlinked", "unknown")),
    (THERE, NOTHING, NOT_SENT, NOT_DONE, ("unlinked", "us")),
    (ABSENT, SEEN, RESET, NOT_DONE, ("unlinked", "unknown")),
    # error codes, whoever removed it
    *[(THERE, NOTHING, code(n), DONE, ("already_absent", "not_us")) for n in CODES],
    *[(THERE, SEEN, code(n), DONE, ("already_absent", "unknown")) for n in CODES],
    # there never was one: codes that are listed and codes that are not
    *[(ABSENT, NOTHING, code(n), NOT_DONE, ("already_absent", "not_us")) for n in (*EVERY, 999)],
]


@pytest.mark.parametrize(("links", "known", "told", "done", "end"), OUTCOMES)
def test_one_answer(links: set[int], known: Known, told: Told, done: bool, end: tuple[str, str]) -> None:
    script = Script(set(links), [(told, done)])
    assert ends(script, 1, 2, known=known) == {end}
    assert script.links == set()


@pytest.mark.parametrize(
    ("number", "reason"),
    [(168, "NotDeletable"), (173, "NotDeletable"), (262, "MissingRight"), (185, "BadRequest"), (999, "UnknownCode"),
     (1, "Exhausted"), (80, "UnknownRecord"), (199, "NotSupported")],
)  # fmt: skip
def test_what_stays_there_is_dead_and_was_looked_at(number: int, reason: str) -> None:
    script = Script({1}, [(code(number), NOT_DONE)] * 9)
    (outcome,) = unlink(script, tickets(1)).values()
    (seen_before,) = unlink(Script({1}, [(code(number), NOT_DONE)] * 9), tickets(1, known=SEEN)).values()
    assert (seen_before.reason, seen_before.by) == (reason, "unknown"), "reads may lag, and the error hide a deletion"
    sent_again = number in (999, 1, 80)  # after a look that showed it
    assert (outcome.reason, outcome.by) == (reason, "unknown" if sent_again else "not_us")
    assert outcome.looked is not None
    assert (outcome.looked.showed, outcome.as_evidence()["read_back"]) == ("present", True)
    assert script.looks >= 1


def test_what_cannot_be_looked_at_says_so() -> None:
    script = Script({1}, [(code(262), NOT_DONE)], reads=[code(156)])
    (outcome,) = unlink(script, tickets(1)).values()
    assert (outcome.reason, outcome.looked, outcome.as_evidence()["read_back"]) == ("MissingRight", None, False)


def test_lost_answers_and_reads_that_fail_end_as_unknown() -> None:
    script = Script({1}, [(RESET, DONE)], reads=[code(1)] * 9)
    assert ends(script, 1) == {("Unverified", "unknown")}


@pytest.mark.parametrize("number", [1, 26, 66, 80, 97, 168])
def test_a_batch_that_is_refused_as_a_whole_after_it_was_done_is_unlinked(number: int) -> None:
    """Halved, each is answered that it is not there: our own deletion."""
    script = Script({1, 2, 3}, [(Whole(number), DONE), *[(code(168), NOT_DONE)] * 9])
    assert ends(script, 1, 2, 3) == {("unlinked", "unknown")}
    assert script.sent[0] == [1, 2, 3]
    assert script.sent[1:] == [[1], [2, 3]], "halves, and no more: they were answered one by one"


def test_an_error_to_a_request_of_one_is_about_that_one() -> None:
    assert ends(Script(set(), [(Whole(999), NOT_DONE)] * 2), 1) == {("already_absent", "unknown")}
    assert ends(Script(set(), [(Whole(168), NOT_DONE)]), 1) == {("already_absent", "not_us")}
    assert ends(Script({1}, [(Whole(73), NOT_DONE)]), 1) == {("BadRequest", "not_us")}


@pytest.mark.parametrize("told", [THROTTLED, AccountRefused("HTTP 403"), RESET])
def test_the_doubt_outlives_the_half_that_met_another_error(told: OnOfficeError) -> None:
    """A batch fails as a whole, then its halves are throttled: still in doubt, so looked at before the next delete."""
    script = Script({1, 2}, [(Whole(1), DONE), (told, NOT_DONE), (told, NOT_DONE)])
    assert ends(script, 1, 2) == {("unlinked", "unknown")}
    assert len(script.sent) == 3, "no delete after the look"


async def test_being_slowed_down_costs_no_attempt_and_leaves_the_question_open() -> None:
    unlinker = Unlinker(Script({1}, [(THROTTLED, DONE)]), SeenTypes([KIND]), Policy(), CLOCK)
    decision = (await unlinker.run(tickets(1)))["job-1"]
    assert isinstance(decision, Snooze)
    assert decision.known.in_doubt
    again = replace(tickets(1)[0], known=Known().after_loss(CLOCK()), question=True)
    asked = Unlinker(Script({1}, reads=[THROTTLED]), SeenTypes([KIND]), Policy(), CLOCK)
    decision = (await asked.run([again]))["job-1"]
    assert isinstance(decision, Ask)
    assert (decision.known, decision.spend) == (again.known, False)


async def test_only_what_never_left_leaves_no_doubt() -> None:
    decision = (await Unlinker(Script({1}, [(NOT_SENT, NOT_DONE)]), SeenTypes(), Policy(), CLOCK).run(tickets(1)))[
        "job-1"
    ]
    assert isinstance(decision, Park)
    assert not decision.known.in_doubt


@pytest.mark.parametrize("how", [EXPIRED, CANCELLED])
def test_a_job_given_up_is_looked_at_if_a_request_may_have_done_its_work(how: Outcome) -> None:
    (doubt,) = tickets(1, known=Known().after_loss(CLOCK()))
    gone, there = Script(set()), Script({1})
    (outcome,) = unlink(gone, [replace(doubt, give_up=how)]).values()
    assert (outcome.kind, outcome.by) == ("unlinked", "unknown")
    (outcome,) = unlink(there, [replace(doubt, give_up=how)]).values()
    kind = Kind.DEAD if how is CANCELLED else how.kind  # nobody may rely on "cancelled"
    assert (outcome.kind, outcome.by) == (kind, "unknown"), "it may still be carried out"
    assert (gone.sent, there.sent) == ([], [])


class Lag:
    """Reads show children until so many seconds have passed since it was made."""

    def __init__(self, seconds: float) -> None:
        self._until = CLOCK() + seconds

    def __call__(self, child: int) -> bool:
        return child in (1, 2) and CLOCK() < self._until


def test_a_success_that_lagging_reads_contradict_waits_and_is_never_sent_again() -> None:
    for lag in (1, 30, 59):
        script = Script({1}, lag=Lag(lag))
        (outcome,) = unlink(script, tickets(1), Policy(verify_always=True)).values()
        assert (outcome.kind, outcome.by, outcome.proven) == ("unlinked", "us", True)
        assert outcome.message == "an earlier request was answered success"
        assert len(script.sent) == 1


def test_a_success_that_reads_contradict_for_ever_ends_as_what_it_was_and_with_what_was_seen() -> None:
    script = Script({1}, [(OK, NOT_DONE)])
    (outcome,) = unlink(script, tickets(1), Policy(verify_always=True, max_attempts=2)).values()
    assert (outcome.kind, outcome.by, outcome.proven) == ("unlinked", "us", False)
    assert outcome.looked is not None
    assert outcome.looked.showed == "present"
    assert len(script.sent) == 1


def test_a_success_that_cannot_be_read_back_stays_one() -> None:
    for reads in ([code(1)] * 9, [code(156)], [code(132)] * 9):
        (outcome,) = unlink(Script({1}, reads=list(reads)), tickets(1), Policy(verify_always=True)).values()
        assert (outcome.kind, outcome.by, outcome.proven) == ("unlinked", "us", False)


@pytest.mark.parametrize("answers", [[(RESET, DONE)], [(RESET, DONE)] * 5, [(RESET, DONE), (code(168), NOT_DONE)]])
def test_lost_answers_and_reads_that_lag_do_not_end_before_the_reads_may_be_believed(
    answers: list[tuple[Told, bool]],
) -> None:
    script = Script({1}, [*answers, *[(code(168), NOT_DONE)] * 9], lag=Lag(10))
    assert ends(script, 1) == {("unlinked", "unknown")}


def test_when_the_reads_may_be_believed_what_is_still_there_is_sent_again_or_dead() -> None:
    script = Script({1}, [(RESET, NOT_DONE), (code(168), NOT_DONE), (code(168), NOT_DONE)])
    (outcome,) = unlink(script, tickets(1)).values()
    assert (outcome.reason, outcome.by) == ("NotDeletable", "unknown")
    assert len(script.sent) == 3
    exhausted = Script({1}, [(RESET, NOT_DONE)] * 9)
    assert ends(exhausted, 1) == {("Exhausted", "unknown")}
    assert len(exhausted.sent) == 5


@pytest.mark.parametrize(
    ("links", "deletes", "end", "sent"),
    [
        (THERE, [], ("unlinked", "us"), 1),
        (THERE, [(code(80), DONE)], ("already_absent", "unknown"), 1),
        (ABSENT, [], ("already_absent", "not_us"), 0),
    ],
)
def test_look_first(links: set[int], deletes: list[tuple[Told, bool]], end: tuple[str, str], sent: int) -> None:
    script = Script(set(links), list(deletes))
    assert ends(script, 1, 2, policy=Policy(look_first=True)) == {end}
    assert len(script.sent) == sent


def test_look_first_deletes_nothing_unseen_and_does_not_trust_blind_eyes() -> None:
    script = Script({1}, reads=[RESET])
    assert ends(script, 1, policy=Policy(look_first=True)) == {("unlinked", "us")}
    assert script.looks == 2, "the look is repeated before anything is sent"
    blind = Script({1}, reads=[Answer(0, "OK", ({"elements": {}},), None)])
    outcome = to_the_end(Unlinker(blind, SeenTypes(), Policy(look_first=True), CLOCK).run, tickets(1))["job-1"]
    assert (outcome.kind, outcome.by) == ("unlinked", "us"), "what is not to be seen is deleted all the same"


async def test_what_was_answered_is_known_should_the_batch_be_broken_off() -> None:
    unlinker = Unlinker(Script({1, 2}, [(OK, DONE)]), SeenTypes(), Policy(verify_always=True), CLOCK)
    await unlinker.run(tickets(1, 2))
    assert {each.known.success_at for each in unlinker.answered.values() if not isinstance(each, End)} == {CLOCK()}


async def test_an_error_about_the_account_says_nothing_of_the_link() -> None:
    unlinker = Unlinker(Script({1}, [(code(137), NOT_DONE)]), SeenTypes(), Policy(), CLOCK)
    decision = (await unlinker.run(tickets(1, known=SEEN)))["job-1"]
    assert isinstance(decision, Again)
    assert decision.known == SEEN
