"""`unlinker bulk report` after, during and in spite of everything that can happen to a run."""

import csv
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.accounts import load_accounts
from config.embedded_valkey import stop
from config.settings import Settings
from gateway import cli
from gateway.plan_file import read_head, write_plan
from gateway.plan_file import rows as rows_of
from gateway.running import target
from tests.faults.test_workers import fast, many
from tests.harness import House, eventually
from worker.stores import keys
from worker.stores.runs import Runs, RunTerms, row_of
from worker.unlinking.job import Relation
from worker.unlinking.plan import Action, PlanDraft, PlanRow, Standing
from worker.unlinking.runs import Layout, RunState, chunk_id

Link = tuple[str, int, int]
COLUMNS = ("relationtype", "customer", "note")


def rows(links: Sequence[Link], standing: Standing = Standing.PRESENT, first: int = 2) -> list[PlanRow]:
    """Rows of a plan as an input with a free text beside each link would give them."""
    return [
        PlanRow(Relation(*link), standing, str(line), (link[0].upper(), f"Müller {line}", "=HYPERLINK(1)"))
        for line, link in enumerate(links, start=first)
    ]


def plan_of(house: House, planned: Sequence[PlanRow], **changes: Any) -> Path:
    settings = Settings(
        onoffice_url=house.settings["UNLINKER_ONOFFICE_URL"],
        onoffice_token=house.settings["UNLINKER_ONOFFICE_TOKEN"],
        onoffice_secret=house.settings["UNLINKER_ONOFFICE_SECRET"],
    )
    values: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "action": Action.UNLINK,
        "account": "default",
        "made_at": time.time(),
        "expires_at": time.time() + 3600,
        "made_by": "tests",
        "because": "spring",
        "source": "links.csv",
        "columns": COLUMNS,
        "target": target(settings, load_accounts(settings)["default"]),
    }
    draft = PlanDraft(**(values | changes))
    path = house.home / f"{draft.id}.plan"
    write_plan(path, draft, planned)
    return path


@dataclass
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Desk:
    """Where commands are given: in this process, since starting one for each would take most of the time."""

    house: House
    patch: pytest.MonkeyPatch
    captured: pytest.CaptureFixture[str]

    def run(self, *command: str) -> Done:
        """`unlinker COMMAND`."""
        for name, value in self.house.environment().items():
            self.patch.setenv(name, value)
        self.captured.readouterr()
        code = cli.run(list(command))
        told = self.captured.readouterr()
        return Done(code, told.out, told.err)

    def apply(self, plan: Path) -> str:
        """Apply a plan and leave; the run's id."""
        done = self.run("bulk", "apply", str(plan), "--yes", "--detach", "--max-deletions", "9999")
        assert done.returncode == 0, done.stderr
        return plan.stem

    def report(self, run_id: str, *options: str, code: int = 1) -> dict[str, Any]:
        """Make the report; its summary."""
        done = self.run("bulk", "report", run_id, "--json", *options)
        assert done.returncode == code, done.stderr
        summary: dict[str, Any] = json.loads(done.stdout)
        kept = json.loads((self.house.home / summary["folder"] / "summary.json").read_text())
        assert kept == {name: value for name, value in summary.items() if name != "folder"}
        return summary


