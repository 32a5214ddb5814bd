"""lua/run_begin, run_store, run_open, run_steer and run_fed: how a run starts, and what an operator may do to it."""

from typing import Any

import pytest
import redis

from worker.stores import keys
from worker.stores.runs import LOADING_KEPT, Lease, Runs, RunTerms
from worker.unlinking.runs import MOVES, Layout, RunState, Steering

ROWS = [["calendar:address", 671, child] for child in range(1, 31)]
TERMS = RunTerms(
    id="r", account="default", action="unlink", layout=Layout(30, 10, 15), max_failure_rate=0.1, by="me", because="why"
)


class Bench:
    """One run."""

    def __init__(self, client: "redis.Redis") -> None:
        self.client: Any = client
        self.runs = Runs(client)
        self.rows_key = keys.run_rows("r", 10, 15)

    def load(self, terms: RunTerms = TERMS, rows: list[Any] = ROWS) -> None:
        for _ in self.runs.load(terms, rows):
            pass

    def start(self, terms: RunTerms = TERMS) -> str:
        self.load(terms)
        return self.runs.open(terms)

    def put(self, **fields: str | int) -> None:
        self.client.hset(keys.run("r"), mapping=fields)

    def field(self, name: str) -> str | None:
        value = self.client.hget(keys.run("r"), name)
        return None if value is None else str(value.decode())

    @property
    def state(self) -> str | None:
        return self.field("state")


@pytest.fixture
def bench(redis_url: str) -> Bench:
    return Bench(redis.Redis.from_url(redis_url))


def test_while_it_loads_a_run_is_kept_for_a_day_and_nobody_sees_it(bench: Bench) -> None:
    bench.load()
    assert bench.state == "loading"
    for key in (keys.run("r"), bench.rows_key):
        assert LOADING_KEPT - 60 < bench.client.ttl(key) <= LOADING_KEPT
    assert bench.runs.newest(10) == []
    assert bench.runs.holder("default") is None
    assert bench.client.scard(keys.RUNS_OPEN) == 0


def test_a_run_that_is_started_is_kept_and_looked_after(bench: Bench) -> None:
    assert bench.start() == "started"
    assert (bench.state, bench.field("next"), bench.field("by")) == ("running", "0", "me")
    now = bench.client.time()[0]
    assert abs(float(bench.field("started_at") or 0) / 1000 - now) < 60
    for key in (keys.run("r"), bench.rows_key):
        assert bench.client.ttl(key) == -1
    assert [run.id for run in bench.runs.newest(10)] == ["r"]
    assert bench.runs.holder("default") == "r"
    assert bench.client.smembers(keys.RUNS_OPEN) == {b"r"}


@pytest.mark.parametrize("missing", ["0", "2"])
def test_nothing_starts_before_all_its_rows_are_stored(bench: Bench, missing: str) -> None:
    bench.load()
    bench.client.hdel(bench.rows_key, missing)
    assert bench.runs.open(TERMS) == "missing"
    assert bench.state == "loading"
    assert bench.runs.holder("default") is None


@pytest.mark.parametrize("state", [state for state in RunState if state is not RunState.LOADING])
def test_a_run_that_was_started_is_neither_loaded_nor_started_again(bench: Bench, state: RunState) -> None:
    bench.start()
    bench.put(state=str(state), next=2)
    other = [["calendar:address", 5, child] for child in range(1, 31)]
    bench.load(rows=other)
    assert bench.runs.open(TERMS) == "exists"
    assert (bench.state, bench.field("next")) == (state, "2")
    run = bench.runs.get("r")
    assert run is not None
    assert list(bench.runs.rows(run)) == ROWS


def test_what_is_stored_after_the_start_does_not_make_the_rows_pass_away(bench: Bench) -> None:
    """Two that load the same plan: one has started it."""
    bench.load()
    late = bench.runs.load(TERMS, ROWS)
    assert bench.runs.open(TERMS) == "started"
    for _ in late:
        pass
    assert bench.client.ttl(bench.rows_key) == -1
    half_loaded = bench.runs
    half_loaded._store(TERMS, {"0": b"x"})
    assert bench.client.ttl(bench.rows_key) == -1


def test_one_run_an_account_until_it_is_over(bench: Bench) -> None:
    bench.start()
    second = RunTerms(
        id="s", account="default", action="unlink", layout=TERMS.layout, max_failure_rate=0.1, by="x", because="y"
    )
    assert bench.start(second) == "r"
    assert bench.client.hget(keys.run("s"), "state") == b"loading"
    assert bench.runs.holder("default") == "r"
    bench.client.srem(keys.RUNS_OPEN, "r")
    assert bench.runs.open(second) == "started"
    assert bench.runs.holder("default") == "s"


