"""Runs against a model: feeders and workers that die at any step, pauses, cancels and repeats in any order."""

import asyncio
import base64
import json
from collections import Counter
from typing import Any

import redis
import redis.asyncio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from worker.engine.conductor import Conductor
from worker.stores import keys
from worker.stores.deliveries import Deliveries
from worker.stores.records import Arrival, Intent, Records, Retention, chunk_fields
from worker.stores.rows import RowEnding, Rows, RowsIntention
from worker.stores.run_feed import LEAST_AHEAD, Look, RunFeed
from worker.stores.runs import Runs, RunTerms
from worker.unlinking.chunk import Chunk, RowState, outcome_of
from worker.unlinking.job import Job
from worker.unlinking.outcome import CANCELLED, Evidence, Kind, Outcome, dead
from worker.unlinking.runs import Layout, RunState, Steering

ROWS = 47
LAYOUT = Layout(ROWS, canary=3, size=7)
UNLINKED = Outcome(kind=Kind.UNLINKED, evidence=Evidence.ANSWERED)
DEAD = dead("NotDeletable", 168, "no")
FINAL = (RunState.DONE, RunState.CANCELLED)


class RunMachine(RuleBasedStateMachine):
    """Rules are what feeders, workers and operators do; a worker is played step by step, so that it may die between."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.sync = redis.Redis.from_url(self.url)
        self.sync.flushall()
        self.client = redis.asyncio.Redis.from_url(self.url)
        self.records = Records(self.client, Retention(), same_server_as_queue=True)
        self.rows = Rows(self.client, Retention())
        self.runs = Runs(self.sync)
        self.feeds = [RunFeed(self.client, Retention(), name) for name in "ab"]
        self.deliveries = Deliveries(self.client, "w", 3600)
        self.conductors = [Conductor(feed, self.deliveries, {"unlink": "unlinker.unlink_many"}) for feed in self.feeds]
        self.terms = RunTerms(
            id="r", account="default", action="unlink", layout=LAYOUT, max_failure_rate=0.5, by="x", because="y"
        )
        list(self.runs.load(self.terms, (["calendar:address", 1, row + 1] for row in range(ROWS))))
        assert self.runs.open(self.terms) == "started"
        self.outcomes: dict[int, str] = {}  # row of the run -> the first outcome written
        self.sent_while_held: list[int] = []
        self.late: list[tuple[int, Look]] = []
        self.put_into_queue: set[int] = set()  # numbers of chunks
        self.claim = 0

    def teardown(self) -> None:
        self._do(self.client.aclose())
        self.loop.close()
        self.sync.close()

    def _do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @property
    def state(self) -> RunState:
        run = self.runs.get("r")
        assert run is not None
        return run.state

    @rule(who=st.sampled_from((0, 1)))
    def feed(self, who: int) -> None:
        before = self._next()
        self._do(self.conductors[who]._round())
        self.put_into_queue |= set(range(before, self._next()))

    def _next(self) -> int:
        return int(self.sync.hget(keys.run("r"), "next") or 0)

    @rule(who=st.sampled_from((0, 1)))
    def feed_and_die_before_saying_so(self, who: int) -> None:
        look = self._do(self.feeds[who].look("r"))
        if look.count:
            self._do(self.conductors[who]._put_into_queue("r", look))
            self.sync.hdel(keys.run("r"), "feeder_until")  # its lease ran out
            self.late.append((who, look))
            self.put_into_queue |= set(range(look.first, look.first + look.count))

    @rule()
    def say_so_late(self) -> None:
        if self.late:
            who, look = self.late.pop()
            self._do(self.feeds[who].fed("r", look.first, look.count))

    @rule(
        failing=st.booleans(),
        dies=st.sampled_from(("no", "before", "after the intent", "half-way")),
        repeat=st.booleans(),
    )
    def work_on_a_chunk(self, failing: bool, dies: str, repeat: bool) -> None:
        message: Any = self.sync.rpop("bulk")
        if message is None:
            return
        if dies != "no" or repeat:
            self.sync.lpush("bulk", message)  # a dead worker's chunk comes again
        if dies != "before":
            self._run(_chunk(message), failing=failing, dies=dies)

    def _run(self, chunk: Chunk, *, failing: bool, dies: str) -> None:
        self.claim += 1
        arrival = Arrival(id=chunk.id, fields=chunk_fields(chunk), claim=f"c{self.claim}")
        self._do(self.records.admit([arrival]))
        (states,) = self._do(self.rows.states([chunk]))
        left = [row for row, byte in enumerate(states) if bytes([byte]) in (b"\0", b"s")]
        if not left:
            return
        held = self.state
        (answer,) = self._do(self.rows.intend([RowsIntention(chunk, arrival.claim, tuple(left))]))
        intent = answer.intent
        if intent is Intent.CANCELLED:
            self._finish(chunk, left, CANCELLED)
        if intent is not Intent.GO:
            return
        if held is not RunState.RUNNING:
            self.sent_while_held.append(left[0])
        if dies == "after the intent":
            return
        self._finish(chunk, left[: len(left) // 2] if dies == "half-way" else left, DEAD if failing else UNLINKED)

    def _finish(self, chunk: Chunk, rows: list[int], outcome: Outcome) -> None:
        endings = [RowEnding(chunk, row, job, outcome) for row in rows if isinstance(job := chunk.rows[row], Job)]
        if not endings:
            return
        self._do(self.rows.finish(endings))
        self._do(self.rows.finish(endings))  # its reply was lost
        for row in rows:
            self.outcomes.setdefault(chunk.first_row + row, str(outcome.kind))

    @rule(how=st.sampled_from(list(Steering)))
    def steer(self, how: Steering) -> None:
        before = self.state
        moved, after = self.runs.steer("r", how, "x", "y")
        assert moved is (after != before) or before == after
        if before in FINAL:
            assert not moved

    @invariant()
    def counters_bytes_and_letters_agree(self) -> None:
        run = self.runs.get("r")
        assert run is not None
        found = b"".join(self.runs.states(run))
        expected = {
            "unlinked": found.count(b"u"),
            "dead": found.count(b"d"),
            "cancelled": found.count(b"c"),
        }
        assert {name: run.counts[name] for name in expected} == expected
        assert run.done == len(self.outcomes)
        for row, outcome in self.outcomes.items():
            assert found[row : row + 1] == {"unlinked": b"u", "dead": b"d", "cancelled": b"c"}[outcome]
        assert self.sync.zcard(keys.DEAD) == run.counts["dead"]

    @invariant()
    def it_ends_when_it_should(self) -> None:
        run = self.runs.get("r")
        assert run is not None
        assert not self.sent_while_held
        if run.state is RunState.DONE:
            assert run.done == ROWS
        if run.is_over:
            assert self.runs.holder("default") is None
        else:
            assert self.runs.holder("default") == "r"
        if run.layout.rows and run.fields.get("canary_passed") is None and run.state is RunState.RUNNING:
            assert self._next() <= 1, "nothing is fed before the canary is through"
        assert set(range(self._next())) <= self.put_into_queue, "no chunk is passed over"


def _chunk(message: bytes) -> Chunk:
    payload = json.loads(message)
    _, arguments, _ = json.loads(base64.b64decode(payload["body"]))
    return Chunk.from_arguments(payload["headers"]["id"], arguments)


def test_runs_hold_in_any_order(redis_url: str) -> None:
    RunMachine.url = redis_url
    run_machine(RunMachine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))


def test_a_run_whose_workers_and_feeders_die_ends_as_if_nothing_had_happened(redis_url: str) -> None:
    RunMachine.url = redis_url
    machine = RunMachine()
    for step in range(400):
        machine.feed_and_die_before_saying_so(step % 2)
        machine.work_on_a_chunk(False, ("half-way", "no", "after the intent", "before")[step % 4], step % 3 == 0)
        machine.feed(step % 2)
        machine.counters_bytes_and_letters_agree()
        machine.it_ends_when_it_should()
        if machine.state is RunState.DONE:
            break
    assert machine.state is RunState.DONE
    run = machine.runs.get("r")
    assert run is not None
    assert b"".join(machine.runs.states(run)) == b"u" * ROWS
    machine.teardown()


def test_no_more_is_fed_than_the_workers_get_through(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    runs = Runs(client)
    terms = RunTerms(
        id="big", account="a", action="unlink", layout=Layout(50_000, 0), max_failure_rate=1, by="x", because="y"
    )
    list(runs.load(terms, (["calendar:address", 1, row + 1] for row in range(50_000))))
    assert runs.open(terms) == "started"

    async def feed() -> None:
        store = redis.asyncio.Redis.from_url(redis_url)
        conductor = Conductor(RunFeed(store, Retention(), "a"), Deliveries(store, "w", 60), {"unlink": "t"})
        for _ in range(20):
            await conductor._round()
        await store.aclose()

    asyncio.run(feed())
    assert client.llen("bulk") == LEAST_AHEAD // 500
    client.close()


def test_a_row_that_its_chunks_former_holder_has_ended_is_neither_sent_nor_counted_again(redis_url: str) -> None:
    """Its answer came after the chunk had been taken over, and its rows had been read."""
    RunMachine.url = redis_url
    machine = RunMachine()
    machine.feed(0)
    message: Any = machine.sync.rpop("bulk")
    chunk = _chunk(message)
    machine._do(machine.records.admit([Arrival(id=chunk.id, fields=chunk_fields(chunk), claim="new")]))
    machine._finish(chunk, [1], UNLINKED)
    (answer,) = machine._do(machine.rows.intend([RowsIntention(chunk, "new", (0, 1, 2))]))
    assert (answer.intent, answer.ended) == (Intent.GO, frozenset({1}))
    assert machine._do(machine.rows.states([chunk])) == [b"sus"]
    machine._finish(chunk, [0, 1, 2], DEAD)
    machine.counters_bytes_and_letters_agree()
    (answer,) = machine._do(machine.rows.intend([RowsIntention(chunk, "new", (0, 1, 2))]))
    assert answer.ended == {0, 1, 2}
    machine.teardown()


def test_a_run_that_is_started_counts_every_state_that_its_rows_may_have(redis_url: str) -> None:
    """As after Redis has lost its data: the rows got their bytes while nobody knew the run."""
    with redis.Redis.from_url(redis_url) as client:
        finals = [state for state in RowState if state.is_final]
        runs = Runs(client)
        terms = RunTerms(
            id="r",
            account="default",
            action="unlink",
            layout=Layout(len(finals) + 2, 0),
            max_failure_rate=0.5,
            by="x",
            because="y",
        )
        list(runs.load(terms, (["calendar:address", 1, row + 1] for row in range(terms.layout.rows))))
        client.set(keys.rows("r.0"), b"\0s" + b"".join(state.value for state in finals))
        assert runs.open(terms) == "started"
        run = runs.get("r")
        assert run is not None
        wanted = Counter(str(outcome_of(state).outcome) for state in finals)
        assert {name: count for name, count in run.counts.items() if count} == wanted
