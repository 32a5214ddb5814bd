"""Nights up to their run: what is found, what waits, what is no ground to delete anything, and who may look when."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exits import CommandError, Exit
from gateway.reconciling.approving import Approval, approve
from gateway.reconciling.ledger import ledger_of
from gateway.reconciling.night_plan import planned_pairs
from gateway.reconciling.night_work import NightWork
from sandbox import Sandbox
from sandbox.faults import Rule
from tests.nights import DAY, HOUR, KIND, Office, berlin, settings_for
from worker.engine import polite_api
from worker.stores import keys
from worker.stores.halts import Halt, HaltedBy, encode
from worker.stores.nights import NightLost, Nights, Opened
from worker.unlinking.night import Night, NightStatus, night_id
from worker.unlinking.type_rules import TypeRules

LINKS = [(KIND, parent, child) for parent in (1, 2, 3) for child in (10, 11, 12)]


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules are those of a long wait; only the seconds are fewer."""
    monkeypatch.setattr(polite_api, "PAUSE", 0.02)
    monkeypatch.setattr(polite_api, "PROBE_PAUSE", 0.05)


@pytest.fixture
def office(tmp_path: Path, box: Sandbox, redis_url: str) -> Office:
    """A sandbox with nine links, below the parents 1, 2 and 3."""
    box.api.state.add(LINKS)
    return Office(tmp_path, settings_for(redis_url, box.url))


def fault(box: Sandbox, kind: str, times: int | None = 1, **rest: Any) -> None:
    box.api.faults.add([Rule.from_document({"kind": kind, "times": times, **rest})])


def plan(office: Office, night: Night) -> set[tuple[int, int]]:
    kept = office.parts.nights.plan(night.id)
    assert kept is not None
    return set(planned_pairs(kept))


def deletes(box: Sandbox) -> int:
    return sum(action.action == "delete" for request in box.api.state.log for action in request.actions)


async def test_a_night_finds_what_should_not_be_and_waits(office: Office, box: Sandbox) -> None:
    office.write(scope="ids = [1, 2, 4]", keep="ids = [11]")
    night = await office.now()
    assert night.status is NightStatus.WAITING
    assert night.counts == {
        "scope": 3, "wanted": 1, "found": 6, "kept": 2, "unseen": 0, "planned": 4, "resurrected": 0,
    }  # fmt: skip
    assert plan(office, night) == {(1, 10), (1, 12), (2, 10), (2, 12)}
    assert (night.why, night.over) == ("mode = plan", ())
    assert night.expires_at == office.clock.now + DAY
    assert office.told.titles == ["sold: 4 links to be approved of: mode = plan"]
    assert [each.text for each in night.story] == [
        "read 3 records of the scope and found 6 links; 2 may stay by a list of 1 rows",
        "4 links to be approved of: mode = plan",
    ]
    assert deletes(box) == 0


async def test_from_the_childrens_side_and_by_pairs(office: Office) -> None:
    office.write(scope='side = "children"\nids = [10, 12]', keep='of = "pairs"\nids = [[1, 10], [3, 12], [9, 9]]')
    night = await office.now()
    assert plan(office, night) == {(2, 10), (3, 10), (1, 12), (2, 12)}


async def test_what_may_stay_by_a_property_of_the_other_record(office: Office, box: Sandbox) -> None:
    """10 fits, 11 does not, 12 cannot be seen: nobody knows whether it fits, so its links stay."""
    for number, status in ((10, 1), (11, 0), (12, 0)):
        box.api.state.records.put("address", number, {"Status": status})
    box.api.state.records.hidden["address"] = {12}
    office.write(keep='where = [["Status", "=", 1]]')
    night = await office.now()
    assert plan(office, night) == {(1, 11), (2, 11), (3, 11)}
    assert (night.counts["kept"], night.counts["unseen"]) == (3, 3)
    assert "3 stay because the record that decides cannot be seen" in night.story[0].text


async def test_a_scope_that_onoffice_knows(office: Office, box: Sandbox) -> None:
    for number, sold in ((1, 1), (2, 0), (3, 1)):
        box.api.state.records.put("estate", number, {"verkauft": sold})
    office.write(scope='where = [["verkauft", "=", "1"]]')
    assert {parent for parent, _ in plan(office, await office.now())} == {1, 3}


