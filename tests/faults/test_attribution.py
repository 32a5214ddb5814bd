"""Who removed it: every end says so, undo brings back what may have been ours, and reads that lag take nothing back."""

import itertools
import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.embedded_valkey import ensure_running
from tests.harness import House, eventually
from worker.stores import keys

KIND = "estate:address:owner"
Link = tuple[str, int, int]
FAST = {"UNLINKER_REQUESTS_PER_SECOND": "100", "UNLINKER_REQUEST_TIMEOUT": "3"}
_parents = itertools.count(1000)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One worker for all tests here; each has links of its own."""
    house = House(tmp_path_factory.mktemp("attribution") / "house", settings=dict(FAST))
    try:
        house.start_sandbox()
        house.start_worker(UNLINKER_READ_LAG="60")
        yield house
    finally:
        house.close()


@pytest.fixture
def home(shared: House) -> Iterator[House]:
    """The shared house, without the faults of the test before."""
    yield shared
    shared.sandbox.call("DELETE", "faults")
    shared.sandbox.call("PATCH", "options", {"read_lag_s": 0, "absent_code": 168})


def some(house: House, count: int, *, there: bool = True) -> list[Link]:
    """New links of one parent, and one beside them that stays, so that this account is seen to see such links."""
    parent = next(_parents)
    links = [(KIND, parent, child) for child in range(1, count + 1)]
    house.sandbox.add_links([*(links if there else []), (KIND, parent, 999)])
    return links


def applied(house: House, links: Sequence[Link], *, gone: Sequence[Link] = ()) -> str:
    """A run, planned while the links are there; it is over. `gone`: somebody else removed these in between."""
    name = f"run-{links[0][1]}"
    source, plan = house.home / f"{name}.csv", house.home / f"{name}.plan"
    source.write_text("relationtype,parentid,childid\n" + "".join(f"{k},{p},{c}\n" for k, p, c in links))
    assert house.here("bulk", "plan", str(source), "--out", str(plan)).returncode == 0
    removed = [{"relationtype": kind, "parentid": parent, "childid": child} for kind, parent, child in gone]
    if removed:
        house.sandbox.call("DELETE", "links", removed)
    why = ("--yes", "--because", "test", "--max-failure-rate", "1", "--canary", "0")
    house.here("bulk", "apply", str(plan), *why)
    with plan.open() as file:
        return str(json.loads(file.readline())["id"])


def undone(house: House, *chosen: str) -> dict[str, Any]:
    """The plan of an undo as a document."""
    out = house.home / f"{next(_parents)}.undo.plan"
    found = house.here("undo", "plan", *chosen, "--out", str(out), "--json")
    return dict(json.loads(found.stdout or "{}"))


def report(house: House, run: str) -> tuple[dict[str, Any], list[str]]:
    """A run's summary, and the lines of what was absent already."""
    folder = house.home / f"report-{run}"
    house.here("bulk", "report", run, "--out", str(folder))
    lines = (Path(folder) / "already_absent.csv").read_text().splitlines()
    return dict(json.loads((folder / "summary.json").read_text())), lines


COMMITTED = [
    ("unavailable_503", {"done": True}, "unlinked"),
    ("throttle_429", {"done": True, "retry_after": "1"}, "unlinked"),
    ("bad_gateway_502", {"done_after": 0.3}, "unlinked"),
    ("reset_after", {}, "unlinked"),
    ("drop_results", {"count": 50}, "unlinked"),
    ("request_code", {"code": 1, "done": True}, "unlinked"),
    ("action_code", {"code": 168, "done": True}, "already_absent"),
    ("action_code", {"code": 262, "done": True}, "already_absent"),
    ("action_code", {"code": 999, "done": True}, "already_absent"),
    ("doubled", {}, "already_absent"),
]


