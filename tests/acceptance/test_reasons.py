"""Every reason a job can die of, reached by a real fault, and what its dead letter tells."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.test_undo import push_undo
from tests.harness import House
from worker.unlinking.errors import REASONS, Poison, Replay

TYPE = "calendar:estate"
# five workers die for Poison in test_poison_is_found_out_and_its_neighbours_are_unharmed; test_ids.py has IdReused
ELSEWHERE = {"Poison", "IdReused"}


@dataclass
class Case:
    """How one reason is reached."""

    reason: str
    wish: dict[str, Any]
    code: int | None = None  # what the delete is answered with; the link stays
    text: str = ""  # a part of the letter's text
    attempts: list[str] = field(default_factory=list)  # the verdicts it shows


def link(parentid: int, **more: Any) -> dict[str, Any]:
    return {"relationtype": TYPE, "parentid": parentid, "childid": 5, **more}


RESTORE = Case("NotRestorable", link(14), 78, "made to fail", ["refused"])  # of an undo; the link is not there
CASES = (
    Case("BadArguments", link(1, colour="red"), text="'colour' is no argument"),
    Case("UnknownRelationType", link(2, relationtype="calendar:adress"), text="did you mean calendar:address?"),
    Case("UnknownAccount", link(3, account="nobody"), text="nobody"),
    Case("Expired", link(4, not_after=1_000_000), text="deadline"),
    Case("NotDeletable", link(5), 168, "made to fail", ["refused"]),
    Case("UnknownRecord", link(6), 80, "made to fail", ["again", "refused"]),
    Case("MissingRight", link(7), 174, "made to fail", ["refused"]),
    Case("NotSupported", link(8), 199, "made to fail", ["refused"]),
    Case("BadRequest", link(9), 73, "made to fail", ["refused"]),
    Case("UnknownCode", link(12), 75, "made to fail", ["again", "refused"]),
    Case("Exhausted", link(11), 1, "made to fail", ["again", "refused"]),
    Case("Unverified", link(10, relationtype="estate:address:buyer", childid=20), 80, "not proven", ["refused"]),
    Case("NotSaved", link(671, relationtype="calendar:address", childid=153), None, "no participant", ["refused"]),
)


def prepare(house: House) -> None:
    """Links that are there, and an API that will not delete them."""
    links = [(TYPE, case.wish["parentid"], 5) for case in CASES if case.wish["relationtype"] == TYPE]
    house.sandbox.add_links(links)
    for case in (*CASES, RESTORE):
        if case.code is not None and case.reason != "Unverified":  # that one hides its parent, and no fault is needed
            match = {"parentid": case.wish["parentid"], "action": "create" if case is RESTORE else "delete"}
            house.sandbox.fault("action_code", times=None, params={"code": case.code}, match=match)
    house.sandbox.fault("action_code", times=None, params={"code": 169}, match={"parentid": 671, "action": "read"})
    house.sandbox.call("PUT", "rights", {"hidden_parents": [10]})
    house.settings |= {
        "UNLINKER_MAX_ATTEMPTS": "2",
        "UNLINKER_REQUIRE_PROOF": "true",
        "UNLINKER_KEEP_CONFIRMATION": "true",
        "UNLINKER_ACTIONS_PER_REQUEST": "1",
        "UNLINKER_REQUESTS_PER_SECOND": "100",
    }


def test_every_reason_is_reached_by_a_real_fault_and_explains_itself(house: House) -> None:
    assert {case.reason for case in (*CASES, RESTORE)} | ELSEWHERE == set(REASONS)
    assert Poison.__name__ in ELSEWHERE
    prepare(house)
    before = house.sandbox.links()
    house.start_worker()
    start = time.time()
    ids = {case.reason: house.push(case.wish) for case in CASES}
    house.all_ended(list(ids.values()))
    undo = push_undo(house, [list(RESTORE.wish.values())])
    house.ended(undo)
    ids[RESTORE.reason] = f"{undo}:0"
    listed = json.loads(house.here("dead", "list", "--json").stdout)
    letters = {letter["id"]: letter for letter in listed["letters"]}
    assert set(ids.values()) == set(letters), [(n, house.job(i)) for n, i in ids.items() if i not in letters]
    assert listed["totals"]["reason"] == dict.fromkeys(ids, 1)
    for case in (*CASES, RESTORE):
        letter = letters[ids[case.reason]]
        assert letter["reason"] == case.reason
        assert letter["code"] == case.code
        assert case.text in letter["message"]
        assert (letter["parentid"], letter["childid"]) == (case.wish["parentid"], case.wish["childid"])
        assert letter["action"] == ("restore" if case is RESTORE else "unlink")
        assert letter["account"] == case.wish.get("account", "default")
        check_attempts(letter, case, start)
    assert house.sandbox.links() == before, "what is dead was not deleted"
    check_show(house, ids)


def test_a_status_that_cannot_be_saved_keeps_its_link(house: House) -> None:
    house.sandbox.fault("action_code", times=None, params={"code": 156}, match={"action": "read"})
    house.settings |= {"UNLINKER_KEEP_CONFIRMATION": "true", "UNLINKER_MAX_ATTEMPTS": "2"}
    house.start_worker()
    document = house.ended(house.unlink("calendar:address", 671, 153))
    assert (document["outcome"], document["reason"]) == ("dead", "MissingRight")
    house.sandbox.call("DELETE", "faults")
    house.sandbox.fault("action_code", times=None, params={"code": 75}, match={"action": "read"})
    document = house.ended(house.unlink("calendar:address", 671, 153))
    assert (document["outcome"], document["reason"]) == ("dead", "NotSaved")
    assert ("calendar:address", 671, 153) in house.sandbox.links()


def check_attempts(letter: dict[str, Any], case: Case, start: float) -> None:
    attempts = letter["attempts"]
    verdicts = [attempt["verdict"] for attempt in attempts]
    assert verdicts == case.attempts, case.reason
    for attempt in attempts:
        assert attempt["code"] == case.code
        assert start - 1 < attempt["at"] < time.time() + 1
        assert 0 < attempt["seconds"] < 5
    assert len({attempt["request"] for attempt in attempts}) == len(attempts), "each had a request of its own"


def check_show(house: House, ids: dict[str, str]) -> None:
    """One of each kind of advice, as people see it."""
    for reason in ("UnknownRelationType", "MissingRight", "Exhausted", "NotRestorable"):
        error = REASONS[reason]
        shown = " ".join(house.here("dead", "show", ids[reason]).stdout.split())  # long lines are folded
        assert error.happened in shown
        assert error.advice in shown
        word = "discard" if error.replay is Replay.USELESS else "replay"
        assert f"unlinker dead {word} {ids[reason]}" in shown
        assert ("tried 0 times; again in 60 min" in shown) == (error.replay is Replay.TRANSIENT)