async def test_a_second_night_finds_nothing(office: Office, box: Sandbox) -> None:
    for link in LINKS[1:]:
        box.api.state.remove(link)
    office.write(keep="ids = [10]")
    night = await office.now()
    assert (night.status, night.why) == (NightStatus.DONE, "nothing to unlink")
    assert office.told.titles == []


async def test_each_brake_makes_a_plan_wait_although_the_policy_may_apply_it(office: Office, box: Sandbox) -> None:
    box.api.state.add((KIND, 1, child) for child in range(100, 120))
    for brakes, option, value in (
        ("max_share = 1.0\nmax_deletions = 28", "--max-deletions", "29"),
        ("max_share = 0.9", "--max-share", "1"),
        ("max_share = 1.0\nmax_share_per_parent = 0.9", "--max-share-per-parent", "1"),
    ):
        office.write(mode="apply", brakes=brakes)
        night = await office.now()
        assert night.status is NightStatus.WAITING
        assert [(each["option"], each["value"]) for each in night.over] == [(option, value)]
        assert night.why == night.over[0]["why"]
    assert office.nights()[1].status is NightStatus.SUPERSEDED
    assert office.parts.nights.plan(office.nights()[1].id) is None
    assert deletes(box) == 0


ABORTS = [
    ({"scope": 'file = "none.csv"'}, {}, "scope: ", "cannot be read"),
    ({"keep": 'file = "none.csv"'}, {}, "keep: ", "cannot be read"),
    ({"keep": 'http = {url = "http://127.0.0.1:9/"}'}, {}, "keep: ", "cannot be reached"),
    ({"scope": "ids = []"}, {}, "the scope is empty", "allow_empty"),
    ({"keep": "ids = []"}, {}, "the list of what may stay is empty", "allow_empty"),
    ({"keep": "ids = [1]", "brakes": "expect_at_least = 2"}, {}, "what may stay has 1 rows", "expect_at_least = 2"),
    ({"scope": 'where = [["verkauft", "=", 1]]'}, {"kind": "drop_records", "params": {"count": 1}}, "scope: ", "due"),
    ({}, {"kind": "action_code", "times": None, "params": {"code": 170}}, KIND, "170"),
]


@pytest.mark.parametrize(("said", "broken", "start", "text"), ABORTS)
async def test_what_is_no_ground_to_delete_anything(
    office: Office, box: Sandbox, said: dict[str, str], broken: dict[str, Any], start: str, text: str
) -> None:
    for number in range(1, 8):
        box.api.state.records.put("estate", number, {"verkauft": 1})
    office.write(mode="apply", **said)
    if broken:
        fault(box, **broken)
    night = await office.now()
    assert night.status is NightStatus.ABORTED
    assert night.why.startswith(start)
    assert text in night.why
    assert night.run is None
    assert office.told.titles == [f"sold: aborted: {night.why}"]
    assert deletes(box) == 0
    assert office.parts.nights.open_night("sold") is None


async def test_a_type_that_was_never_seen_is_no_clean_house(office: Office, box: Sandbox) -> None:
    box.api.state.hidden_types.add(KIND)
    office.write(mode="apply")
    night = await office.now()
    assert night.status is NightStatus.ABORTED
    assert "never been seen to see one" in night.why
    office.parts.doors.client.sadd(keys.sightings("default"), KIND)
    assert (await office.now()).why == "nothing to unlink"


async def test_an_account_that_is_halted_or_not_there(office: Office) -> None:
    halt = encode(Halt(by=HaltedBy.OPERATOR, why="stop", since=0.0))
    office.parts.doors.client.hset(keys.HALTS, "default", halt)
    night = await office.now()
    assert (night.status, "halted" in night.why) == (NightStatus.ABORTED, True)
    office.policy = replace(office.policy, account="second")
    assert (await office.now()).why == "account 'second' is not set here"


async def test_a_protected_type_is_left_alone(office: Office) -> None:
    office.parts = replace(office.parts, rules=TypeRules.of([], [KIND]))
    office.work = NightWork(office.parts)
    office.write(mode="apply")
    night = await office.now()
    assert night.why == f"links of {KIND} are protected by UNLINKER_PROTECTED_TYPES"


# slots