@pytest.mark.parametrize(("fault", "params", "outcome"), COMMITTED)
def test_a_run_whose_deletes_were_carried_out_and_answered_otherwise_is_undone(
    home: House, fault: str, params: dict[str, Any], outcome: str
) -> None:
    links = some(home, 5)
    home.sandbox.fault(fault, params=params, match={"parentid": links[0][1], "action": "delete"})
    run = applied(home, links)
    rows = home.ask("journal", "list", "--run", run)
    assert {(row["outcome"], row["by"]) for row in rows} <= {(outcome, "unknown"), ("unlinked", "us")}
    assert "unknown" in {row["by"] for row in rows}
    plan = undone(home, "--run", run)
    assert (plan["rows"], plan["by_us"] + plan["by_unknown"]) == (5, 5)
    assert plan["by_unknown"] == sum(row["by"] == "unknown" for row in rows)
    assert all(each["why"] for each in plan["unknown"])
    certain = undone(home, "--run", run, "--only-certain")
    assert certain.get("rows", 0) == plan["by_us"]


def test_what_somebody_else_removed_before_is_flagged_and_not_called_certain(home: House) -> None:
    """Every action answers a code that says nothing about deleting; half of the links were removed by others."""
    links = some(home, 6)
    match = {"parentid": links[0][1], "action": "delete"}
    home.sandbox.fault("action_code", times=None, params={"code": 999, "done": True}, match=match)
    run = applied(home, links, gone=links[:3])
    summary, lines = report(home, run)
    assert summary["outcomes"] == {"already_absent": 6}
    assert (summary["by"], summary["seen_when_planned"]) == ({"us": 0, "unknown": 6, "not_us": 0}, 6)
    head, *rows = (line.split(",") for line in lines)
    assert {(row[head.index("by")], row[head.index("seen_when_planned")]) for row in rows} == {("unknown", "yes")}
    plan = undone(home, "--run", run)
    assert (plan["by_us"], plan["by_unknown"]) == (0, 6)
    assert home.here("undo", "plan", "--run", run, "--only-certain").returncode == 1, "nothing of it is certain"


NEVER = (1, 127, 173, 180, 185, 255, 404, 999)  # the rest of them in tests/unit/test_unlinker.py


def test_codes_on_links_that_never_were_are_already_absent_and_not_ours(home: House) -> None:
    links = {code: some(home, 1, there=False)[0] for code in NEVER}
    for code, link in links.items():
        match = {"parentid": link[1], "action": "delete"}
        home.sandbox.fault("action_code", times=None, params={"code": code}, match=match)
    # a request meets the first rule that fits, so each job goes alone
    found = {code: home.ended(home.unlink(*link)) for code, link in links.items()}
    assert {(each["outcome"], each["by"]) for each in found.values()} == {("already_absent", "not_us")}, found


def test_a_letter_says_whether_it_was_read_back(home: House) -> None:
    (there,), (unread,) = some(home, 1), some(home, 1)
    match = {"parentid": there[1], "action": "delete"}
    home.sandbox.fault("action_code", times=None, params={"code": 173}, match=match)
    letter = home.unlink(*there)
    assert home.ended(letter)["reason"] == "NotDeletable"
    shown = home.ask("dead", "show", letter)
    assert (shown["read_back"], shown["read_back_showed"], shown["by"]) == (True, "present", "not_us")
    assert shown["read_back_at"] == pytest.approx(shown["ended_at"], abs=5)
    assert "it was there" in home.here("dead", "show", letter).stdout
    home.sandbox.call("DELETE", "faults")
    home.sandbox.fault("action_code", params={"code": 262, "done": True}, match={"childid": 1, "action": "delete"})
    home.sandbox.fault("action_code", times=None, params={"code": 156}, match={"action": "get"})
    blind = home.unlink(*unread)
    assert home.ended(blind)["reason"] == "MissingRight"
    shown = home.ask("dead", "show", blind)
    assert (shown["read_back"], shown["read_back_at"]) == (False, None)
    assert "nobody looked" in home.here("dead", "show", blind).stdout


