"""A bad night: 10,000 jobs, 300 of them die for six reasons, and all of it is repaired from the command line."""

import json
from collections.abc import Sequence
from typing import Any

from tests.faults.test_workers import fast
from tests.harness import House, eventually
from worker.stores import keys
from worker.unlinking.errors import REASONS

Link = tuple[str, int, int]
JOBS, EACH, CHUNK = 10_000, 50, 500
RUN = "night"
KINDS = {  # reason -> relation type of those that die of it
    "NotDeletable": "estate:address:buyer",  # onOffice keeps them
    "NotSupported": "estate:address:renter",  # the customer has no such module
    "MissingRight": "estate:address:owner",  # the API user may not
    "Exhausted": "calendar:estate",  # the API fails
    "UnknownRelationType": "estate:adress:owner",  # misspelt by the sender
    "Expired": "estate:address:contactPerson",  # sent too late
}
GOOD = "estate:address:interested"


def chunks() -> list[tuple[str, list[Link]]]:
    """(reason of which they will die, rows), as they are sent; no two reasons meet in one request."""
    dying = [(reason, [(kind, parent, 5) for parent in range(1, EACH + 1)]) for reason, kind in KINDS.items()]
    living = [(GOOD, 1 + number // 10, 1 + number % 10) for number in range(JOBS - EACH * len(KINDS))]
    found: list[tuple[str, list[Link]]] = []
    for start in range(0, len(living), CHUNK):
        found.append(("", living[start : start + CHUNK]))
        if start // CHUNK % 3 == 1 and dying:
            found.append(dying.pop(0))
    return found


def prepare(house: House, sent: Sequence[tuple[str, list[Link]]]) -> None:
    """Every link is there but those of no known type; and onOffice is as it is on a bad night."""
    house.sandbox.call("DELETE", "links")
    house.sandbox.add_links(link for reason, rows in sent if reason != "UnknownRelationType" for link in rows)
    house.sandbox.call("PUT", "rights", {"undeletable_types": [KINDS["NotDeletable"]]})
    for reason, code in (("NotSupported", 199), ("MissingRight", 174), ("Exhausted", 1)):
        match = {"relationtype": KINDS[reason], "action": "delete"}
        house.sandbox.fault("action_code", times=None, params={"code": code, "text": "made to fail"}, match=match)
    fast(house)
    house.settings |= {
        "UNLINKER_ACTIONS_PER_REQUEST": "100",
        "UNLINKER_MAX_ATTEMPTS": "2",
    }


def mend(house: House) -> None:
    """What the letters say is to be done."""
    house.sandbox.call("PUT", "rights", {"undeletable_types": []})
    house.sandbox.call("DELETE", "faults")


def links_at_the_start(house: House) -> frozenset[Link]:
    """What an undo of the run has to bring back, and nothing else."""
    return frozenset(house.sandbox.links())


def run_the_night(house: House, sent: Sequence[tuple[str, list[Link]]]) -> None:
    """All chunks of the run, to their ends."""
    first_row, ids = 0, []
    for reason, rows in sent:
        terms: dict[str, object] = {"not_after": 1_000_000} if reason == "Expired" else {}
        ids.append(house.push_chunk(rows, run=RUN, first_row=first_row, requested_by="cleaner", **terms))
        first_row += len(rows)
    house.all_ended(ids)


def replay_while_being_killed(house: House) -> None:
    """The first time it is killed half-way; the same command again moves the rest."""
    command = ("dead", "replay", "--run", RUN, "--because", "mended", "--yes")
    left = len(KINDS) * EACH
    killed = house.start(*command, "--rate", "100")
    eventually(lambda: letters(house)["count"] < left - 60)
    killed.kill()
    moved = left - letters(house)["count"]
    assert 60 < moved < 250, "it was killed half-way"
    again = house.ask(*command, "--rate", "1000")
    assert (again["moved"], again["gone"], again["left_out"]) == (250 - moved, 0, EACH)


def letters(house: House, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = house.ask("dead", "list", "--limit", "1000", *options)
    return found


def test_a_bad_night_is_repaired_from_the_command_line(house: House) -> None:
    sent = chunks()
    assert sum(len(rows) for _, rows in sent) == JOBS
    prepare(house, sent)
    start = links_at_the_start(house)
    assert len(start) == JOBS - EACH
    house.start_worker()
    run_the_night(house, sent)

    found = letters(house, "--run", RUN)
    assert found["count"] == 300
    assert found["totals"]["reason"] == dict.fromkeys(KINDS, EACH)
    assert house.sandbox.links() == {link for link in start if link[0] != GOOD}
    for reason, kind in KINDS.items():
        of_kind = letters(house, "--run", RUN, "--reason", reason)["letters"]
        assert {letter["relationtype"] for letter in of_kind} == {kind}
        shown = house.ask("dead", "show", of_kind[0]["id"])
        assert (shown["happened"], shown["advice"]) == REASONS[reason].explain()

    mend(house)
    replay_while_being_killed(house)
    rows = [letter["id"] for letter in found["letters"] if letter["reason"] != "UnknownRelationType"]
    replays = [house.job(row)["replayed_as"] for row in rows]
    assert len(set(replays)) == len(rows) == 250, "each letter became one job"
    assert {document["outcome"] for document in house.all_ended(replays).values()} == {"unlinked"}
    assert house.sandbox.links() == set()
    assert house.sandbox.call("GET", "stats")["deleted_twice"] == []
    discarded = house.ask("dead", "discard", "--reason", "UnknownRelationType", "--because", "sender mended", "--yes")
    assert discarded["moved"] == EACH
    assert letters(house)["count"] == 0
    assert_the_books_are_right(house, start)
    undo_the_run(house, start)
    assert house.sandbox.links() == start


def undo_the_run(house: House, start: frozenset[Link]) -> None:
    """All of it was a mistake: the run's own rows and what was replayed of it come back."""
    plan = str(house.home / "undo.plan.jsonl")
    planned = house.ask("undo", "plan", "--run", RUN, "--because", "wrong night", "--out", plan)
    assert planned["rows"] == len(start), planned
    undone = house.ask("undo", "apply", plan, "--yes", "--max-restores", str(JOBS))
    assert (undone["state"], undone["restored"], undone["failed"]) == ("done", len(start), 0)


def assert_the_books_are_right(house: House, start: frozenset[Link]) -> None:
    """The journal holds one deed of the run for each link that is gone; the audit, what was done about it."""
    path = house.home / "night.jsonl"
    house.here("journal", "export", str(path), "--run", RUN)
    deeds = [json.loads(line) for line in path.read_text().splitlines()]
    gone = [deed for deed in deeds if deed["outcome"] == "unlinked"]
    assert {(deed["relationtype"], deed["parentid"], deed["childid"]) for deed in gone} == start
    assert len(gone) == len(start)
    assert {deed["row"] for deed in deeds} <= set(range(JOBS))
    acts = [(act["action"], act["count"]) for act in house.ask("audit")]
    assert acts[0] == ("dead replay", None), "the one that was killed"
    assert acts[-1] == ("dead discard", EACH)
    assert house.client.hget(keys.COUNTERS, "dead") == b"250"
