"""Nights with real workers: what a policy wants gone goes, once, whoever dies in between, and nothing else goes."""

import asyncio
import json
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.exits import CommandError
from gateway.reconciling import night_run
from gateway.reconciling.approving import Approval, approve
from gateway.reconciling.night_work import NightWork
from tests.harness import House, eventually
from tests.nights import DAY, KIND, Office, settings_for
from worker.stores import keys
from worker.stores.nights import NightLost, Nights
from worker.unlinking.night import Night, NightStatus
from worker.unlinking.runs import Steering

LINKS = {(KIND, parent, child) for parent in (1, 2, 3) for child in range(10, 20)}
APPLY = {"mode": "apply", "brakes": "max_share = 1.0"}


@pytest.fixture
def office(house: House) -> Office:
    """Thirty links below the parents 1, 2 and 3; a worker runs."""
    house.settings["UNLINKER_REQUESTS_PER_SECOND"] = "1000"
    house.sandbox.add_links(LINKS)
    house.start_worker()
    return Office(house.home, settings_for(house.redis_url, house.settings["UNLINKER_ONOFFICE_URL"]))


def there(house: House) -> set[tuple[str, int, int]]:
    """The links of the policy's kind that are there."""
    return {link for link in house.sandbox.links() if link[0] == KIND and link[1] < 10}


async def ended(office: Office, night: Night) -> Night:
    """A night that is begun, once it is over."""
    for _ in range(600):
        if night.status not in (NightStatus.PLANNING, NightStatus.RUNNING):
            return night
        await asyncio.sleep(0.1)
        night = await office.work.look_at(office.policy, night)
    raise AssertionError(f"not over: {night}")


async def test_a_night_unlinks_what_may_not_stay_and_a_second_one_nothing(house: House, office: Office) -> None:
    office.write(keep="ids = [10, 11]", **APPLY)
    night = await ended(office, await office.now())
    assert night.status is NightStatus.DONE
    assert there(house) == {link for link in LINKS if link[2] in (10, 11)}
    counts = {
        "scope": 3, "wanted": 2, "found": 30, "kept": 6, "unseen": 0, "planned": 24, "resurrected": 0,
        "unlinked": 24, "already_absent": 0, "failed": 0,
    }  # fmt: skip
    assert night.counts == counts
    assert night.run is not None
    assert [run.id for run in office.parts.doors.runs.newest(10)] == [night.run]
    assert night.why == "24 unlinked, 0 gone already, 0 failed"
    assert office.told.titles == [], "nobody need be told"
    second = await ended(office, await office.now())
    assert (second.status, second.why) == (NightStatus.DONE, "nothing to unlink")
    assert house.sandbox.call("GET", "stats")["deleted"] == 24
    deeds = json.loads(house.run("journal", "list", "--run", night.run, "--limit", "100", "--json").stdout)
    assert {deed["requested_by"] for deed in deeds} == {"policy sold"}
    assert {deed["reason"] for deed in deeds} == {"sold"}


async def test_failures_are_told_by_reason(house: House, office: Office) -> None:
    house.sandbox.add_links([(KIND, 1, 10)], undeletable=True)
    office.write(brakes="max_share = 1.0\nmax_failure_rate = 0.5", mode="apply")
    night = await ended(office, await office.now())
    assert (night.counts["unlinked"], night.counts["failed"], night.failures) == (29, 1, {"NotDeletable": 1})
    assert office.told.titles == ["sold: 1 link could not be unlinked"]


async def test_a_run_that_a_brake_stops_waits_for_somebody(house: House, office: Office) -> None:
    house.sandbox.call("PUT", "rights", {"undeletable_types": [KIND]})
    office.write(**APPLY)
    night = await ended(office, await office.now())
    assert night.status is NightStatus.STOPPED
    assert "of the canary failed" in night.why
    assert office.told.titles == [f"sold: stopped: {night.why}"]
    skipped = await office.look("2026-06-02T02:30:00")
    assert skipped is not None
    assert there(house) == LINKS
    house.sandbox.call("PUT", "rights", {"undeletable_types": []})
    assert house.run("bulk", "resume", str(night.run), "--max-failure-rate", "1").returncode == 0
    night = await ended(office, await resumed(office, night))
    assert (night.status, night.counts["unlinked"], night.counts["failed"]) == (NightStatus.DONE, 20, 10)


async def resumed(office: Office, night: Night) -> Night:
    for _ in range(300):
        night = await office.work.look_at(office.policy, night)
        if night.status is not NightStatus.STOPPED:
            return night
        await asyncio.sleep(0.1)
    raise AssertionError(night)


async def test_a_cancelled_run_ends_its_night_and_says_what_was_not_sent(house: House, office: Office) -> None:
    house.sandbox.fault("slow", None, params={"seconds": 1})
    office.write(**APPLY)
    night = await office.now()
    assert night.status is NightStatus.RUNNING
    assert office.parts.doors.runs.steer(str(night.run), Steering.CANCEL, "somebody", "wrong list")[0]
    night = await ended(office, night)
    assert night.status is NightStatus.DONE
    assert night.counts["unlinked"] + night.counts["cancelled"] == 30
    assert "its run was cancelled by somebody" in night.why