def test_lost_answers_and_failing_reads_leave_letters_that_undo_covers(home: House) -> None:
    links = some(home, 4)
    home.sandbox.fault("reset_after", match={"parentid": links[0][1], "action": "delete"})
    home.sandbox.fault("action_code", times=None, params={"code": 80}, match={"action": "get"})
    ids = [home.unlink(*link) for link in links[:1]]
    documents = home.all_ended(ids)
    home.sandbox.call("DELETE", "faults")
    assert {(each["outcome"], each["by"]) for each in documents.values()} == {("dead", "unknown")}
    plan = undone(home, "--job", ids[0])
    assert (plan["rows"], plan["by_unknown"]) == (1, 1)


def test_a_replay_knows_that_its_link_was_seen(home: House) -> None:
    """It was seen after a refusal; then its replay removes it, and an error is told."""
    links = some(home, 1)
    match = {"parentid": links[0][1], "action": "delete"}
    home.sandbox.fault("action_code", params={"code": 180}, match=match)
    run = applied(home, links)
    (letter,) = home.ask("dead", "list", "--run", run)["letters"]
    assert (letter["reason"], letter["by"], letter["read_back_showed"]) == ("NotDeletable", "unknown", "present")
    home.sandbox.fault("action_code", params={"code": 168, "done": True}, match=match)
    replay = ("dead", "replay", letter["id"], "--force", "--yes", "--because", "test")
    assert home.here(*replay).returncode == 0
    ends = ("already_absent", "unlinked")
    end = eventually(lambda: [row for row in home.ask("journal", "list", "--run", run) if row["outcome"] in ends])
    assert (end[0]["outcome"], end[0]["by"]) == ("already_absent", "unknown")
    assert undone(home, "--run", run)["by_unknown"] == 1


def test_a_job_in_doubt_that_expires_is_read_back(home: House) -> None:
    (link,) = some(home, 1)
    home.sandbox.fault("reset_after", match={"parentid": link[1], "action": "delete"})
    home.sandbox.fault("unavailable_503", times=None, match={"action": "get"})
    deadline = time.time() + 2
    job_id = home.unlink(*link, not_after=deadline)
    eventually(lambda: home.status(job_id) == "unverified" and time.time() > deadline)
    home.sandbox.call("DELETE", "faults")
    found = home.ended(job_id)
    assert (found["outcome"], found["by"]) == ("unlinked", "unknown")


def test_lost_answers_and_a_lag_of_ten_seconds_end_as_what_they_are(home: House) -> None:
    links = some(home, 3)
    home.sandbox.call("PATCH", "options", {"read_lag_s": 10})
    match = {"parentid": links[0][1], "action": "delete"}
    home.sandbox.fault("reset_after", times=None, match=match)
    documents = home.all_ended([home.unlink(*link) for link in links])
    assert {(each["outcome"], each["by"]) for each in documents.values()} == {("unlinked", "unknown")}


def test_a_success_outlives_lagging_reads_and_dead_workers(tmp_path: Path) -> None:
    always = {"UNLINKER_VERIFY": "always", "UNLINKER_READ_LAG": "60", "UNLINKER_REQUEST_TIMEOUT": "30"}
    house = House(tmp_path / "house", settings={**FAST, **always})
    try:
        house.start_sandbox()
        worker = house.start_worker()
        links = some(house, 30)
        house.sandbox.call("PATCH", "options", {"read_lag_s": 8})
        ids = [house.unlink(*link) for link in links]
        eventually(lambda: all(house.status(job_id) == "unverified" for job_id in ids))
        worker.kill()  # what was answered outlives the process
        house.start_worker()
        documents = house.all_ended(ids)
        assert Counter((e["outcome"], e["by"], e["proven"]) for e in documents.values()) == {
            ("unlinked", "us", True): 30
        }
        assert len(house.sandbox.actions()) == 30, "what was answered with success is not sent again"
        _killed_while_it_reads_back(house)
    finally:
        house.close()


