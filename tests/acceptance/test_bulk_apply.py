"""`unlinker bulk apply` and its kin, as an operator uses them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway.plan_file import write_plan
from tests.faults.plans import draft_for
from tests.faults.test_workers import fast, many
from tests.harness import House, eventually
from worker.stores.runs import Runs
from worker.unlinking.job import Relation
from worker.unlinking.plan import Action, PlanRow, Seen, Standing
from worker.unlinking.runs import RunState

Link = tuple[str, int, int]


def plan_of(house: House, links: Iterable[Link], seen: Seen | None = None, **changes: object) -> Path:
    """A plan to unlink these, as `bulk plan` would write it."""
    draft = draft_for(house, **changes)
    path = house.home / f"{draft.id}.plan"
    rows = (PlanRow(Relation(*link), Standing.PRESENT, str(line)) for line, link in enumerate(links, start=2))
    write_plan(path, draft, rows, seen)
    return path


def test_a_plan_is_applied_once_and_only_once(house: House) -> None:
    fast(house)
    links = many(house, 300)
    kept = [("estate:address:owner", 42, 7)]
    plan = plan_of(house, [*links, *kept])
    house.start_worker()
    done = house.run("bulk", "apply", str(plan), "--yes", "--json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert (document["state"], document["unlinked"], document["failed"]) == ("done", 300, 1)
    assert document["failed_by_reason"] == {"NotDeletable": 1}
    assert not set(links) & house.sandbox.links()
    house.sandbox.add_links(links)
    again = house.run("bulk", "apply", str(plan), "--yes")
    assert again.returncode == 1
    assert "applied before" in again.stderr
    assert set(links) <= house.sandbox.links(), "a second apply deletes nothing"
    acts = json.loads(house.run("audit", "--json").stdout)
    assert [(act["action"], act["count"], act["because"]) for act in acts] == [("unlink run", 301, "spring")]
    assert json.loads(house.run("bulk", "status", "--json").stdout)[0]["run"] == document["run"]


@pytest.mark.parametrize(
    ("changes", "options", "code", "words"),
    [
        ({}, ["--max-deletions", "20"], 4, "allow it with --max-deletions 30"),
        ({"seen": Seen({"calendar:address": 40})}, [], 4, "--max-share 0.75"),
        ({"seen": Seen({"calendar:address": 900}, {"calendar:address": {1: 40}})}, [], None, ""),
        ({"expires_at": time.time() - 1, "made_at": time.time() - 7200}, [], 2, "stale: made 2 h ago"),
        ({"target": "0" * 16}, [], 2, "another API address or API user"),
        ({"account": "elsewhere"}, [], 2, "'elsewhere' is not set here"),
        ({"action": Action.RESTORE}, [], 2, "`unlinker undo apply`"),
        ({"because": ""}, [], 2, "--because"),
    ],
)
def test_what_may_not_go_does_not_go(
    house: House, changes: dict[str, Any], options: list[str], code: int | None, words: str
) -> None:
    links = many(house, 30)
    if changes.get("action") is Action.RESTORE:
        links = []
    plan = plan_of(house, links, **changes)
    done = house.run("bulk", "apply", str(plan), "--yes", "--detach", *options)
    if code is None:
        assert done.returncode == 0, done.stderr
        return
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr
    assert Runs(house.client).newest(5) == []


def test_an_edited_plan_and_one_that_is_none_are_refused(house: House) -> None:
    links = many(house, 30)
    plan = plan_of(house, links)
    text = plan.read_text()
    plan.write_text(text.replace('["calendar:address",3,5', '["calendar:address",671,153'))
    done = house.run("bulk", "apply", str(plan), "--yes", "--detach")
    assert done.returncode == 2
    assert "edited" in done.stderr
    plan.write_text("parentid,childid\n1,2\n")
    assert house.run("bulk", "apply", str(plan), "--yes").returncode == 2
    assert house.run("bulk", "apply", str(plan) + ".no", "--yes").returncode == 2
    assert Runs(house.client).newest(5) == []
    assert set(links) <= house.sandbox.links()


def test_a_type_that_was_protected_since_does_not_go(house: House) -> None:
    plan = plan_of(house, many(house, 3))
    done = house.run("bulk", "apply", str(plan), "--yes", UNLINKER_PROTECTED_TYPES="calendar:address")
    assert done.returncode == 4
    assert "protected by UNLINKER_PROTECTED_TYPES" in done.stderr


def test_nobody_is_asked_where_nobody_can_answer(house: House) -> None:
    done = house.run("bulk", "apply", str(plan_of(house, many(house, 3))))
    assert done.returncode == 2
    assert "--yes" in done.stderr


def test_a_brake_ends_in_4_and_says_how_to_go_on(house: House) -> None:
    fast(house)
    bad = [("estate:address:owner", 7, child) for child in range(1, 41)]
    house.sandbox.add_links(bad, undeletable=True)
    house.start_worker()
    plan = plan_of(house, bad)
    done = house.run("bulk", "apply", str(plan), "--yes")
    run = json.loads(house.run("bulk", "status", "--json").stdout)[0]
    assert done.returncode == 4
    assert f"bulk resume {run['run']} --max-failure-rate" in done.stderr
    assert (run["state"], run["failed"]) == ("stopped", 10)
    gone_on = house.run("bulk", "resume", run["run"], "--max-failure-rate", "1", "--because", "known", "--follow")
    assert gone_on.returncode == 1, gone_on.stderr
    assert house.run("bulk", "resume", run["run"]).returncode == 2


def test_a_run_goes_on_without_who_started_it(house: House) -> None:
    fast(house)
    house.sandbox.call("PATCH", "options", {"latency_ms": 20})
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "10"
    links = many(house, 1500)
    house.start_worker()
    command = ["bulk", "apply", str(plan_of(house, links)), "--yes", "--max-deletions", "1500"]
    starter = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", *command],
        cwd=house.home,
        env=house.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    runs = Runs(house.client)
    eventually(lambda: any(run.done > 50 for run in runs.newest(1)))
    starter.send_signal(signal.SIGINT)
    _, said = starter.communicate(timeout=30)
    (run,) = runs.newest(1)
    assert starter.returncode == 1
    assert f"bulk status {run.id} --follow" in said
    rejoined = house.run("bulk", "status", run.id, "--follow", "--json")
    assert rejoined.returncode == 0, rejoined.stderr
    assert json.loads(rejoined.stdout)["unlinked"] == 1500
    assert not set(links) & house.sandbox.links()


def test_a_start_that_was_killed_is_done_again(house: House) -> None:
    links = many(house, 40)
    plan = plan_of(house, links)
    runs = Runs(house.client)
    first = house.run("bulk", "apply", str(plan), "--yes", "--detach")
    assert first.returncode == 0
    (run,) = runs.newest(1)
    # as a kill between storing the rows and starting would have left it
    house.client.hset(f"unlinker:run:{run.id}", "state", "loading")
    house.client.hdel(run.fields["rows_key"], "1")
    house.client.delete("unlinker:runs", "unlinker:runs:open", "unlinker:run-of:default")
    again = house.run("bulk", "apply", str(plan), "--yes", "--detach")
    assert again.returncode == 0, again.stderr
    house.start_worker()
    eventually(lambda: runs.newest(1)[0].state is RunState.DONE)
    assert not set(links) & house.sandbox.links()


def test_pause_and_cancel_from_the_command_line(house: House) -> None:
    plan = plan_of(house, many(house, 40))
    run_id = json.loads(house.run("bulk", "apply", str(plan), "--yes", "--detach", "--json").stdout)["run"]
    paused = json.loads(house.run("bulk", "pause", run_id, "--because", "lunch", "--json").stdout)
    assert (paused["state"], paused["why"]) == ("paused", "lunch")
    assert house.run("bulk", "pause", run_id).returncode == 2
    other = house.run("bulk", "apply", str(plan_of(house, [("calendar:address", 5, 5)])), "--yes", "--detach")
    assert other.returncode == 4
    assert f"run {run_id} has account 'default'" in other.stderr
    assert house.run("bulk", "cancel", run_id).returncode == 0
    assert house.run("bulk", "cancel", "nobody").returncode == 2
    house.start_worker()
    eventually(lambda: Runs(house.client).newest(1)[0].is_over)
    assert house.sandbox.actions() == []