async def test_a_new_policy_waits_for_its_first_slot(office: Office) -> None:
    assert await office.look("2026-06-01T12:00:00") is None
    assert await office.look("2026-06-02T02:29:59") is None
    night = await office.look("2026-06-02T02:30:05")
    assert night is not None
    assert (night.slot, night.id) == (berlin("2026-06-02T02:30:00"), "sold@20260602T003000Z")
    assert (night.status, night.missed) == (NightStatus.WAITING, 0)
    assert await office.look("2026-06-02T02:30:30") == night, "each slot once"
    assert len(office.nights()) == 1


async def test_a_slot_that_nobody_was_up_for_is_caught_up_once(office: Office) -> None:
    await office.look("2026-06-01T12:00:00")
    night = await office.look("2026-06-04T04:30:00")
    assert night is not None
    assert (night.id, night.status, night.missed) == ("sold@20260604T003000Z", NightStatus.WAITING, 2)
    assert len(office.nights()) == 1


async def test_a_slot_past_its_window_is_missed_and_said_so(office: Office) -> None:
    await office.look("2026-06-01T12:00:00")
    night = await office.look("2026-06-04T04:30:01")
    assert night is not None
    assert (night.status, night.missed) == (NightStatus.MISSED, 2)
    assert office.told.titles == ["sold: missed: nobody was up at 2026-06-04 02:30:00 CEST, nor within 2 h"]
    assert await office.look() is None
    night = await office.look("2026-06-05T02:30:00")
    assert night is not None
    assert night.status is NightStatus.WAITING


async def test_a_changed_schedule_counts_from_when_it_is_seen(office: Office) -> None:
    await office.look("2026-06-01T12:00:00")
    office.policy = replace(office.policy, timing=replace(office.policy.timing, cron="0 11 * * *"))
    assert await office.look("2026-06-02T11:30:00") is None
    night = await office.look("2026-06-03T11:00:00")
    assert night is not None
    assert night.status is NightStatus.WAITING


async def test_when_the_clock_is_set_each_night_is_one(office: Office) -> None:
    await office.look("2026-03-28T12:00:00")
    for wall in ("2026-03-29T01:59:59", "2026-03-29T03:00:00", "2026-03-29T03:30:00", "2026-03-30T02:30:00"):
        await office.look(wall)
    assert [night.id for night in office.nights()] == ["sold@20260330T003000Z", "sold@20260329T010000Z"]
    await office.look("2026-10-24T12:00:00")
    office.clock.now = berlin("2026-10-25T02:30:00")
    await office.look()
    office.clock.now += HOUR  # it shows 02:30 again
    await office.look()
    assert office.nights()[0].id == "sold@20261025T003000Z"
    assert sum("20261025" in night.id for night in office.nights()) == 1


async def test_a_night_by_hand_is_no_slot(office: Office) -> None:
    await office.look("2026-06-01T12:00:00")
    office.clock.turn_to("2026-06-02T02:00:00")
    by_hand = await office.now()
    assert by_hand.status is NightStatus.WAITING
    night = await office.look("2026-06-02T02:30:00")
    assert night is not None
    assert night.status is NightStatus.WAITING
    assert office.parts.nights.get(by_hand.id) == replace(
        by_hand,
        status=NightStatus.SUPERSEDED,
        why=f"night {night.id} came before anybody approved of it",
        ended_at=office.clock.now,
        story=office.nights()[1].story,
    )


async def test_two_wishes_within_a_second_are_one_night(office: Office) -> None:
    night = await office.now()
    assert await office.work.now(office.policy) == night
    office.parts.nights.take("sold", "me")
    assert office.parts.nights.begin("me", replace(night, status=NightStatus.DONE)) is Opened.EXISTS
    assert office.parts.nights.get(night.id) == night


async def test_a_plan_that_nobody_approved_expires(office: Office) -> None:
    night = await office.now()
    office.clock.now += DAY + 1
    assert await office.look() is not None
    expired = office.parts.nights.get(night.id)
    assert expired is not None
    assert expired.status is NightStatus.EXPIRED
    assert office.told.titles[-1] == "sold: expired: nobody approved of its plan in time"


# one at a time


