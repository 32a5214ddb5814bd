"""Undo with real workers: what was deleted comes back as it was, whatever dies or lies meanwhile."""

import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from celery import Celery

from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN
from tests.faults.test_workers import fast
from tests.harness import House, eventually
from worker.engine import envelope
from worker.stores import keys

Link = tuple[str, int, int]
BULK = keys.QUEUES[2]
STATUSES = ("confirmed", "sent", "canceled", "not-set")
OTHERS: list[Link] = [
    ("estate:address:buyer", 10, 20),
    ("estate:address:renter", 11, 21),
    ("calendar:estate", 671, 42),
    ("address:user:sync", 17, 27),
]


def push_undo(house: House, relations: Sequence[object], **arguments: object) -> str:
    """A chunk of links to be restored, as a stranger would send it; returns its id."""
    chunk = str(uuid.uuid4())
    content = {"relations": relations, **arguments}
    house.client.lpush(BULK, envelope.write("unlinker.undo", chunk, content, BULK))
    return chunk


def guests(count: int, first: int = 1000) -> list[Link]:
    return [("calendar:address", first + number // 4, number % 4 + 1) for number in range(count)]


def invite(house: House, links: Iterable[Link]) -> None:
    """Participants with all kinds of confirmation status."""
    documents = [
        {"relationtype": kind, "parentid": parent, "childid": child, "confirmation": STATUSES[(parent + child) % 4]}
        for kind, parent, child in links
    ]
    house.sandbox.call("PUT", "links", documents)


def state(house: House) -> tuple[set[Link], list[Any]]:
    """Links and confirmation statuses."""
    return house.sandbox.links(), house.sandbox.call("GET", "state")["confirmations"]


def stats(house: House) -> dict[str, Any]:
    found: dict[str, Any] = house.sandbox.call("GET", "stats")
    return found


def plan_undo(house: House, *options: str) -> tuple[str, dict[str, Any]]:
    path = str(house.home / f"{uuid.uuid4()}.plan")
    done = house.run("undo", "plan", *options, "--out", path, "--because", "wrong list", "--json")
    assert done.returncode == 0, done.stderr
    return path, json.loads(done.stdout)


def apply_undo(house: House, plan: str, code: int = 0) -> dict[str, Any]:
    done = house.run("undo", "apply", plan, "--yes", "--json", "--max-restores", "5000")
    assert done.returncode == code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_an_undo_brings_everything_back_as_it_was(house: House) -> None:
    fast(house)
    house.settings["UNLINKER_KEEP_CONFIRMATION"] = "true"
    invited = guests(60)
    invite(house, invited)
    before = state(house)
    house.start_worker()
    ids = [house.unlink(*link) for link in [*invited[:20], *OTHERS, ("calendar:address", 4711, 1)]]
    chunk = house.push_chunk(invited[20:], run="spring")
    house.all_ended([*ids, chunk])
    assert not {*invited, *OTHERS} & house.sandbox.links()
    plan, told = plan_undo(house, "--since", "1h")
    assert (told["rows"], told["left_out"]) == (64, 0)
    assert told["removed_nothing"] == {"already_absent": 1}
    document = apply_undo(house, plan)
    assert (document["restored"], document["already_present"], document["failed"]) == (64, 0, 0)
    assert state(house) == before
    assert stats(house)["created_existing"] == []
    again = house.run("undo", "plan", "--since", "1h", "--out", str(house.home / "again.plan"), "--json")
    assert again.returncode == 1, again.stderr
    assert "nothing comes back" in again.stderr
    assert {each["why"] for each in json.loads(again.stdout)["links"]} == {"restored_since"}
    assert not (house.home / "again.plan").exists()


def test_only_what_was_chosen_comes_back_and_the_rest_is_explained(house: House) -> None:
    tasks = [("task:address", 1, number) for number in range(1, 4)]
    invited = guests(3)
    house.sandbox.add_links(tasks)
    invite(house, invited)
    house.start_worker()
    spring = house.push_chunk([*invited, *tasks, OTHERS[0]], run="spring")
    summer = house.push_chunk(OTHERS[1:], run="summer")
    house.all_ended([spring, summer])
    house.sandbox.add_links([OTHERS[0]])  # somebody made it again by hand
    plan, told = plan_undo(house, "--run", "spring")
    assert (told["rows"], told["left_out"]) == (3, 4)
    assert told["counts"] == {
        "calendar:address": {"not_seen": 3},  # nobody has seen this account see such links
        "estate:address:buyer": {"present": 1},
        "task:address": {"refused": 3},
    }
    whys = {each["relationtype"]: each["why"] for each in told["links"]}
    assert whys["calendar:address"] == "not_saved"
    assert whys["task:address"] == "not_creatable"
    assert apply_undo(house, plan)["restored"] == 3
    links = house.sandbox.links()
    assert set(invited) <= links
    assert not {*tasks, *OTHERS[1:]} & links
    table = house.run("undo", "plan", "--run", "summer", "--out", str(house.home / "summer.plan"))
    assert table.returncode == 0, table.stderr
    assert "calendar:estate" in table.stdout
    assert "next: unlinker undo apply" in table.stderr
    assert "a new one for onOffice" in table.stderr
    house.sandbox.add_links(OTHERS[1:])
    nothing = house.run("undo", "plan", "--run", "summer", "--out", str(house.home / "there.plan"))
    assert nothing.returncode == 0, nothing.stderr
    assert "nothing to apply" in nothing.stderr


def test_a_plan_that_cannot_be_made_says_why(house: House) -> None:
    house.start_worker()
    house.ended(house.unlink("calendar:address", 671, 153))
    taken = house.home / "taken.plan"
    taken.write_text("precious")
    for options, words in (
        ([], "say which deletions"),
        (["--account", "default"], "say which deletions"),
        (["--run", "never"], "no deletion in the journal fits"),
        (["--type", "calendar:adress"], "did you mean"),
        (["--since", "1h", "--expires-in", "90d"], "up to 31d"),
        (["--since", "1h", "--out", str(taken)], "exists"),
    ):
        done = house.run("undo", "plan", *options)
        assert done.returncode == 2, options
        assert words in done.stderr
    assert list(house.home.glob("*.plan*")) == [taken]
    assert taken.read_text() == "precious"


def test_a_plan_has_one_account(house: House) -> None:
    accounts = house.home / "accounts.toml"
    accounts.write_text(f'[accounts.other]\ntoken = "{DEFAULT_TOKEN}"\nsecret = "{DEFAULT_SECRET}"\n')
    house.settings["UNLINKER_ACCOUNTS_FILE"] = str(accounts)
    house.start_worker()
    ids = [house.unlink(*OTHERS[0]), house.unlink(*OTHERS[1], account="other")]
    house.all_ended(ids)
    done = house.run("undo", "plan", "--since", "1h")
    assert done.returncode == 2
    assert "default (1), other (1)" in done.stderr
    assert "--account default" in done.stderr
    plan, told = plan_undo(house, "--since", "1h", "--account", "other")
    assert (told["rows"], told["account"]) == (1, "other")
    assert apply_undo(house, plan)["restored"] == 1
    assert OTHERS[1] in house.sandbox.links()
    assert OTHERS[0] not in house.sandbox.links()


FAULTS: list[tuple[str, int, dict[str, Any]]] = [
    ("hang_after", 2, {"seconds": 2}),
    ("hang_before", 2, {"seconds": 2}),
    ("reset_after", 3, {}),
    ("reset_before", 3, {}),
    ("drop_results", 3, {"count": 4}),
    ("swap_results", 3, {}),
    ("action_code", 2, {"code": 1, "done": True}),
    ("action_code", 2, {"code": 26}),
    ("request_code", 2, {"code": 1, "done": True}),
    ("lie_error", 3, {}),
    ("bad_gateway_502", 2, {}),
    ("unavailable_503", 2, {}),
]


def test_whatever_the_api_does_nothing_is_made_twice(house: House) -> None:
    fast(house)
    house.settings |= {"UNLINKER_ACTIONS_PER_REQUEST": "10", "UNLINKER_REQUEST_TIMEOUT": "1"}
    house.sandbox.call("PATCH", "options", {"create_existing_code": 173})
    house.start_worker()
    for number, (kind, times, params) in enumerate(FAULTS, start=1):
        restore_under(house, 1000 * number, kind, times, params)
    assert stats(house)["created_existing"] == []


def test_a_lie_is_noticed_by_who_looks_always(house: House) -> None:
    fast(house)
    house.settings |= {"UNLINKER_ACTIONS_PER_REQUEST": "10", "UNLINKER_VERIFY": "always"}
    house.start_worker()
    restore_under(house, 1000, "lie_ok", 2, {})


def restore_under(house: House, first: int, kind: str, times: int, params: dict[str, Any]) -> None:
    """Forty links, five of which are there, while a fault spoils creates."""
    invited = guests(40, first)
    invite(house, [*invited[:5], ("calendar:address", first, 99)])
    created = stats(house)["created"]
    house.sandbox.fault(kind, times=times, params=params, match={"action": "create"})
    chunk = push_undo(house, [[*link, "sent"] for link in invited])
    document = house.ended(chunk)
    assert (document["restored"], document["already_present"], document["dead"]) == (35, 5, 0), kind
    assert house.rows(chunk) == b"p" * 5 + b"r" * 35, kind
    assert set(invited) <= house.sandbox.links(), kind
    assert stats(house)["created"] - created == 35, kind
    house.sandbox.call("DELETE", "faults")


def test_workers_killed_in_the_middle_make_nothing_twice_and_lose_nothing(house: House) -> None:
    fast(house)
    house.sandbox.call("PATCH", "options", {"latency_ms": 20})
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "10"
    invited = guests(600)
    house.sandbox.add_links([("calendar:address", 1000, 99)])  # so that this account is seen to see such links
    chunks = [
        push_undo(house, [[*link, "confirmed"] for link in invited[start : start + 100]], run="undo", first_row=start)
        for start in range(0, 600, 100)
    ]
    for number in range(3):
        worker = house.start_worker()
        eventually(lambda number=number: house.rows(*chunks).count(b"r") > 100 * number)  # type: ignore[misc]  # mypy cannot type lambda defaults
        worker.kill()
    house.start_worker()
    documents = house.all_ended(chunks)
    assert sum(document["restored"] for document in documents.values()) == 600
    assert house.rows(*chunks) == b"r" * 600
    assert set(invited) <= house.sandbox.links()
    told = stats(house)
    assert (told["created"], told["created_existing"]) == (600, [])
    eventually(lambda: house.client.hlen(keys.CLAIMED) == 0)


def test_what_an_undo_could_not_restore_is_told_as_that_and_replayed_as_that(house: House) -> None:
    fast(house)
    house.sandbox.call("PUT", "rights", {"unknown_records": [1000]})
    house.start_worker()
    chunk = push_undo(house, [["calendar:address", 1000, 1, "sent"], ["estate:address:owner", 5, 6]], run="undo")
    assert house.ended(chunk)["dead"] == 1
    shown = house.run("dead", "show", f"{chunk}:0")
    assert "to be there again" in shown.stdout
    assert "cannot be made anew" in shown.stdout
    house.sandbox.call("PUT", "rights", {"unknown_records": []})
    replayed = house.run("dead", "replay", f"{chunk}:0", "--because", "record is back", "--yes")
    assert replayed.returncode == 0, replayed.stderr
    eventually(lambda: ("calendar:address", 1000, 1) in house.sandbox.links())
    assert state(house)[1] == [
        {"relationtype": "calendar:address", "parentid": 1000, "childid": 1, "confirmation": "sent"}
    ]
    letter = house.job(f"{chunk}:0")
    job = house.ended(str(letter["replayed_as"]))
    assert (job["action"], job["restored"]) == ("restore", 1)
    assert house.run("job", job["id"]).returncode == 0
    assert house.sandbox.actions("delete") == []


def test_a_dead_replay_of_a_restore_remembers_how_often_it_was_tried(house: House) -> None:
    fast(house)
    house.sandbox.call("PUT", "rights", {"unknown_records": [5]})
    house.start_worker()
    chunk = push_undo(house, [["estate:address:owner", 5, 6]])
    house.ended(chunk)
    house.run("dead", "replay", f"{chunk}:0", "--because", "try", "--yes")
    second = str(eventually(lambda: house.job(f"{chunk}:0").get("replayed_as")))
    house.ended(second)
    letter = json.loads(house.run("dead", "show", f"{second}:0", "--json").stdout)
    assert (letter["action"], letter["replays"], letter["replay_of"]) == ("restore", 1, f"{chunk}:0")
    assert letter["reason"] == "UnknownRecord"


def test_a_halted_account_restores_nothing_until_it_is_resumed(house: House) -> None:
    house.run("accounts", "halt", "default", "--reason", "test")
    accounts = house.home / "accounts.toml"
    accounts.write_text(f'[accounts.other]\ntoken = "{DEFAULT_TOKEN}"\nsecret = "{DEFAULT_SECRET}"\n')
    house.start_worker(UNLINKER_ACCOUNTS_FILE=str(accounts))  # else a worker with nothing but halts claims nothing
    chunk = push_undo(house, [list(link) for link in guests(30)])
    eventually(lambda: house.status(chunk) == "parked")
    assert house.sandbox.actions("create") == []
    house.run("accounts", "resume", "default")
    assert house.ended(chunk)["restored"] == 30


def test_a_status_that_cannot_be_read_holds_the_deletion_up(house: House) -> None:
    fast(house)
    house.settings["UNLINKER_KEEP_CONFIRMATION"] = "true"
    link = guests(1)[0]
    invite(house, [link])
    house.sandbox.fault("reset_before", times=3, match={"action": "read"})
    house.start_worker()
    job = house.unlink(*link)
    assert house.ended(job)["outcome"] == "unlinked"
    log = house.sandbox.requests()
    names = [[action["action"] for action in request["actions"]] for request in log if not request["fault"]]
    assert names.index(["read"]) < names.index(["delete"])
    deeds = json.loads(house.run("journal", "list", "--json").stdout)
    assert [deed["confirmation"] for deed in deeds] == [STATUSES[(link[1] + link[2]) % 4]]


def test_a_status_that_nobody_may_read_keeps_the_link(house: House) -> None:
    fast(house)
    house.settings["UNLINKER_KEEP_CONFIRMATION"] = "true"
    invited = guests(2)
    invite(house, invited)
    house.sandbox.fault("action_code", times=None, params={"code": 169}, match={"action": "read"})
    house.start_worker()
    documents = house.all_ended([house.unlink(*link) for link in [*invited, OTHERS[0]]])
    assert sorted(str(document.get("reason")) for document in documents.values()) == ["None", "NotSaved", "NotSaved"]
    assert set(invited) <= house.sandbox.links()
    assert {action["parentid"] for action in house.sandbox.actions("delete")} == {OTHERS[0][1]}


def test_any_celery_app_can_send_an_undo_and_gets_its_counts(house: House) -> None:
    house.start_worker()
    first, second = guests(2)
    app = Celery(broker=house.redis_url, backend=house.redis_url)
    following = app.signature("unlinker.undo", kwargs={"relations": [list(second)]}, queue="bulk", immutable=True)
    kwargs = {"relations": [[*first, "sent"], ["task:address", 1, 2]]}
    sent = app.send_task("unlinker.undo", kwargs=kwargs, queue="bulk", link=following)
    counts = sent.get(timeout=30)
    assert (counts["outcome"], counts["restored"], counts["dead"]) == ("done", 1, 1)
    eventually(lambda: second in house.sandbox.links())
    with pytest.raises(Exception, match="relations"):
        app.send_task("unlinker.undo", kwargs={"relations": []}, queue="bulk").get(timeout=30)
    app.close()