async def test_an_approval_reads_everything_again(house: House, office: Office) -> None:
    """Of the plan, one link may stay by now and one is gone; a link made since is not in it, and stays."""
    (house.home / "keep.csv").write_text("10\n")
    office.write(keep='file = "keep.csv"')
    night = await office.now()
    assert (night.status, night.counts["planned"]) == (NightStatus.WAITING, 27)
    (house.home / "keep.csv").write_text("10\n11\n")
    house.ended(house.unlink(KIND, 1, 12))
    house.sandbox.add_links([(KIND, 1, 30)])
    approval = Approval(by="somebody", because="ticket 4711")
    night = await ended(office, await approve(office.parts, office.policy, night.id, approval))
    assert night.status is NightStatus.DONE
    assert (night.counts["planned"], night.counts["changed"], night.counts["unlinked"]) == (23, 4, 23)
    assert there(house) == {link for link in LINKS if link[2] in (10, 11)} | {(KIND, 1, 30)}
    assert (night.approved_by, night.approved_because) == ("somebody", "ticket 4711")
    assert any(
        "somebody approved of it: ticket 4711; of its plan 4 links may stay by now" in each.text for each in night.story
    )
    with pytest.raises(CommandError, match="does not wait for anybody: it is done"):
        await approve(office.parts, office.policy, night.id, approval)
    deeds = json.loads(house.run("journal", "list", "--run", str(night.run), "--json").stdout)
    assert {deed["requested_by"] for deed in deeds} == {"policy sold, approved by somebody"}


async def test_a_link_that_somebody_made_anew_is_reported_or_unlinked_as_the_policy_says(
    house: House, office: Office
) -> None:
    office.write(**APPLY)
    await ended(office, await office.now())
    house.sandbox.add_links([(KIND, 1, 10), (KIND, 1, 99)])  # one made anew, one that is new
    night = await ended(office, await office.now())
    assert (night.counts["planned"], night.counts["resurrected"]) == (1, 1)
    assert night.resurrected == ((KIND, 1, 10),)
    assert there(house) == {(KIND, 1, 10)}
    assert office.told.titles == ["sold: 1 link there again"]
    office.write(on_resurrected="unlink", **APPLY)
    night = await ended(office, await office.now())
    assert (night.counts["planned"], night.counts["resurrected"], night.counts["unlinked"]) == (1, 1, 1)
    assert there(house) == set()


class Killed(BaseException):
    """As SIGKILL: nothing of ours runs after it."""


class Dying(Nights):
    """A store whose process dies at the n-th word to it, and says nothing more."""

    def __init__(self, office: Office, left: int) -> None:
        super().__init__(office.parts.doors.client, office.clock)
        self.left = left

    def __getattribute__(self, name: str) -> Any:
        if name in ("now", "begin", "save", "get", "open_night", "of_policy", "give_back", "handled"):
            self.left -= 1
            if self.left < 0:
                raise Killed
        return super().__getattribute__(name)


async def test_a_night_that_is_killed_anywhere_ends_as_if_it_were_not(house: House, office: Office) -> None:
    """At every word between a night's process and Redis: once it is begun, one run of all its links comes of it."""
    office.write(keep="ids = [10, 11]", **APPLY)
    done, kill_at, untouched = 0, 0, 0
    while True:
        house.sandbox.add_links(LINKS)
        office.clock.now += DAY
        office.parts.doors.client.delete(keys.JOURNAL)  # what was unlinked before is no matter here
        dying = NightWork(replace(office.parts, nights=Dying(office, kill_at)))
        try:
            await dying.now(office.policy)
            died = False
        except Killed:
            died = True
        office.parts.doors.client.delete(keys.night_lease("sold"))  # as when it runs out, a minute later
        night = office.nights()[0] if office.nights() else None
        if night is None or night.slot < int(office.clock.now):
            untouched += 1  # it died before anything was written
            assert there(house) >= LINKS
        else:
            night = await ended(office, await office.work.look_at(office.policy, night))
            assert (night.status, night.counts["unlinked"]) == (NightStatus.DONE, 24), (kill_at, night)
            assert there(house) == {link for link in LINKS if link[2] in (10, 11)}
            done += 1
        if not died:
            break
        kill_at += 1
    assert done >= 8, "kills at words from the beginning of the night to its run"
    assert 1 <= untouched <= 6
    stats = house.sandbox.call("GET", "stats")
    assert stats["deleted"] == 24 * done


