"""Dead letters against a model in plain Python: ends of all kinds, replays by several operators, discards, lost
replies. The index may be asked anything at any moment; every letter leaves it exactly once.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import redis
import redis.asyncio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from tasks.replay import Replayer
from worker.engine.settling import as_stored
from worker.stores import keys
from worker.stores.dead_letters import DeadLetters
from worker.stores.letter import Filter, Letter
from worker.stores.records import Arrival, Ending, Records, Retention, record_fields
from worker.stores.rows import RowEnding, Rows
from worker.stores.wishes import Accepted, Wish, Wishes
from worker.unlinking.chunk import Chunk, Unreadable
from worker.unlinking.errors import BadArguments, error_for
from worker.unlinking.job import Job, JobTerms, Relation
from worker.unlinking.outcome import EXPIRED, Outcome, dead

REASONS = ("NotDeletable", "Exhausted")
CODES = (None, 1, 168)
TYPES = ("calendar:address", "calendar:estate")
ACCOUNTS = ("default", "a=b:0")
RUNS = (None, "night", "x:7")
IDS = (1, 2, 10**18)
HOWS = st.builds(dead, st.sampled_from(REASONS), st.sampled_from(CODES), st.just("x")) | st.just(EXPIRED)
RELATIONS = st.builds(Relation, st.sampled_from(TYPES), st.sampled_from(IDS), st.sampled_from(IDS))
FIELDS: dict[str, st.SearchStrategy[object]] = {
    "reason": st.sampled_from((*REASONS, "Expired", "BadArguments")),
    "code": st.sampled_from(CODES[1:]),
    "relationtype": st.sampled_from(TYPES),
    "account": st.sampled_from(ACCOUNTS),
    "run": st.sampled_from(RUNS[1:]),
    "parentid": st.sampled_from(IDS),
    "childid": st.sampled_from(IDS),
    "redrives": st.integers(0, 2),
}
CHOSEN = st.lists(st.sampled_from(sorted(FIELDS)), max_size=3, unique=True)
FILTERS = CHOSEN.flatmap(lambda names: st.builds(Filter, **{name: FIELDS[name] for name in names}))


@dataclass(frozen=True)
class Known:
    """What the model knows of a letter: the dimensions by which it may be asked for."""

    relation: Relation | None
    account: str
    how: Outcome
    run: str | None = None
    redrives: int = 0

    def fits(self, wanted: Filter) -> bool:
        relation = self.relation
        asked = [
            (wanted.reason, self.how.reason),
            (wanted.code, self.how.code),
            (wanted.account, self.account),
            (wanted.run, self.run),
            (wanted.redrives, self.redrives),
            (wanted.relationtype, relation and relation.relationtype),
            (wanted.parentid, relation and relation.parentid),
            (wanted.childid, relation and relation.childid),
        ]
        return all(wish is None or wish == value for wish, value in asked)


@dataclass
class Model:
    letters: dict[str, Known] = field(default_factory=dict)  # in the order of their ends
    waiting: dict[str, Known] = field(default_factory=dict)  # jobs that run, with what their letter would be
    joined: dict[str, list[str]] = field(default_factory=dict)  # job -> wishes that joined it
    moved: dict[str, str] = field(default_factory=dict)  # letter -> the one job it became, or "discarded"
    stale: list[Letter] = field(default_factory=list)  # what some operator saw a while ago


class DeadLetterMachine(RuleBasedStateMachine):
    """Rules are what doors, workers and operators do."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.sync = redis.Redis.from_url(self.url)
        self.sync.flushall()
        self.client = redis.asyncio.Redis.from_url(self.url)
        self.records = Records(self.client, Retention(), same_server_as_queue=True)
        self.rows = Rows(self.client, Retention())
        self.wishes = Wishes(self.sync)
        self.letters = DeadLetters(self.sync)
        self.replayer = Replayer(self.wishes, lambda: 0.0)
        self.model = Model()
        self.number = 0

    def teardown(self) -> None:
        self.loop.run_until_complete(self.client.aclose())
        self.loop.close()
        self.sync.close()

    def _do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def _id(self) -> str:
        self.number += 1
        return f"job-{self.number}"

    @rule(relation=RELATIONS, account=st.sampled_from(ACCOUNTS))
    def enqueue(self, relation: Relation, account: str) -> None:
        job = Job(id=self._id(), relation=relation, terms=JobTerms(account=account))
        accepted = self.wishes.enqueue(Wish(job, "{}"))
        self._note_waiting(job.id, Known(relation, account, EXPIRED), accepted)

    def _note_waiting(self, job_id: str, known: Known, accepted: Accepted) -> None:
        self.model.waiting[job_id] = known
        if accepted is Accepted.JOINED:
            first = str(self.wishes.document(job_id)["joined"])  # type: ignore[index]  # it was stored just now
            self.model.joined.setdefault(first, []).append(job_id)

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data(), how=HOWS, reply_lost=st.booleans())
    def end(self, data: st.DataObject, how: Outcome, reply_lost: bool) -> None:
        """A job dies, and with it the jobs that had joined it, unless it was its own deadline."""
        joined = {wish for wishes in self.model.joined.values() for wish in wishes}
        job_id = data.draw(st.sampled_from([job for job in self.model.waiting if job not in joined]))
        known = self.model.waiting[job_id]
        relation = known.relation
        assert relation is not None
        named = keys.relation(known.account, relation.relationtype, relation.parentid, relation.childid)
        ending = Ending(job_id, named, as_stored(how, 0.0), history='[[1.5,"refused","r",0.1,168,"x"]]')
        fields = record_fields(Job(id=job_id, relation=relation, terms=JobTerms(account=known.account)))
        self._do(self.records.admit([Arrival(id=job_id, fields=fields, claim=f"claim-{job_id}")]))
        for _ in range(2 if reply_lost else 1):
            self._do(self.records.finish([ending], as_stored(EXPIRED, 0.0)))
        others = self.model.joined.pop(job_id, [])
        if how is EXPIRED and others:  # its own deadline: the next of them goes on, for the rest too
            self.model.joined[others[0]] = others[1:]
            others = []
        for wish in (*others, job_id):
            ended = self.model.waiting.pop(wish)
            self.model.letters[wish] = Known(ended.relation, ended.account, how, ended.run, ended.redrives)

    @rule(
        relations=st.lists(RELATIONS | st.none(), min_size=1, max_size=4),
        account=st.sampled_from(ACCOUNTS),
        run=st.sampled_from(RUNS),
        how=HOWS,
        reply_lost=st.booleans(),
    )
    def end_rows(
        self, relations: list[Relation | None], account: str, run: str | None, how: Outcome, reply_lost: bool
    ) -> None:
        """Rows of a chunk die; what was no row at all dies of that."""
        chunk_id, terms = self._id(), JobTerms(account=account)
        unreadable = Unreadable(error_for("BadArguments", None, "no row"), "[1]")
        rows = [
            unreadable if relation is None else Job(id=f"{chunk_id}:{row}", relation=relation, terms=terms)
            for row, relation in enumerate(relations)
        ]
        chunk = Chunk(chunk_id, tuple(rows), terms, run=run or chunk_id, first_row=7)
        endings = []
        for row, job in enumerate(rows):
            its = how if isinstance(job, Job) else dead(BadArguments.__name__, None, "no row")
            endings.append(RowEnding(chunk, row, job if isinstance(job, Job) else None, its))
            self.model.letters[f"{chunk_id}:{row}"] = Known(relations[row], account, its, run)
        for _ in range(2 if reply_lost else 1):
            self._do(self.rows.finish(endings))

    @precondition(lambda self: self.model.letters)
    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        """An operator reads some letters, and acts on them some time later."""
        ids = data.draw(st.lists(st.sampled_from(sorted(self.model.letters)), max_size=4, unique=True))
        self.model.stale = self.letters.read(ids)

    @rule(redrive=st.booleans(), reply_lost=st.booleans())
    def replay(self, redrive: bool, reply_lost: bool) -> None:
        """Of the letters seen a while ago; what others have moved meanwhile stays where it is."""
        doubled = DoubledWishes(self.sync) if reply_lost else self.wishes
        replayer = Replayer(doubled, lambda: 0.0)
        moved = replayer.redrive(self.model.stale) if redrive else replayer.replay(self.model.stale)
        can = [letter for letter in self.model.stale if letter.id in self.model.letters and letter.names_relation]
        assert len(moved) == len(can)
        for letter, job_id in zip(can, moved, strict=True):
            known = self.model.letters.pop(letter.id)
            assert letter.id not in self.model.moved, "a letter leaves once"
            self.model.moved[letter.id] = job_id
            record = self.wishes.document(job_id)
            assert record is not None
            assert record["replay_of"] == letter.id
            redrives = known.redrives + 1 if redrive else 0
            again = Known(known.relation, known.account, known.how, known.run, redrives)
            self._note_waiting(job_id, again, Accepted.JOINED if "joined" in record else Accepted.QUEUED)

    @rule(forget=st.booleans(), reply_lost=st.booleans())
    def discard(self, forget: bool, reply_lost: bool) -> None:
        ids = [letter.id for letter in self.model.stale]
        taken = self.letters.discard(ids, forget=forget)
        if reply_lost:
            assert self.letters.discard(ids, forget=forget) == []
        assert taken == [letter_id for letter_id in ids if letter_id in self.model.letters]
        for letter_id in taken:
            assert letter_id not in self.model.moved, "a letter leaves once"
            del self.model.letters[letter_id]
            self.model.moved[letter_id] = "discarded"
            assert self.sync.exists(keys.job(letter_id)) == (not forget)

    @rule(by=st.integers(1, 3 * 8192))
    def time_passes(self, by: int) -> None:
        """Serial numbers rise far, so that letters lie in several segments of the index."""
        self.sync.incrby("unlinker:dead:serial", by)

    @rule(wanted=FILTERS, size=st.integers(1, 3))
    def ask(self, wanted: Filter, size: int) -> None:
        expected = [letter for letter, known in self.model.letters.items() if known.fits(wanted)][::-1]
        seen: list[str] = []
        cursor = ""
        while True:
            page = self.letters.page(wanted, cursor, size)
            assert len(page.letters) <= size
            seen += [letter.id for letter in page.letters]
            if not page.cursor:
                break
            cursor = page.cursor
        assert seen == expected
        assert self.letters.count(wanted) == len(expected)
        assert [letter.id for some in self.letters.walk(wanted) for letter in some] == expected

    @precondition(lambda self: self.model.letters)
    @rule(data=st.data(), reason=st.none() | st.sampled_from(REASONS))
    def ask_by_age(self, data: st.DataObject, reason: str | None) -> None:
        moments = {letter: self._ended_at(letter) for letter in self.model.letters}
        since, before = (data.draw(st.none() | st.sampled_from(sorted(moments.values()))) for _ in range(2))
        wanted = Filter(reason=reason, since=since, before=before)
        expected = [
            letter
            for letter, at in moments.items()
            if (since is None or at >= since)
            and (before is None or at < before)
            and reason in (None, self.model.letters[letter].how.reason)
        ]
        assert [letter.id for some in self.letters.walk(wanted) for letter in some] == expected[::-1]
        assert self.letters.count(wanted) == len(expected)

    def _ended_at(self, letter_id: str) -> float:
        letter = self.letters.letter(letter_id)
        assert letter is not None
        return letter.ended_at

    @invariant()
    def totals_are_right(self) -> None:
        totals: dict[str, dict[str, int]] = {}
        for known in self.model.letters.values():
            values: dict[str, object] = {"all": "", "reason": known.how.reason, "code": known.how.code}
            values |= {"account": known.account, "run": known.run, "redrives": known.redrives}
            values["relationtype"] = known.relation.relationtype if known.relation else None
            for dimension, value in values.items():
                if value is not None:
                    of = totals.setdefault(dimension, {})
                    of[str(value)] = of.get(str(value), 0) + 1
        assert self.letters.totals() == totals

    @invariant()
    def letters_tell_their_story_and_stay(self) -> None:
        for letter_id, known in self.model.letters.items():
            letter = self.letters.letter(letter_id)
            assert letter is not None
            document = letter.document()
            assert (document["reason"], document["code"]) == (known.how.reason, known.how.code)
            assert (document["run"], document["redrives"]) == (known.run, known.redrives)
            assert self.sync.ttl(keys.job(letter_id)) == -1, "a letter stays until somebody takes it out"
            if ":" not in letter_id:
                assert document["attempts"] == [
                    {"at": 1.5, "verdict": "refused", "request": "r", "seconds": 0.1, "code": 168, "text": "x"}
                ]

    @invariant()
    def what_left_is_linked_to_what_it_became(self) -> None:
        for letter_id, became in self.model.moved.items():
            assert self.letters.letter(letter_id) is None
            record: Any = self.sync.hgetall(keys.job(letter_id))
            if not record:
                continue  # forgotten
            assert self.sync.ttl(keys.job(letter_id)) > 0
            assert (b"discarded_at" in record) == (became == "discarded")
            assert record.get(b"replayed_as", b"discarded").decode() == became

    @invariant()
    def nothing_is_left_behind_in_the_index(self) -> None:
        if self.model.letters:
            return
        left: Any = self.sync.keys("unlinker:dead*")
        assert set(left) <= {b"unlinker:dead:serial"}


class DoubledWishes(Wishes):
    """Every script runs twice, as when the first reply was lost."""

    def enqueue_many(self, wishes: Any) -> list[Accepted]:
        first = super().enqueue_many(wishes)
        again = super().enqueue_many(wishes)
        assert all(
            later is (Accepted.GONE if before is Accepted.GONE else Accepted.EXISTS)
            for before, later in zip(first, again, strict=True)
        ), "a wish that was taken in is known, a letter that was gone stays gone"
        return first


def test_dead_letters_hold_in_any_order(valkey: str) -> None:
    machine = type("Machine", (DeadLetterMachine,), {"url": valkey})
    run_machine(machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