def _killed_while_it_reads_back(house: House) -> None:
    """What was answered outlives a worker that dies before the read-back is answered."""
    house.sandbox.call("PATCH", "options", {"read_lag_s": 0})
    jobs, rows = some(house, 10), some(house, 10)
    house.sandbox.fault("hang_before", times=None, params={"seconds": 60}, match={"action": "get"})
    ids = [house.unlink(*link) for link in jobs]
    chunk = house.push_chunk([list(link) for link in rows])

    def noted() -> int:
        found: list[Any] = [house.client.hget(keys.job(job_id), "succeeded") or b"" for job_id in [*ids, chunk]]
        return sum(int(each.count(b",")) for each in found)

    eventually(lambda: noted() == 20)
    house.processes[-1].kill()
    house.sandbox.call("DELETE", "faults")
    house.start_worker()
    assert {(each["outcome"], each["by"]) for each in house.all_ended(ids).values()} == {("unlinked", "us")}
    house.ended(chunk)
    assert house.rows(chunk) == b"u" * 10


def test_look_first_tells_ours_from_others_for_plain_jobs(tmp_path: Path) -> None:
    house = House(tmp_path / "house", settings={**FAST, "UNLINKER_LOOK_FIRST": "true"})
    try:
        house.start_sandbox()
        house.start_worker()
        ours, absent = some(house, 3), some(house, 3, there=False)
        house.sandbox.fault("doubled", times=None, match={"action": "delete"})
        mine = house.all_ended([house.unlink(*link) for link in ours])
        others = house.all_ended([house.unlink(*link) for link in absent])
        assert {(each["outcome"], each["by"]) for each in mine.values()} == {("already_absent", "unknown")}
        assert {(each["outcome"], each["by"]) for each in others.values()} == {("already_absent", "not_us")}
        assert {action["parentid"] for action in house.sandbox.actions()} == {ours[0][1]}
        assert undone(house, "--since", "1h")["by_unknown"] == 3
    finally:
        house.close()


def test_what_redis_forgot_is_unknown_and_what_came_later_is_not(tmp_path: Path) -> None:
    """A failover, or a restart, that lacks what was told last: everything is sent again, and is not there."""
    house = House(tmp_path / "house", settings=dict(FAST))
    try:
        house.start_sandbox()
        house.client.config_set("appendfsync", "always")
        first = house.start_worker()
        house.ended(house.unlink(*some(house, 1)[0]))  # the server is known from here
        first.terminate()
        links, strangers = some(house, 20), some(house, 10)
        ids = [house.unlink(*link) for link in links]
        ids += [house.push({"relationtype": KIND, "parentid": p, "childid": c}) for _, p, c in strangers]
        shutil.copytree(house.home / "valkey" / "appendonlydir", tmp_path / "before")
        house.start_worker()
        assert {each["by"] for each in house.all_ended(ids).values()} == {"us"}
        _restore(house, tmp_path / "before")
        again = house.all_ended(ids)
        assert Counter((each["outcome"], each["by"]) for each in again.values()) == {("already_absent", "unknown"): 30}
        (later,) = some(house, 1, there=False)
        house.client.hset(keys.SERVER, "changed_at", 1)  # as if that had been long ago
        assert house.ended(house.unlink(*later))["by"] == "not_us"
        assert undone(house, "--since", "1h")["by_unknown"] == 30
    finally:
        house.close()


def _restore(house: House, before: Path) -> None:
    """Redis dies, and comes back as it was before."""
    pid = int(house.client.info("server")["process_id"])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    shutil.rmtree(house.home / "valkey" / "appendonlydir")
    shutil.copytree(before, house.home / "valkey" / "appendonlydir")
    ensure_running(house.home)