@pytest.fixture
def desk(house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """A desk in the house."""
    monkeypatch.chdir(house.home)
    return Desk(house, monkeypatch, capsys)


def over(house: House, run_id: str) -> None:
    eventually(lambda: (run := Runs(house.client).get(run_id)) is not None and run.is_over)


def lines(house: House, summary: dict[str, Any], part: str) -> list[dict[str, str]]:
    """The rows of one of its files; as many as the summary says."""
    with (house.home / summary["folder"] / f"{part}.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file, strict=True))
    assert len(found) == summary["files"][part]
    return found


def test_a_report_tells_what_became_of_every_row(house: House, desk: Desk) -> None:
    fast(house)
    links = many(house, 300)
    kept = [("estate:address:owner", 7, child) for child in (1, 2, 3)]
    house.sandbox.add_links(kept, undeletable=True)
    gone, seen_absent = ("calendar:address", 9000, 9), ("calendar:address", 9001, 9)
    planned = [
        *rows([*links, *kept, gone]),
        *rows([seen_absent], Standing.ABSENT, 400),
        *rows([("user:messengerUser:is", 1, 2)], Standing.REFUSED, 401),
    ]
    run_id = desk.apply(plan_of(house, planned))
    house.start_worker()
    over(house, run_id)
    found = desk.report(run_id)
    assert found["files"] == {"succeeded": 300, "already_absent": 2, "failed": 3, "unprocessed": 1}
    assert found["outcomes"] == {"already_absent": 2, "dead": 3, "unlinked": 300}
    assert (found["state"], found["because"], found["lost"], found["succeeded"]) == ("done", "spring", 0, False)
    assert [(each["reason"], each["count"]) for each in found["failures"]] == [("NotDeletable", 3)]
    assert found["planned"] == {"sent": 304, "left_out": 2}
    assert found["progress"][-1][1:] == [304, 3]
    assert 0 < found["share_of_limit"] <= 1

    succeeded = lines(house, found, "succeeded")
    assert {(each["relationtype"], int(each["parentid"]), int(each["childid"])) for each in succeeded} == set(links)
    first = next(each for each in succeeded if each["row"] == "0")
    assert first["input_relationtype"] == "CALENDAR:ADDRESS"
    assert (first["customer"], first["source"], first["outcome"]) == ("Müller 2", "2", "unlinked")
    assert first["note"] == "'=HYPERLINK(1)", "no spreadsheet runs what came from outside"
    assert {(each["proven"], each["by"], each["evidence"]) for each in succeeded} == {("yes", "us", "answered")}

    absent = {each["parentid"]: each for each in lines(house, found, "already_absent")}
    assert absent["9000"]["row"] == "303"
    assert absent["9000"]["message"] == "it was seen when it was planned"
    assert {parent: (each["by"], each["seen_when_planned"]) for parent, each in absent.items()} == {
        "9000": ("unknown", "yes"),
        "9001": ("not_us", ""),
    }
    assert (absent["9001"]["row"], absent["9001"]["source"], absent["9001"]["message"]) == (
        "",
        "400",
        "seen absent when planned",
    )
    assert {(each["outcome"], each["reason"], each["letter"]) for each in lines(house, found, "failed")} == {
        ("dead", "NotDeletable", "waits")
    }
    (refused,) = lines(house, found, "unprocessed")
    assert (refused["reason"], refused["outcome"]) == ("refused", "")

    page = (house.home / found["folder"] / "report.html").read_text()
    assert "Unlink it by hand" in page
    told = house.run("bulk", "report", run_id)
    assert told.returncode == 1
    assert "succeeded                300" in told.stdout
    assert "NotDeletable" in told.stdout
    assert "\x1b" not in told.stdout + told.stderr, "plain where there is no terminal"


def test_dead_letters_are_followed_to_their_replays(house: House, desk: Desk) -> None:
    fast(house)
    kept = [("estate:address:owner", 7, child) for child in (1, 2, 3)]
    house.sandbox.add_links(kept, undeletable=True)
    run_id = desk.apply(plan_of(house, rows([*many(house, 40), *kept])))
    house.start_worker()
    over(house, run_id)
    house.sandbox.call("DELETE", "links")
    house.sandbox.add_links(kept[:1])
    house.sandbox.add_links(kept[1:], undeletable=True)
    letters = {
        name: f"{chunk_id(run_id, 1)}:{place}" for name, place in (("mended", 30), ("kept", 31), ("given up", 32))
    }
    done = desk.run("dead", "replay", letters["mended"], letters["kept"], "--because", "mended", "--yes")
    assert done.returncode == 0, done.stderr
    assert desk.run("dead", "discard", letters["given up"], "--because", "leave it", "--yes").returncode == 0
    replays = [house.job(letters[name])["replayed_as"] for name in ("mended", "kept")]
    house.all_ended(replays)

    found = desk.report(run_id)
    assert found["files"] == {"succeeded": 41, "already_absent": 0, "failed": 2, "unprocessed": 0}
    assert found["succeeded_by_replay"] == 1
    assert found["letters"] == {"waits": 1, "replayed": 1, "discarded": 1, "forgotten": 0}
    mended = next(each for each in lines(house, found, "succeeded") if each["replayed_as"])
    assert (mended["childid"], mended["outcome"], mended["replayed_as"]) == ("1", "unlinked", replays[0])
    failed = {each["childid"]: each for each in lines(house, found, "failed")}
    assert (failed["2"]["letter"], failed["2"]["replayed_as"]) == ("waits", replays[1])
    assert failed["3"]["letter"] == "discarded"


def started(house: House, plan: Path) -> str:
    """A run of a plan to restore, as an undo starts it; its id."""
    head, runs = read_head(plan), Runs(house.client)
    terms = RunTerms(
        id=head.id,
        account=head.account,
        action=head.action,
        layout=Layout(head.rows),
        max_failure_rate=1.0,
        by="tests",
        because=head.because,
        plan=str(plan),
        plan_sha256=head.sha256,
    )
    list(runs.load(terms, (row_of(row.relation) for row, _ in zip(rows_of(plan), range(head.rows), strict=False))))
    assert runs.open(terms) == "started"
    return head.id


def test_a_restore_is_told_of_alike_and_so_are_its_replays(house: House, desk: Desk) -> None:
    fast(house)
    links = [("estate:address:owner", 50, child) for child in range(1, 13)]
    house.sandbox.add_links(links[:1])
    for child in (2, 3):
        house.sandbox.fault("action_code", params={"code": 173}, match={"action": "create", "childid": child})
    planned = [*rows(links, Standing.NOT_SEEN), *rows([("estate:address:owner", 51, 1)], Standing.PRESENT, 90)]
    plan = plan_of(house, planned, action=Action.RESTORE)
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "1"
    house.start_worker()
    run_id = started(house, plan)
    over(house, run_id)
    found = desk.report(run_id)
    assert found["files"] == {"succeeded": 9, "already_present": 2, "failed": 2, "unprocessed": 0}
    assert [(each["reason"], each["count"]) for each in found["failures"]] == [("NotRestorable", 2)]
    assert {each["parentid"]: each["message"] for each in lines(house, found, "already_present")} == {
        "50": "",
        "51": "seen present when planned",
    }
    house.sandbox.fault("action_code", params={"code": 173}, match={"action": "create", "childid": 3})
    letters = [f"{chunk_id(run_id, 0)}:{place}" for place in (1, 2)]
    assert desk.run("dead", "replay", *letters, "--because", "mended", "--yes").returncode == 0
    house.all_ended([house.job(letter)["replayed_as"] for letter in letters])
    again = desk.report(run_id)
    assert again["files"] == {"succeeded": 10, "already_present": 2, "failed": 1, "unprocessed": 0}
    mended = next(each for each in lines(house, again, "succeeded") if each["replayed_as"])
    assert (mended["childid"], mended["outcome"]) == ("2", "restored")
    (failed,) = lines(house, again, "failed")
    assert (failed["childid"], failed["reason"], failed["letter"]) == ("3", "NotRestorable", "waits")
    assert failed["replayed_as"] == house.job(letters[1])["replayed_as"] + ":0", "where the letter is now"


def test_a_report_of_a_run_that_goes_on_says_so_and_is_made_anew(house: House, desk: Desk) -> None:
    fast(house)
    house.sandbox.call("PATCH", "options", {"latency_ms": 30})
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "10"
    run_id = desk.apply(plan_of(house, rows(many(house, 2500))))
    worker = house.start_worker()
    eventually(lambda: (run := Runs(house.client).get(run_id)) is not None and run.done > 100)
    house.sandbox.call("PATCH", "options", {"latency_ms": 20_000})  # so that it goes on for as long as we look
    found = desk.report(run_id)
    worker.kill()
    assert found["state"] == "running"
    assert "still going on" in found["notes"][0]
    assert 100 < found["files"]["succeeded"] < 2500
    assert sum(found["files"].values()) == 2500
    assert {each["reason"] for each in lines(house, found, "unprocessed")} <= {"not_sent", "sent"}
    killed = desk.report(run_id)
    assert killed["unprocessed"]["sent"] > 0, "what the dead worker had sent is not known yet"
    house.sandbox.call("PATCH", "options", {"latency_ms": 0})
    house.start_worker()
    over(house, run_id)
    assert desk.report(run_id, code=0)["files"]["succeeded"] == 2500
    assert [path.name for path in house.home.glob(".*.part*")] == []


def test_runs_that_were_stopped_or_cancelled(house: House, desk: Desk) -> None:
    fast(house)
    kept = [("estate:address:owner", 7, child) for child in range(1, 41)]
    house.sandbox.add_links(kept, undeletable=True)
    run_id = desk.apply(plan_of(house, rows(kept)))
    house.start_worker()
    eventually(lambda: (run := Runs(house.client).get(run_id)) is not None and run.state is RunState.STOPPED)
    stopped = desk.report(run_id)
    assert stopped["files"] == {"succeeded": 0, "already_absent": 0, "failed": 10, "unprocessed": 30}
    assert "canary failed" in stopped["why"]
    assert stopped["brakes"]["stopped_at"] is not None
    assert desk.run("bulk", "cancel", run_id, "--because", "wrong file").returncode == 0
    over(house, run_id)
    cancelled = desk.report(run_id)
    assert (cancelled["state"], cancelled["unprocessed"]) == ("cancelled", {"not_sent": 30})
    assert {each["message"] for each in lines(house, cancelled, "unprocessed")} == {"not sent: the run was cancelled"}


def test_without_its_plan_a_report_is_made_from_what_redis_keeps(house: House, desk: Desk) -> None:
    fast(house)
    plan = plan_of(house, [*rows(many(house, 40)), *rows([("calendar:address", 9001, 9)], Standing.ABSENT)])
    run_id = desk.apply(plan)
    house.start_worker()
    over(house, run_id)
    away = plan.rename(house.home / "elsewhere.plan")
    found = desk.report(run_id, code=0)
    assert found["files"] == {"succeeded": 40, "already_absent": 0, "failed": 0, "unprocessed": 0}
    assert "--plan FILE" in found["notes"][0]
    assert "customer" not in lines(house, found, "succeeded")[0]
    whole = desk.report(run_id, "--plan", str(away), code=0)
    assert (whole["files"]["already_absent"], whole["plan"]) == (1, str(away))
    # an edit shows at the end only: then the plan is not used, or refused where it was named
    text = away.read_text()
    away.write_text(text.replace("Müller 41", "Meier 41").replace("M\\u00fcller 41", "Meier 41"))
    edited = desk.run("bulk", "report", run_id, "--plan", str(away), "--out", "other")
    assert (edited.returncode, edited.stdout) == (2, "")
    assert "edited" in edited.stderr
    assert not (house.home / "other").exists()
    away.rename(plan)
    again = desk.report(run_id, code=0)
    assert "edited" in again["notes"][0]
    assert again["files"]["succeeded"] == 40


def test_a_run_that_has_not_begun(house: House, desk: Desk) -> None:
    plan = plan_of(house, rows(many(house, 40)))
    run_id = desk.apply(plan)
    # as a start that was killed while it stored the rows leaves it
    house.client.hset(keys.run(run_id), "state", "loading")
    house.client.hdel(keys.run(run_id), "started_at")
    house.client.delete(keys.RUNS_OPEN)
    found = desk.report(run_id)
    assert found["files"]["unprocessed"] == 40
    assert "has not begun" in found["notes"][0]
    plan.rename(plan.with_suffix(".away"))
    assert desk.report(run_id)["unprocessed"] == {"not_sent": 40}
    house.client.hdel(house.client.hget(keys.run(run_id), "rows_key") or b"", "1")
    done = desk.run("bulk", "report", run_id, "--out", "new")
    assert done.returncode == 2
    assert "not all stored" in done.stderr
    assert "--plan FILE" in done.stderr
    assert not (house.home / "new").exists()


def test_rows_whose_ends_are_lost_are_not_called_done(house: House, desk: Desk) -> None:
    fast(house)
    run_id = desk.apply(plan_of(house, rows(many(house, 40))))
    house.start_worker()
    over(house, run_id)
    house.client.delete(keys.rows(chunk_id(run_id, 0)))
    found = desk.report(run_id)
    assert found["files"] == {"succeeded": 30, "already_absent": 0, "failed": 0, "unprocessed": 10}
    assert (found["lost"], found["succeeded"]) == (10, False)
    assert "no longer kept" in lines(house, found, "unprocessed")[0]["message"]


def test_another_runs_plan_and_another_runs_folder_are_refused(house: House, desk: Desk) -> None:
    fast(house)
    links = many(house, 40)
    plan, other = plan_of(house, rows(links[:20])), plan_of(house, rows(links[20:]))
    first, second = desk.apply(plan), plan.stem
    house.start_worker()
    over(house, first)
    second = desk.apply(other)
    over(house, second)
    refused = desk.run("bulk", "report", first, "--plan", str(other))
    assert refused.returncode == 2
    assert "not the one that run" in refused.stderr
    desk.report(first, "--out", "mine", code=0)
    taken = desk.run("bulk", "report", second, "--out", "mine")
    assert taken.returncode == 2
    assert f"report of run {first}" in taken.stderr
    desk.report(first, "--out", "mine", code=0)


def test_a_run_that_nobody_knows(desk: Desk) -> None:
    for name in ("nobody", "../../nobody", ""):
        done = desk.run("bulk", "report", name)
        assert (done.returncode, done.stdout) == (2, "")
        assert "`unlinker bulk status`" in done.stderr


def test_a_run_whose_name_is_no_name_for_a_folder(house: House, desk: Desk) -> None:
    run_id = "../up"
    house.client.hset(
        keys.run(run_id), mapping={"state": "running", "rows": 1, "canary": 0, "size": 500, "account": "default"}
    )
    done = desk.run("bulk", "report", run_id)
    assert done.returncode == 2
    assert "--out" in done.stderr


def test_without_redis_it_ends_in_3(house: House, desk: Desk) -> None:
    stop(house.home)
    done = desk.run("bulk", "report", "nobody")
    assert done.returncode == 3
    assert "Redis cannot be reached" in done.stderr
