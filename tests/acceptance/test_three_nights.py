"""Three nights: 50,000 links and a policy; an outage, an approval, a link that somebody made anew. Time is turned."""

import asyncio
import json
import os
import signal
from pathlib import Path

from gateway.reconciling.approving import Approval, approve
from gateway.reconciling.night_work import NightWork
from gateway.reconciling.report import Report, text
from tests.harness import House
from tests.nights import KIND, Office, settings_for
from worker.unlinking.night import Night, NightStatus

PARENTS, CHILDREN = 1000, 50
SOLD = 400  # parents
STAYS = (1, 2, 3, 4, 5)  # children
FAST = {
    "UNLINKER_REQUESTS_PER_SECOND": "2000",
    "UNLINKER_ACTIONS_PER_REQUEST": "500",
    "UNLINKER_MAX_IN_FLIGHT": "8",
}


def prepared(house: House) -> Office:
    """50,000 links below 1,000 estates, of which 400 are sold; five addresses may stay whatever happens."""
    house.settings |= FAST
    body = {"relationtype": KIND, "parents": PARENTS, "children_per_parent": CHILDREN}
    house.sandbox.call("DELETE", "links")
    house.sandbox.call("POST", "links/generate", body)
    records = [{"resource": "estate", "id": n, "fields": {"verkauft": int(n <= SOLD)}} for n in range(1, PARENTS + 1)]
    house.sandbox.call("PUT", "records", records)
    for _ in range(2):
        house.start_worker()
    office = Office(house.home, settings_for(house.redis_url, house.settings["UNLINKER_ONOFFICE_URL"]))
    office.write(
        scope='where = [["verkauft", "=", "1"]]',
        keep=f"ids = {list(STAYS)}",
        mode="apply",
        brakes="max_deletions = 1000\nmax_share = 1.0\nexpect_at_least = 5",
    )
    return office


async def over(office: Office, night: Night) -> Night:
    """A night once it is over, looked after as a scheduler would."""
    for _ in range(1200):
        if night.status not in (NightStatus.PLANNING, NightStatus.RUNNING):
            return night
        await asyncio.sleep(0.1)
        night = await office.work.look_at(office.policy, night)
    raise AssertionError(night)


async def slot(office: Office, wall: str) -> Night:
    """The night of a slot, once it is over or waits."""
    night = await office.look(wall)
    assert night is not None
    return await over(office, night)


def links(house: House) -> int:
    count: int = house.sandbox.call("GET", "stats")["links"]
    return count


async def test_three_nights_bring_50000_links_to_where_the_policy_wants_them(house: House, tmp_path: Path) -> None:
    office = prepared(house)
    await office.look("2026-06-01T12:00:00")

    # the first night: onOffice is away, so nothing is read and nothing is deleted
    process = house.processes[0].popen
    os.kill(process.pid, signal.SIGSTOP)
    office.work = NightWork(office.impatient())
    first = await slot(office, "2026-06-02T02:30:00")
    os.kill(process.pid, signal.SIGCONT)
    office.work = NightWork(office.parts)
    assert first.status is NightStatus.ABORTED
    assert links(house) == PARENTS * CHILDREN

    # the second: far more than the policy may delete by itself; somebody approves of it in the morning
    second = await slot(office, "2026-06-03T02:30:00")
    planned = SOLD * (CHILDREN - len(STAYS))
    assert (second.status, second.counts["planned"]) == (NightStatus.WAITING, planned)
    assert links(house) == PARENTS * CHILDREN
    office.clock.turn_to("2026-06-03T09:00:00")
    approval = Approval(by="somebody", because="ticket 4711", max_deletions=planned)
    second = await over(office, await approve(office.parts, office.policy, second.id, approval))
    assert (second.status, second.counts["unlinked"]) == (NightStatus.DONE, planned)
    assert links(house) == PARENTS * CHILDREN - planned

    # the third: a new link goes; one that somebody made anew during the day stays, and is told
    house.sandbox.add_links([(KIND, 7, 30), (KIND, 8, 77)])
    third = await slot(office, "2026-06-04T02:30:00")
    assert (third.status, third.counts["unlinked"], third.counts["resurrected"]) == (NightStatus.DONE, 1, 1)
    assert third.resurrected == ((KIND, 7, 30),)

    below_sold = {link for link in house.sandbox.links() if link[1] <= SOLD}
    assert below_sold == {(KIND, parent, child) for parent in range(1, SOLD + 1) for child in STAYS} | {(KIND, 7, 30)}
    assert links(house) == PARENTS * CHILDREN - planned + 1
    assert house.sandbox.call("GET", "stats")["deleted_twice"] == []
    tells_the_story(office, [third, second, first])
    pages_of(house, [first, second, third], tmp_path)


def tells_the_story(office: Office, nights: list[Night]) -> None:
    """The reports, without the times, from the last night to the first."""
    assert [night.id for night in office.nights()] == [night.id for night in nights]
    told = [[each.text for each in night.story] for night in nights]
    third, second, first = told
    assert first[-1].startswith("aborted: scope: onOffice has not answered for 1 s")
    assert second == [
        "read 400 records of the scope and found 20,000 links; 2,000 may stay by a list of 5 rows",
        "18,000 links to be approved of: 18,000 links would go, more than max_deletions = 1,000",
        "somebody approved of it: ticket 4711",
        f"18,000 links given to the workers as run {nights[1].run}",
        "done: 18,000 unlinked, 0 gone already, 0 failed",
    ]
    assert third == [
        "read 400 records of the scope and found 2,002 links; 2,000 may stay by a list of 5 rows",
        "1 link there again that an earlier night unlinked: left, as on_resurrected = report",
        f"1 link given to the workers as run {nights[0].run}",
        "done: 1 unlinked, 0 gone already, 0 failed",
    ]
    assert [title.split(":")[1].strip() for title in office.told.titles] == [
        "aborted",
        "18,000 links to be approved of",
        "1 link there again",
    ]
    report = text(Report(nights[0], office.nights()))
    assert "2,002  links found (-17,998 since the last night; 20,000 on average)" in report
    assert f"{KIND} 7 -> 30" in report


def pages_of(house: House, nights: list[Night], folder: Path) -> None:
    """The same by the command line."""
    listed = json.loads(house.run("reconcile", "status", "--json").stdout)
    assert {each["id"] for each in listed} == {night.id for night in nights}
    for night in nights:
        page = folder / f"{night.id}.html"
        assert house.run("reconcile", "status", "--night", night.id, "--html", str(page)).returncode == 0
        assert night.story[-1].text.partition(":")[0] in page.read_text()