async def test_two_that_look_at_once_are_one_night(office: Office, tmp_path: Path) -> None:
    await office.look("2026-06-01T12:00:00")
    office.clock.turn_to("2026-06-02T02:30:00")
    others = [Office(tmp_path, office.settings, office.clock) for _ in range(4)]
    await asyncio.gather(*(each.look() for each in [office, *others]))
    await asyncio.gather(*(each.look() for each in [office, *others]))
    assert len(office.nights()) == 1
    assert sum(len(each.told.titles) for each in [office, *others]) == 1


async def test_a_night_whose_worker_died_is_worked_out_anew_three_times_at_most(office: Office) -> None:
    ledger_night = replace(await begun(office), attempts=1)
    await saved(office, ledger_night)
    night = await office.look()
    assert night is not None
    assert (night.status, night.attempts) == (NightStatus.WAITING, 2)
    again = replace(await begun(office), attempts=3)
    await saved(office, again)
    await office.look()
    night = office.parts.nights.get(again.id)
    assert night is not None
    assert (night.status, night.why) == (NightStatus.ABORTED, "3 attempts to work it out ended with their worker")


async def begun(office: Office) -> Night:
    """A night that somebody has just begun, and died."""
    office.clock.now += DAY
    open_night = office.parts.nights.open_night("sold")
    if open_night is not None:
        await saved(office, open_night.ended(office.clock.now, NightStatus.DONE, ""))
    night = Night(
        id=night_id("sold", office.clock.now),
        policy="sold",
        account="default",
        slot=office.clock.now,
        started_at=office.clock.now,
        status=NightStatus.PLANNING,
    )
    async with ledger_of(office.parts.nights, "sold") as ledger:
        assert ledger is not None
        await ledger.begin(night)
    return night


async def saved(office: Office, night: Night) -> None:
    async with ledger_of(office.parts.nights, "sold") as ledger:
        assert ledger is not None
        await ledger.save(night)


async def test_who_lost_the_lease_can_write_nothing(office: Office) -> None:
    night = await begun(office)
    async with ledger_of(office.parts.nights, "sold") as slow:
        assert slow is not None
        office.parts.doors.client.delete(keys.night_lease("sold"))  # as when it ran out
        async with ledger_of(office.parts.nights, "sold") as quick:
            assert quick is not None
            with pytest.raises(NightLost):
                await slow.save(night)
            await quick.save(night)
        with pytest.raises(NightLost):
            await slow.save(night)


async def test_an_overlapping_night_is_skipped_and_said_so(office: Office) -> None:
    await office.look("2026-06-01T12:00:00")
    office.clock.turn_to("2026-06-01T13:00:00")
    runs = office.parts.doors.runs
    office.parts.doors.client.hset(keys.run("r1"), mapping={"state": "running", "account": "default", "rows": 1})
    night = replace(await begun(office), status=NightStatus.RUNNING, run="r1")
    await saved(office, night)
    assert runs.get("r1") is not None
    found = await office.look("2026-06-03T02:30:00")
    assert found is not None
    assert (found.status, found.why) == (NightStatus.SKIPPED, f"night {night.id} is still running")
    assert office.told.titles == [f"sold: skipped: {found.why}"]
    assert await office.look("2026-06-03T02:31:00") is not None
    assert len(office.nights()) == 2
    with pytest.raises(CommandError, match="has to end first"):
        await office.now()


async def test_a_night_waits_while_another_run_has_the_account(office: Office) -> None:
    client = office.parts.doors.client
    client.set(keys.run_slot("default"), "r1")
    client.sadd(keys.RUNS_OPEN, "r1")
    client.hset(keys.run("r1"), "state", "running")
    office.write(mode="plan")
    night = await office.now()
    assert (night.status, night.why, night.attempts) == (NightStatus.PLANNING, "run r1 has the account", 0)
    assert await office.look() == night
    client.delete(keys.run_slot("default"))
    found = await office.look()
    assert found is not None
    assert (found.status, found.id) == (NightStatus.WAITING, night.id)
    client.set(keys.run_slot("default"), "r1")
    night = await office.now()
    office.clock.now += 2 * HOUR + 1
    found = await office.look()
    assert found is not None
    assert (found.status, found.why) == (NightStatus.ABORTED, "run r1 had the account until it was too late")


# approval, as far as nothing is sent