async def test_who_was_held_up_before_a_run_does_not_start_it_a_second_time(
    house: House, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process sleeps just before it starts the run; another takes over, and does the night; the first wakes up."""
    office.write(**APPLY)
    asleep, wake = threading.Event(), threading.Event()
    launch = night_run._launch

    def sleep_first(*arguments: Any) -> None:
        if not asleep.is_set():
            asleep.set()
            wake.wait(60)
        launch(*arguments)

    monkeypatch.setattr(night_run, "_launch", sleep_first)
    first = asyncio.create_task(office.now())
    while not asleep.is_set():
        await asyncio.sleep(0.02)
    house.client.delete(keys.night_lease("sold"))
    (night,) = office.nights()
    night = await ended(office, await office.work.look_at(office.policy, night))
    assert (night.status, night.counts["unlinked"]) == (NightStatus.DONE, 30)
    house.sandbox.add_links([(KIND, 1, 10)])  # somebody makes a link anew, and means it
    wake.set()
    with pytest.raises(NightLost, match="nothing was started"):
        await first
    await asyncio.sleep(1)
    assert there(house) == {(KIND, 1, 10)}
    assert office.nights() == [night], "and who lost the lease wrote nothing"


async def test_who_is_stopped_while_it_stores_a_run_mixes_no_rows_into_the_next_one(
    house: House, office: Office
) -> None:
    """A real process stands still with half of its rows stored; the night is planned anew, with a shorter plan."""
    generated = {"relationtype": KIND, "parents": 40, "children_per_parent": 1000, "first_parent": 100}
    house.sandbox.call("POST", "links/generate", generated)
    said = {"scope": f"ids = {list(range(100, 140))}", "brakes": "max_share = 1.0\nmax_deletions = 40000"}
    office.write(mode="apply", **said)
    first = house.start("reconcile", "run", "sold", "--now", UNLINKER_POLICIES_FILE=str(house.home / "policies.toml"))
    (run,) = eventually(lambda: list(house.client.scan_iter(f"{keys.RUN_PREFIX}*:rows:*")), every=0.001)
    first.popen.send_signal(signal.SIGSTOP)
    assert 0 < house.client.hlen(run) < 80, "it was stopped in the middle"
    house.client.delete(keys.night_lease("sold"))  # as when it runs out, a minute later
    house.sandbox.call("PATCH", "options", {"latency_ms": 50})
    office.write(mode="apply", keep=f"ids = {list(range(1, 901))}", **said)
    (night,) = office.nights()
    night = await office.work.look_at(office.policy, night)
    assert (night.status, night.counts["planned"]) == (NightStatus.RUNNING, 4000)
    first.popen.send_signal(signal.SIGCONT)
    night = await ended(office, night)
    assert (night.status, night.counts["unlinked"]) == (NightStatus.DONE, 4000)
    assert first.popen.wait(60) == 1
    assert "is looked after by somebody else" in first.text()
    left = {link for link in house.sandbox.links() if link[0] == KIND and link[1] >= 100}
    assert left == {(KIND, parent, child) for parent in range(100, 140) for child in range(1, 901)}
    assert [each.id for each in office.parts.doors.runs.newest(10)] == [night.run]


async def test_the_command_line_from_plan_to_report(house: House, office: Office, tmp_path: Path) -> None:
    office.write()
    path = str(house.home / "policies.toml")
    planned = house.run("reconcile", "plan", "sold", UNLINKER_POLICIES_FILE=path)
    assert planned.returncode == 0, planned.stderr
    assert "30  links to be unlinked (first night)" in planned.stdout
    listed = json.loads(house.run("reconcile", "status", "--json").stdout)
    (night,) = listed
    assert (night["status"], night["counts"]["planned"]) == ("waiting", 30)
    assert f"unlinker reconcile apply {night['id']}" in house.run("reconcile", "status").stderr
    held = house.run("reconcile", "apply", night["id"], UNLINKER_POLICIES_FILE=path)
    assert (held.returncode, "--because" in held.stderr) == (2, True)
    applied = house.run(
        "reconcile", "apply", night["id"], "--because", "t", "--yes", "--json", UNLINKER_POLICIES_FILE=path
    )
    assert applied.returncode == 0, applied.stderr
    found = json.loads(applied.stdout)
    assert (found["status"], found["counts"]["unlinked"]) == ("done", 30)
    assert found["drift"]["found"] == {"now": 30, "last": None, "mean": None}
    assert there(house) == set()
    ran = house.run("reconcile", "run", "sold", "--now", UNLINKER_POLICIES_FILE=path)
    assert (ran.returncode, "nothing to unlink" in ran.stdout) == (0, True)
    page = tmp_path / "night.html"
    assert house.run("reconcile", "status", "--night", night["id"], "--html", str(page)).returncode == 0
    assert "What was done, and why" in page.read_text()
    unknown = house.run("reconcile", "run", "other", "--now", UNLINKER_POLICIES_FILE=path)
    assert (unknown.returncode, "there are sold" in unknown.stderr) == (2, True)


async def test_the_command_line_at_a_brake_and_without_ground(house: House, office: Office) -> None:
    path = str(house.home / "policies.toml")
    office.write(mode="apply", brakes="max_deletions = 5")
    held = house.run("reconcile", "run", "sold", "--now", UNLINKER_POLICIES_FILE=path)
    assert held.returncode == 4
    assert "30 links would go, more than max_deletions = 5" in held.stderr
    assert "--max-deletions 30 --max-share 1" in held.stderr
    office.write(keep='file = "none.csv"')
    failed = house.run("reconcile", "run", "sold", "--now", UNLINKER_POLICIES_FILE=path)
    assert (failed.returncode, "nothing was unlinked: keep: " in failed.stderr) == (3, True)
    assert there(house) == LINKS
