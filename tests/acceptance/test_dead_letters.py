"""Dead letters with real processes: replays that are killed or stopped and go on, and what workers leave in letters."""

import json
import signal
from collections import Counter
from typing import Any

import pytest

from tests.ends import die
from tests.faults.test_workers import LINK, many
from tests.harness import House, eventually
from worker.stores import keys
from worker.stores.dead_letters import DeadLetters
from worker.stores.letter import Filter
from worker.unlinking.outcome import dead

COUNT = 400
REPLAY = ("dead", "replay", "--all", "--yes", "--because", "mended")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_replay_that_is_stopped_goes_on_and_moves_each_letter_once(house: House, number: signal.Signals) -> None:
    ids = [f"letter-{each}" for each in range(COUNT)]
    die(house.redis_url, ids, dead("MissingRight", 174, "no right"))
    first = house.start(*REPLAY, "--rate", "200")
    eventually(lambda: house.client.llen(keys.QUEUES[0]) >= 80)
    first.terminate(number)
    moved = int(house.client.llen(keys.QUEUES[0]))
    assert 80 <= moved < COUNT
    if number == signal.SIGINT:
        assert first.popen.returncode == 1
        assert "the same command goes on" in first.text()
    again = house.run(*REPLAY, "--rate", "100000", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == {
        "action": "replay", "count": COUNT - moved, "moved": COUNT - moved, "gone": 0, "left_out": 0,
    }  # fmt: skip
    assert house.client.llen(keys.QUEUES[0]) == COUNT
    became = {house.job(letter)["replayed_as"] for letter in ids}
    assert len(became) == COUNT, "each letter became one job, and no two the same"
    counts = [act["count"] for act in house.ask("audit")]
    known = [None, moved] if number == signal.SIGINT else [None]
    assert counts == [*known, None, COUNT - moved], "of one that was killed the audit knows that it began"


@pytest.mark.parametrize("action", ["replay", "discard"])
def test_what_a_stopped_move_tells_is_what_it_moved(house: House, action: str) -> None:
    """Ctrl-C comes just while Redis moves some: they are in the summary and in the audit."""
    count = 4000
    die(house.redis_url, [f"letter-{each}" for each in range(count)], dead("MissingRight", 174, "no right"))
    moving = house.start("dead", action, "--all", "--yes", "--because", "x", "--rate", "1000", "--json")
    eventually(lambda: house.client.zcard(keys.DEAD) < count, every=0.0001)
    moving.terminate(signal.SIGINT)
    moved = count - int(house.client.zcard(keys.DEAD))
    assert 0 < moved < count, "it was stopped in the middle"
    assert moving.popen.returncode == 1
    assert f'"moved": {moved}' in moving.text()
    assert [act["count"] for act in house.ask("audit")] == [None, moved]


def test_a_mended_letter_is_replayed_to_its_end_and_keeps_where_it_came_from(house: House) -> None:
    house.sandbox.add_links([LINK, ("calendar:address", 9, 1)])
    house.sandbox.fault("action_code", times=None, params={"code": 174, "text": "no"}, match={"action": "delete"})
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "1"
    house.start_worker()
    chunk = house.push_chunk(
        [["calendar:address", 9, 1]], run="night", first_row=40, requested_by="olga", reason="gdpr"
    )
    first, joined = house.unlink(*LINK, requested_by="crm"), house.unlink(*LINK, requested_by="portal")
    row = f"{chunk}:0"
    house.all_ended([first, joined, row])
    house.sandbox.call("DELETE", "faults")
    replayed = house.ask("dead", "replay", "--reason", "MissingRight", "--yes", "--because", "right granted")
    assert replayed["moved"] == 3
    became = {letter: house.job(letter)["replayed_as"] for letter in (first, joined, row)}
    ends = [document["outcome"] for document in house.all_ended(list(became.values())).values()]
    assert sorted(ends) in (["already_absent", "unlinked", "unlinked"], ["unlinked"] * 3), "one may have been joined"
    for letter, job_id in became.items():
        assert house.job(job_id)["replay_of"] == letter
    assert house.job(became[joined])["requested_by"] == "portal"
    assert house.job(became[row])["requested_by"] == "olga"
    journal = house.ask("journal", "list", "--run", "night")
    assert [(deed["job"], deed["run"], deed["row"], deed["outcome"]) for deed in journal] == [
        (row, "night", 40, "dead"),
        (became[row], "night", 40, "unlinked"),
    ], "what a run deleted by a replay is a deed of the run"


def test_the_letters_of_joined_wishes_tell_the_same_attempts(house: House) -> None:
    house.sandbox.add_links([LINK], undeletable=True)
    first, second = house.unlink(*LINK, requested_by="crm"), house.unlink(*LINK, requested_by="portal")
    house.start_worker()
    house.all_ended([first, second])
    letters = [DeadLetters(house.client).letter(each) for each in (first, second)]
    documents = [letter.document() for letter in letters if letter is not None]
    assert [document["requested_by"] for document in documents] == ["crm", "portal"]
    assert documents[0]["attempts"] == documents[1]["attempts"] != []
    assert len(house.sandbox.actions()) == 1


def test_attempts_are_kept_over_waits_and_workers(house: House) -> None:
    """Of jobs and of rows alike: what went wrong before the last attempt is not forgotten."""
    links = many(house, 2)
    house.sandbox.fault("action_code", times=None, params={"code": 1, "text": "later"}, match={"action": "delete"})
    house.settings |= {"UNLINKER_MAX_ATTEMPTS": "3", "UNLINKER_REQUESTS_PER_SECOND": "50"}
    worker = house.start_worker()
    job_id = house.unlink(*links[0])
    chunk = house.push_chunk([links[1]])
    eventually(lambda: house.job(job_id).get("attempts", 0) >= 1)
    worker.terminate()
    house.start_worker()
    house.all_ended([job_id, f"{chunk}:0"])
    for letter_id in (job_id, f"{chunk}:0"):
        letter = DeadLetters(house.client).letter(letter_id)
        assert letter is not None
        attempts: Any = letter.document()["attempts"]
        assert [attempt["verdict"] for attempt in attempts] == ["again", "again", "refused"], letter_id
        assert all(attempt["text"] == "later" for attempt in attempts[:2])
        assert sorted(attempt["at"] for attempt in attempts) == [attempt["at"] for attempt in attempts]


def test_a_chunk_that_is_poison_leaves_a_letter_for_each_row(house: House) -> None:
    """Three workers have died with it alone, as its record tells; the relations would be lost with its message."""
    links = many(house, 3)
    chunk = house.push_chunk([*links, "no row"])
    known = {"account": "default", "first_row": 0, "rows": 4, "run": chunk, "first_seen": 1}
    known |= {"status": "sent", "alone": 1, "lone_deaths": 2, "deaths": 4, "claim": "of-the-dead"}
    for name, value in known.items():
        house.client.hset(keys.job(chunk), name, str(value))
    house.start_worker()
    document = house.ended(chunk)
    assert (document["outcome"], document["dead"]) == ("done", 4)
    found = [letter for some in DeadLetters(house.client).walk(Filter()) for letter in some]
    assert Counter(letter.reason for letter in found) == {"Poison": 3, "BadArguments": 1}
    assert {(r.relationtype, r.parentid, r.childid) for r in (x.relation for x in found if x.names_relation)} == set(
        links
    )
    assert set(links) <= house.sandbox.links()


def test_expired_jobs_are_letters_and_get_a_new_deadline_by_a_replay(house: House) -> None:
    job_id = house.push({"relationtype": LINK[0], "parentid": LINK[1], "childid": LINK[2], "not_after": 1_000_000})
    house.start_worker()
    assert house.ended(job_id)["outcome"] == "expired"
    assert LINK in house.sandbox.links()
    house.here("dead", "replay", job_id, "--yes", "--because", "still meant")
    replay = house.job(job_id)["replayed_as"]
    assert house.ended(replay)["outcome"] == "unlinked"
    assert "not_after" not in house.job(replay)