def test_an_account_that_it_has_already_is_no_hindrance(bench: Bench) -> None:
    """Its starter died in the middle of a lost reply."""
    bench.load()
    bench.client.set(keys.run_slot("default"), "r")
    bench.client.sadd(keys.RUNS_OPEN, "r")
    assert bench.runs.open(TERMS) == "started"


@pytest.mark.parametrize("how", list(Steering))
@pytest.mark.parametrize("state", list(RunState))
def test_who_may_go_where(bench: Bench, how: Steering, state: RunState) -> None:
    bench.start()
    bench.put(state=str(state))
    sources, target = MOVES[how]
    moves = state in sources
    assert bench.runs.steer("r", how, "me", "because") == (moves, str(target) if moves else str(state))
    assert bench.state == (target if moves else state)
    expected = ("because", "me") if moves else (None, None)
    assert (bench.field("why"), bench.field("steered_by")) == expected
    assert (bench.field("steered_at") is not None) is moves
    assert bench.field("max_failure_rate") == "0.1", "unless it is said, it stays"


def test_a_run_that_nobody_knows_is_not_made_by_steering_it(bench: Bench) -> None:
    assert bench.runs.steer("r", Steering.CANCEL, "me", "x") == (False, "")
    assert not bench.client.exists(keys.run("r"))


OUTCOMES = ("unlinked", "already_absent", "restored", "already_present", "cancelled", "dead", "expired")


def test_who_resumes_a_stopped_run_has_looked_at_its_failures(bench: Bench) -> None:
    """The next window begins behind them, and the canary is not asked for again."""
    bench.start()
    bench.put(state="stopped", **{f"n:{name}": 2**number for number, name in enumerate(OUTCOMES)})
    assert bench.runs.steer("r", Steering.RESUME, "me", "x", 0.5)[0]
    assert (bench.field("mark_done"), bench.field("mark_failed")) == ("127", "96"), "all seven; dead and expired"
    assert (bench.field("canary_passed"), bench.field("max_failure_rate")) == ("1", "0.5")


def test_who_resumes_a_paused_run_has_looked_at_nothing(bench: Bench) -> None:
    bench.start()
    bench.put(state="paused", **{"n:unlinked": 100, "n:dead": 50})
    assert bench.runs.steer("r", Steering.RESUME, "me", "x")[0]
    assert [bench.field(name) for name in ("mark_done", "mark_failed", "canary_passed")] == [None] * 3


@pytest.mark.parametrize("how", [Steering.PAUSE, Steering.CANCEL])
def test_no_other_move_forgets_failures(bench: Bench, how: Steering) -> None:
    bench.start()
    bench.put(state="stopped" if how is Steering.CANCEL else "running", **{"n:dead": 50})
    assert bench.runs.steer("r", how, "me", "x")[0]
    assert bench.field("mark_failed") is None


def test_what_is_told_of_a_run(bench: Bench) -> None:
    bench.start()
    bench.put(**{f"n:{name}": 2**number for number, name in enumerate(OUTCOMES)})
    run = bench.runs.get("r")
    assert run is not None
    assert run.counts == {name: 2**number for number, name in enumerate(OUTCOMES)}
    assert (run.done, run.failed) == (127, 32 + 64), "dead and expired"
    document = run.document()
    assert (document["done"], document["failed"], document["left"]) == (127, 96, 30 - 127)
    assert (document["state"], document["over"], document["max_failure_rate"]) == ("running", False, 0.1)


@pytest.mark.parametrize("outcome", ["dead", "expired"])
def test_who_resumes_a_run_with_nothing_but_failures_has_looked_at_these(bench: Bench, outcome: str) -> None:
    bench.start()
    bench.put(state="stopped", **{f"n:{outcome}": 5})
    assert bench.runs.steer("r", Steering.RESUME, "me", "x")[0]
    assert (bench.field("mark_done"), bench.field("mark_failed")) == ("5", "5")


@pytest.mark.parametrize(("holder", "word"), [("me", "started"), ("another", "lost"), (None, "lost")])
def test_who_lost_its_lease_starts_nothing(bench: Bench, holder: str | None, word: str) -> None:
    bench.load()
    if holder is not None:
        bench.client.set("lease", holder)
    assert bench.runs.open(TERMS, Lease("lease", "me")) == word
    assert bench.state == ("running" if word == "started" else "loading")
    assert (bench.runs.holder("default") == "r") is (word == "started")