async def refused(office: Office, night: Night, **bounds: Any) -> tuple[Exit, str]:
    with pytest.raises(CommandError) as error:
        await approve(office.parts, office.policy, night.id, Approval(by="me", because="t", **bounds))
    return error.value.code, str(error.value)


async def test_an_approval_is_held_by_the_same_brakes(office: Office, box: Sandbox) -> None:
    box.api.state.add((KIND, 1, child) for child in range(100, 120))
    office.write(brakes="max_share = 0.5\nmax_deletions = 10")
    night = await office.now()
    code, text = await refused(office, night)
    assert code is Exit.BRAKE
    assert text.endswith("allow it with --max-deletions 29 --max-share 1")
    code, text = await refused(office, night, max_deletions=29)
    assert text.endswith("allow it with --max-share 1")
    code, text = await refused(office, night, max_deletions=28, max_share=1.0)
    assert text.endswith("allow it with --max-deletions 29")
    assert office.parts.nights.get(night.id) == night, "nothing has happened to it"


async def test_what_cannot_be_approved_of(office: Office, box: Sandbox) -> None:
    night = await office.now()
    assert "no night 'sold@x'" in (await refused(office, replace(night, id="sold@x")))[1]
    office.write(keep="ids = [10]")
    assert "means something else now" in (await refused(office, night))[1]
    office.write()
    fault(box, "action_code", None, params={"code": 170})
    code, text = await refused(office, night)
    assert (code, text.startswith("nothing was sent: ")) == (Exit.UNREACHABLE, True)
    box.api.faults.clear()
    office.clock.now += DAY + 1
    assert "expired at" in (await refused(office, night))[1]
    await office.look()
    assert "does not wait for anybody: it is expired" in (await refused(office, night))[1]
    assert deletes(box) == 0


async def test_a_plan_of_which_nothing_is_left_is_done(office: Office, box: Sandbox) -> None:
    """The links are gone by themselves, or may stay by now: nothing is sent."""
    night = await office.now()
    for link in LINKS:
        box.api.state.remove(link)
    found = await approve(office.parts, office.policy, night.id, Approval(by="me", because="t"))
    assert (found.status, found.why) == (NightStatus.DONE, "nothing of the plan is left to unlink")
    assert (found.counts["planned"], found.counts["changed"]) == (0, 9)
    assert deletes(box) == 0
    assert [act.action for act in office.parts.doors.audit.acts()] == ["reconcile apply"]


# the store


NIGHTS = st.builds(
    Night,
    id=st.text(min_size=1),
    policy=st.text(min_size=1),
    account=st.text(),
    slot=st.floats(0, 1e10),
    started_at=st.floats(0, 1e10),
    status=st.sampled_from(NightStatus),
    ended_at=st.none() | st.floats(0, 1e10),
    why=st.text(),
    counts=st.dictionaries(st.text(), st.integers()),
    over=st.lists(st.fixed_dictionaries({"option": st.text(), "value": st.text(), "why": st.text()})).map(tuple),
    resurrected=st.lists(st.tuples(st.text(), st.integers(), st.integers())).map(tuple),
)


@given(NIGHTS, st.text())
def test_a_night_is_kept_as_it_is(night: Night, text: str) -> None:
    night = night.told(1.5, text)
    document = json.loads(json.dumps(night.document()))
    assert Night.from_document(document | {"of_a_later_version": 1}) == night


async def test_ninety_nights_are_kept(office: Office) -> None:
    nights = office.parts.nights
    first = await office.now()
    assert first.status is NightStatus.WAITING, "an open night is kept however old it is"
    nights.take("sold", "me")
    for number in range(1, 96):
        slot = office.clock.now + number * DAY
        nights.begin("me", replace(first, id=night_id("sold", slot), slot=slot, status=NightStatus.DONE))
    kept = nights.of_policy("sold", 1000)
    assert len(kept) == 91
    assert kept[-1] == first
    assert kept[-2].slot == office.clock.now + 6 * DAY
    client = office.parts.doors.client
    assert len(list(client.scan_iter(keys.night("*")))) == 91 + 1, "and the plan of the open one"


async def test_nights_read_the_servers_clock(office: Office) -> None:
    nights = Nights(office.parts.doors.client)
    seconds, _ = office.parts.doors.client.time()
    assert abs(nights.now() - seconds) < 5
