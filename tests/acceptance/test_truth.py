"""The truth pass with real workers: it finds what is there again, ends what was left open, and deletes nothing."""

import json
import time

import pytest

from gateway.reconciling.orphans import WHY, end_orphans
from gateway.reconciling.truth_work import TruthWork
from tasks.lost import BringBack
from tests.harness import House, eventually
from tests.nights import KIND, Office, settings_for
from worker.engine import envelope
from worker.stores import keys
from worker.stores.letter import Filter
from worker.stores.lost_jobs import LostJobs
from worker.stores.runs import Runs, RunTerms
from worker.unlinking.night import Night, NightStatus
from worker.unlinking.runs import Layout
from worker.unlinking.truth import is_lost

OTHER = "estate:address:buyer"
WEEK = 8 * 86400


@pytest.fixture
def office(house: House) -> Office:
    """A worker runs; the clock is the server's, as the journal's is."""
    house.start_worker()
    office = Office(house.home, settings_for(house.redis_url, house.settings["UNLINKER_ONOFFICE_URL"]))
    office.clock.now = time.time()
    return office


async def a_pass(office: Office) -> Night:
    office.clock.now = max(time.time(), office.clock.now + 1)
    night = await TruthWork(office.parts).now("default")
    assert night is not None
    return night


def unlinked(house: House, *links: tuple[str, int, int]) -> None:
    """Links that were there, and are not any more."""
    house.sandbox.add_links(links)
    house.all_ended([house.unlink(*link) for link in links])


async def test_what_is_there_again_is_told_and_left(house: House, office: Office) -> None:
    unlinked(house, (KIND, 1, 10), (KIND, 1, 11), (OTHER, 2, 20))
    house.ended(house.unlink(KIND, 1, 12))  # there was none
    house.sandbox.add_links([(KIND, 1, 10), (KIND, 1, 12), (KIND, 5, 50)])
    before = house.sandbox.links()
    night = await a_pass(office)
    assert night.status is NightStatus.DONE
    assert night.resurrected == ((KIND, 1, 10), (KIND, 1, 12))
    counts = {name: night.counts[name] for name in ("journalled", "still_gone", "resurrected", "unread")}
    assert counts == {"journalled": 4, "still_gone": 2, "resurrected": 2, "unread": 0}
    assert office.told.titles == ["truth:default: 2 links there again"]
    assert house.sandbox.links() == before
    told = house.run("reconcile", "truth", "--json")
    assert (told.returncode, json.loads(told.stdout)["counts"]["resurrected"]) == (1, 2)


async def test_a_later_deed_explains_a_link_that_is_there(house: House, office: Office) -> None:
    """One was brought back by an undo; one was to go again, and could not."""
    unlinked(house, (KIND, 1, 10), (KIND, 1, 11), (KIND, 1, 12))
    arguments = {"relations": [[KIND, 1, 10]]}
    house.client.lpush(keys.QUEUES[2], envelope.write("unlinker.undo", "undone", arguments, keys.QUEUES[2]))
    assert house.ended("undone")["outcome"] == "done"
    assert (KIND, 1, 10) in house.sandbox.links()
    house.sandbox.add_links([(KIND, 1, 11)], undeletable=True)
    assert house.ended(house.unlink(KIND, 1, 11))["outcome"] == "dead"
    house.sandbox.add_links([(KIND, 1, 12)])
    night = await a_pass(office)
    assert night.resurrected == ((KIND, 1, 12),)


async def test_a_deletion_that_nobody_could_vouch_for_is_verified_later(house: House, office: Office) -> None:
    job = house.unlink(KIND, 1, 10)
    assert house.ended(job)["proven"] is False, "nothing of this type was ever seen"
    assert (await a_pass(office)).counts["verified"] == 0
    house.sandbox.add_links([(KIND, 7, 70)])
    unlinked(house, (KIND, 7, 71))
    office.parts.doors.client.sadd(keys.sightings("default"), KIND)
    night = await a_pass(office)
    assert (night.counts["verified"], night.counts["still_gone"]) == (1, 2)


async def test_letters_whose_wish_came_true_are_closed_and_no_others(house: House, office: Office) -> None:
    links = [(KIND, 1, child) for child in (10, 11, 12)]
    house.sandbox.add_links(links, undeletable=True)
    ids = [house.unlink(*link) for link in links]
    wrong = house.push({"relationtype": "no:such", "parentid": 1, "childid": 1})
    assert {each["outcome"] for each in house.all_ended([*ids, wrong]).values()} == {"dead"}
    house.sandbox.call("DELETE", "links")
    house.sandbox.add_links([links[1], (KIND, 9, 9)])
    night = await a_pass(office)
    assert (night.counts["letters"], night.counts["closed"]) == (3, 2)
    letters = office.parts.doors.dead_letters
    left = [letter.id for page in letters.walk(Filter()) for letter in page]
    assert sorted(left) == sorted([ids[1], wrong])
    record = house.client.hgetall(keys.job(ids[0]))
    assert (record[b"closed_as"], record[b"closed_by"]) == (b"already_absent", f"night {night.id}".encode())
    assert house.client.ttl(keys.job(ids[0])) > 0
    assert (await a_pass(office)).counts["closed"] == 0


async def test_a_letter_is_not_closed_by_what_nobody_can_see(house: House, office: Office) -> None:
    house.sandbox.add_links([(KIND, 1, 10)], undeletable=True)
    job = house.unlink(KIND, 1, 10)
    house.ended(job)
    house.client.delete(keys.sightings("default"))
    house.sandbox.call("PUT", "rights", {"hidden_types": [KIND]})
    assert (await a_pass(office)).counts["closed"] == 0


