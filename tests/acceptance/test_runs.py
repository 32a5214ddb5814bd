"""Bulk runs with real workers: fed with back-pressure, braked, paused, cancelled, killed and gone on with."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.test_workers import fast, many
from tests.harness import House, eventually
from worker.stores import keys
from worker.stores.runs import Run, Runs, RunTerms
from worker.unlinking.runs import Layout, RunState, Steering, chunk_id

Link = tuple[str, int, int]


def start(house: House, links: list[Link], *, canary: int = 10, max_failure_rate: float = 0.1) -> str:
    """A run over these links; returns its id."""
    terms = RunTerms(
        id=str(uuid.uuid4()),
        account="default",
        action="unlink",
        layout=Layout(len(links), canary),
        max_failure_rate=max_failure_rate,
        by="tests",
        because="spring",
    )
    runs = Runs(house.client)
    list(runs.load(terms, (list(link) for link in links)))
    assert runs.open(terms) == "started"
    return terms.id


def run_of(house: House, run_id: str) -> Run:
    found = Runs(house.client).get(run_id)
    assert found is not None
    return found


def over(house: House, run_id: str) -> Run:
    found: Run = eventually(lambda: run if (run := run_of(house, run_id)).is_over else None)
    return found


def states(house: House, run_id: str) -> bytes:
    return b"".join(Runs(house.client).states(run_of(house, run_id)))


def test_a_run_ends_every_row_and_leaves_nothing_behind(house: House) -> None:
    fast(house)
    links = many(house, 1800)
    house.start_worker()
    house.start_worker()
    run = over(house, run_id := start(house, [*links, ("calendar:address", 9, 9)]))
    assert run.state is RunState.DONE
    assert run.counts["unlinked"] == 1800
    assert run.counts["already_absent"] == 1
    assert states(house, run_id) == b"u" * 1800 + b"A"  # nobody has seen this account see such links
    assert not set(links) & house.sandbox.links()
    assert Runs(house.client).holder("default") is None
    assert run_id in {each.id for each in Runs(house.client).newest(5)}
    pace = Runs(house.client).pace(run_id)
    assert pace[-1].done == 1801
    assert [each.done for each in pace] == sorted(each.done for each in pace)


def test_workers_killed_again_and_again_end_in_the_same_state(house: House) -> None:
    fast(house)
    house.sandbox.call("PATCH", "options", {"latency_ms": 10})
    links = many(house, 2500)
    run_id = start(house, links)
    for number in range(4):
        worker = house.start_worker()
        eventually(lambda number=number: run_of(house, run_id).done > 300 * number)  # type: ignore[misc]  # mypy cannot type lambda defaults
        worker.kill()
    house.start_worker()
    run = over(house, run_id)
    assert run.counts["unlinked"] == 2500
    assert set(states(house, run_id)) <= set(b"uv"), "v: its worker died, so nobody knows whether it was us"
    assert house.sandbox.call("GET", "stats")["deleted_twice"] == []


def test_a_paused_run_sends_nothing_until_it_is_resumed(house: House) -> None:
    fast(house)
    house.sandbox.call("PATCH", "options", {"latency_ms": 20})
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "10"
    links = many(house, 2000)
    house.start_worker()
    run_id = start(house, links)
    runs = Runs(house.client)
    eventually(lambda: run_of(house, run_id).done > 100)
    assert runs.steer(run_id, Steering.PAUSE, "tests", "lunch") == (True, "paused")
    time.sleep(0.5)  # what was on the wire comes back
    sent = len(house.sandbox.actions())
    time.sleep(1.0)
    assert len(house.sandbox.actions()) == sent < 2000
    eventually(lambda: house.client.hlen(keys.CLAIMED) == 0)
    single = house.unlink("calendar:address", 671, 153)
    assert house.ended(single)["outcome"] == "unlinked"  # a paused run holds up nobody
    assert runs.steer(run_id, Steering.RESUME, "tests", "")[0]
    assert over(house, run_id).counts["unlinked"] == 2000
    assert house.sandbox.call("GET", "stats")["deleted_twice"] == []


def test_a_cancelled_run_leaves_the_rest_alone(house: House) -> None:
    fast(house)
    house.sandbox.call("PATCH", "options", {"latency_ms": 20})
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "10"
    links = many(house, 3000)
    house.start_worker()
    run_id = start(house, links)
    runs = Runs(house.client)
    eventually(lambda: run_of(house, run_id).done > 100)
    assert runs.steer(run_id, Steering.CANCEL, "tests", "wrong file")[0]
    run = over(house, run_id)
    assert run.state is RunState.CANCELLED
    gone = set(links) - house.sandbox.links()
    assert 100 < len(gone) < 3000
    assert run.counts["unlinked"] == len(gone)
    found = states(house, run_id)
    assert found.count(b"u") == len(gone)
    assert set(found) <= set(b"uc\0")
    assert runs.holder("default") is None
    assert runs.steer(run_id, Steering.RESUME, "tests", "") == (False, "cancelled")
    assert house.client.zcard(keys.DEAD) == 0
    eventually(lambda: house.client.hlen(keys.CLAIMED) == 0 and house.client.llen("bulk") == 0)


def test_a_cancelled_row_whose_request_was_lost_is_looked_at(house: House) -> None:
    fast(house)
    links = many(house, 20)
    house.sandbox.fault("hang_after", params={"seconds": 60}, match={"action": "delete"})
    worker = house.start_worker()
    run_id = start(house, links, canary=0)
    eventually(house.sandbox.actions)
    assert Runs(house.client).steer(run_id, Steering.CANCEL, "tests", "")[0]
    worker.kill()
    house.start_worker()
    run = over(house, run_id)
    assert run.counts["unlinked"] == len(set(links) - house.sandbox.links()) > 0


def test_the_canary_stops_a_run_before_the_rest_is_touched(house: House) -> None:
    fast(house)
    kept = [("estate:address:owner", 7, child) for child in range(1, 400)]
    house.sandbox.add_links(kept, undeletable=True)
    house.start_worker()
    run_id = start(house, kept)
    eventually(lambda: run_of(house, run_id).state is RunState.STOPPED)
    time.sleep(1.0)
    run = run_of(house, run_id)
    assert run.failed == 10
    assert "100.0 % (10 of 10) of the canary failed" in run.fields["why"]
    assert len({action["childid"] for action in house.sandbox.actions()}) == 10
    assert Runs(house.client).holder("default") == run_id
    # whoever looked at it lets it go on
    assert Runs(house.client).steer(run_id, Steering.RESUME, "tests", "looked at", 1.0)[0]
    assert over(house, run_id).counts["dead"] == 399


def test_a_run_stops_when_failures_begin_late(house: House) -> None:
    fast(house)
    good = many(house, 1500)
    bad = [("estate:address:owner", 7, child) for child in range(1, 3001)]
    house.sandbox.add_links(bad, undeletable=True)
    house.start_worker()
    run_id = start(house, [*good, *bad])
    eventually(lambda: run_of(house, run_id).state is RunState.STOPPED)
    run = run_of(house, run_id)
    assert run.counts["unlinked"] == 1500
    assert 20 <= run.failed < 3000
    assert "of the last rows failed" in run.fields["why"]


def test_one_run_an_account_and_one_run_an_id(house: House) -> None:
    links = many(house, 30)
    first = start(house, links[:10])
    runs = Runs(house.client)
    terms = RunTerms(
        id="second", account="default", action="unlink", layout=Layout(10), max_failure_rate=0.1, by="x", because=""
    )
    list(runs.load(terms, (list(link) for link in links[10:20])))
    assert runs.open(terms) == first
    other = RunTerms(
        id="other", account="another", action="unlink", layout=Layout(10), max_failure_rate=0.1, by="x", because=""
    )
    assert runs.open(other) == "missing"
    house.start_worker()
    assert over(house, first).counts["unlinked"] == 10
    assert runs.open(terms) == "started"
    assert runs.open(terms) == "exists"
    assert over(house, "second").counts["unlinked"] == 10
    list(runs.load(terms, (list(link) for link in links[20:])))  # a run that was started is not touched
    assert run_of(house, "second").state is RunState.DONE
    assert set(links[20:]) <= house.sandbox.links()


def test_a_chunk_that_is_fed_twice_runs_once(house: House) -> None:
    fast(house)
    links = many(house, 60)
    run_id = start(house, links, canary=0)
    house.start_worker()
    over(house, run_id)
    house.client.hset(keys.run(run_id), mapping={"state": "running", "next": 0})
    house.client.hdel(keys.run(run_id), "ended_at")
    house.sandbox.add_links(links)  # made anew: a second run of the chunk would delete them
    house.client.sadd(keys.RUNS_OPEN, run_id)
    eventually(lambda: run_of(house, run_id).is_over)
    assert set(links) <= house.sandbox.links()


@pytest.mark.parametrize("arguments", [{"relations": []}, {"relations": [["calendar:address", 1, 2]], "run": ""}])
def test_a_stranger_cannot_count_for_a_run(house: House, arguments: dict[str, Any]) -> None:
    links = many(house, 20)
    run_id = start(house, links[:10])
    house.push_chunk([list(link) for link in links[10:]], run=run_id, first_row=0)
    house.start_worker()
    assert over(house, run_id).done == 10
    assert house.rows(chunk_id(run_id, 0)) == b"u" * 10


@pytest.mark.parametrize("canary", [10, 3])
def test_two_starts_of_one_plan_at_the_same_time_are_one_run(house: House, canary: int) -> None:
    fast(house)
    links = many(house, 700)
    first, second = (terms_of(700, each) for each in (10, canary))
    runs = Runs(house.client)

    def rows() -> Iterator[list[Any]]:
        for number, link in enumerate(links):
            if number == 600:  # half-way the other is through, and its run has begun
                list(runs.load(second, (list(each) for each in links)))
                assert runs.open(second) == "started"
            yield list(link)

    list(runs.load(first, rows()))
    assert runs.open(first) == "exists"
    assert house.client.ttl(run_of(house, "same").fields["rows_key"]) == -1, "it may run for longer than a day"
    house.start_worker()
    run = over(house, "same")
    assert run.counts["unlinked"] == 700
    assert run.layout.canary == canary
    assert not set(links) & house.sandbox.links()


def terms_of(rows: int, canary: int) -> RunTerms:
    return RunTerms(
        id="same",
        account="default",
        action="unlink",
        layout=Layout(rows, canary),
        max_failure_rate=0.1,
        by="tests",
        because="",
    )


def test_a_run_whose_rows_are_lost_is_stopped_and_says_so(house: House) -> None:
    run_id = start(house, many(house, 30))
    house.client.delete(run_of(house, run_id).fields["rows_key"])
    worker = house.start_worker()
    eventually(lambda: run_of(house, run_id).state is RunState.STOPPED)
    assert "not stored any more" in run_of(house, run_id).fields["why"]
    assert house.ended(house.unlink("calendar:address", 671, 153))["outcome"] == "unlinked"
    assert worker.popen.poll() is None