def lose(house: House, job_id: str, **fields: object) -> None:
    """As if its message had vanished a week and a day ago."""
    house.client.delete(keys.QUEUES[0])
    moment = int((time.time() - WEEK) * 1000)
    house.client.hset(keys.job(job_id), mapping={"first_seen": moment, **fields})  # type: ignore[dict-item]  # redis's stubs


async def test_jobs_that_nobody_works_on_are_ended_without_deleting_anything(house: House) -> None:
    """Never sent: expired. Sent and gone: unlinked. Sent and there: expired. In time, or held: left alone."""
    office = Office(house.home, settings_for(house.redis_url, house.settings["UNLINKER_ONOFFICE_URL"]))
    house.sandbox.add_links([(KIND, 1, 10), (KIND, 1, 12), (KIND, 8, 8)])
    never, gone, there, held, young = (house.unlink(KIND, 1, child) for child in (10, 11, 12, 13, 14))
    joined = house.unlink(KIND, 1, 10)
    sent = {"status": "sent", "claim": "9:dead"}
    lose(house, never)
    lose(house, joined)  # each has a deadline of its own
    lose(house, gone, **sent)
    lose(house, there, **sent)
    lose(house, held, status="sent", claim="1:alive")
    house.client.hset(keys.CLAIMED, "1:alive", "unlink\n{}")
    office.clock.now = time.time()
    night = await a_pass(office)
    assert (night.counts["lost"], night.counts["settled"]) == (3, 3)
    assert office.told.titles == ["truth:default: jobs that nobody worked on: 3"]
    house.client.hdel(keys.CLAIMED, "1:alive")
    house.start_worker()
    ends = house.all_ended([never, gone, there, joined])
    outcomes = [ends[job]["outcome"] for job in (never, gone, there, joined)]
    assert outcomes == ["expired", "unlinked", "expired", "expired"]
    assert house.job(young)["status"] == "queued"
    assert {link for link in house.sandbox.links() if link[:2] == (KIND, 1)} == {(KIND, 1, 10), (KIND, 1, 12)}
    assert house.sandbox.actions() == []


async def test_parked_jobs_of_a_halted_account_wait_where_they_are(house: House) -> None:
    """Their messages are in its parking place; a copy more a night would pile up there."""
    store = LostJobs(house.client, house.client)
    job = house.unlink(KIND, 1, 10)
    lose(house, job, status="parked")
    (found,) = [each.job for each in store.open_jobs("default")]
    assert is_lost(found, time.time())
    house.run("accounts", "halt", "default")
    (found,) = [each.job for each in store.open_jobs("default")]
    assert not is_lost(found, time.time())
    assert list(store.open_jobs("other")) == []


async def test_a_lost_chunk_is_put_back_if_its_run_knows_its_rows(house: House) -> None:
    """A chunk that names no run cannot be: that is told, and no more."""
    house.sandbox.add_links((KIND, 1, child) for child in range(1, 31))
    runs = Runs(house.client)
    terms = RunTerms(
        id="r", account="default", action="unlink", layout=Layout(30), max_failure_rate=1.0, by="me", because="t"
    )
    assert list(runs.load(terms, ([KIND, 1, child] for child in range(1, 31)))) == [30]
    assert runs.open(terms) == "started"
    for chunk in ("r.0", "stray"):
        lose(house, chunk, status="queued", account="default", rows=10, run=chunk.partition(".")[0])
    store = LostJobs(house.client, house.client)
    lost = list(store.open_jobs("default"))
    assert sorted((each.job.id, each.is_chunk) for each in lost) == [("r.0", True), ("stray", True)]
    assert BringBack(store, runs).bring_back(lost) == 1
    (message,) = house.client.lrange(keys.QUEUES[2], 0, -1)
    assert json.loads(message)["headers"]["id"] == "r.0"
    house.start_worker()
    run = eventually(lambda: run if (run := runs.get("r")) and run.is_over else None)
    assert run.counts["expired"] == 10, "they are past their deadline"
    assert run.counts["unlinked"] == 20


async def test_a_pass_that_could_not_look_is_made_up_for(
    house: House, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engine.polite_api.PROBE_PAUSE", 0.05)
    unlinked(house, (KIND, 1, 10))
    house.sandbox.add_links([(KIND, 1, 10)])
    house.sandbox.fault("action_code", None, params={"code": 170})
    office.clock.now += 3 * 86400
    night = await a_pass(office)
    assert (night.status, night.counts["unread"], night.counts["resurrected"]) == (NightStatus.DONE, 1, 0)
    assert office.told.titles == ["truth:default: 1 link could not be looked at"]
    house.sandbox.call("DELETE", "faults")
    office.clock.now += 3 * 86400
    night = await a_pass(office)
    assert night.resurrected == ((KIND, 1, 10),), "as far back as the last pass that saw everything, and none did yet"


async def test_nights_of_a_policy_that_is_gone_are_ended(house: House, office: Office) -> None:
    house.sandbox.add_links([(KIND, 1, 10)])
    waiting = await office.now()
    assert waiting.status is NightStatus.WAITING
    assert await end_orphans(office.parts, ["sold"]) == []
    (ended,) = await end_orphans(office.parts, [])
    assert (ended.id, ended.status, ended.why) == (waiting.id, NightStatus.ABORTED, WHY)
    assert json.loads(house.run("reconcile", "status", "--json").stdout)[0]["status"] == "aborted"
