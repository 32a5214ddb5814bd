"""An API that is slow, throttles, lies, cuts, hangs or is down: the outcome is true, and no attempt is wasted."""

import json
import time

import pytest

from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN
from tests.faults.test_workers import LINK, fast, many
from tests.harness import House, eventually

GONE = "unlinked"
SIDE = {"childid": 153, "action": "delete"}


@pytest.mark.parametrize(
    ("fault", "params", "outcome", "evidence"),
    [
        ("reset_before", {}, GONE, "answered"),
        ("reset_after", {}, GONE, "read_back"),
        ("cut_body", {"bytes": 40}, GONE, "read_back"),
        ("empty_body", {}, GONE, "read_back"),
        ("truncated_json", {}, GONE, "read_back"),
        ("wrong_shape", {}, GONE, "read_back"),
        ("gzip_bomb", {"megabytes": 64}, GONE, "read_back"),
        ("html_200", {}, GONE, "answered"),
        ("bad_gateway_502", {}, GONE, "answered"),
        ("drop_results", {"count": 1}, GONE, "read_back"),
        ("foreign_identifier", {}, GONE, "read_back"),
        ("lie_error", {}, "already_absent", "read_back"),
        ("throttle_429", {"retry_after": "1"}, GONE, "answered"),
        ("throttle_429", {}, GONE, "answered"),
        ("throttle_429", {"retry_after": "-1"}, GONE, "answered"),
        ("unavailable_503", {"retry_after": "Thu, 01 Jan 1970 00:00:00 GMT"}, GONE, "answered"),
        ("request_code", {"code": 1}, GONE, "answered"),
        ("action_code", {"code": 1, "done": True}, "already_absent", "read_back"),
        ("action_code", {"code": 80, "done": True}, "already_absent", "read_back"),
        ("action_code", {"code": 80}, GONE, "answered"),  # the link was made just after the answer
        ("action_code", {"code": 137}, GONE, "answered"),
        ("hang_before", {"seconds": 5}, GONE, "answered"),
        ("hang_after", {"seconds": 5}, GONE, "read_back"),
    ],
)
def test_one_fault_ends_in_a_true_outcome(
    house: House, fault: str, params: dict[str, object], outcome: str, evidence: str
) -> None:
    house.sandbox.fault(fault, params=params, match=SIDE)
    house.start_worker(UNLINKER_REQUEST_TIMEOUT="2", UNLINKER_REQUESTS_PER_SECOND="50")
    document = house.ended(house.unlink(*LINK))
    assert (document["outcome"], document["evidence"]) == (outcome, evidence)
    assert LINK not in house.sandbox.links()


def test_a_success_that_reads_contradict_stands_and_says_what_was_seen(house: House) -> None:
    house.sandbox.fault("lie_ok", times=None, match=SIDE)
    house.start_worker(UNLINKER_VERIFY="always", UNLINKER_MAX_ATTEMPTS="2", UNLINKER_REQUESTS_PER_SECOND="50")
    document = house.ended(house.unlink(*LINK))
    assert (document["outcome"], document["proven"], document["by"]) == ("unlinked", False, "us")
    assert document["read_back_showed"] == "present"
    assert "READ_LAG" in document["message"]
    assert len(house.sandbox.actions()) == 1, "what was answered with success is not sent again"
    assert LINK in house.sandbox.links()


def test_absence_that_nobody_can_vouch_for_is_told_apart(house: House) -> None:
    house.sandbox.call("PUT", "rights", {"hidden_parents": [671]})
    house.start_worker()
    document = house.ended(house.unlink(*LINK))
    assert (document["outcome"], document["proven"]) == ("already_absent", False)
    strict = house.start_worker(UNLINKER_REQUIRE_PROOF="true")
    for process in house.processes[1:-1]:
        process.terminate()
    document = house.ended(house.unlink(*LINK))
    assert (document["outcome"], document["reason"]) == ("dead", "Unverified")
    assert strict.popen.poll() is None


def test_one_bad_action_does_not_spoil_its_batch(house: House) -> None:
    """An error to the whole request is halved until the culprit is alone."""
    links = many(house, 20)
    house.sandbox.fault("request_code", times=None, params={"code": 73, "text": "bad"}, match={"parentid": 7})
    ids = {link: house.unlink(*link) for link in links}
    house.start_worker(UNLINKER_REQUESTS_PER_SECOND="100")
    documents = house.all_ended(list(ids.values()))
    assert documents[ids[links[6]]]["reason"] == "BadRequest"
    others = {documents[job_id]["outcome"] for link, job_id in ids.items() if link != links[6]}
    assert others == {"unlinked"}


@pytest.mark.parametrize("kind", ["swap_results", "drop_results", "foreign_identifier"])
def test_mixed_up_results_of_a_batch_find_their_jobs(house: House, kind: str) -> None:
    links = many(house, 6)
    house.sandbox.call(
        "PUT", "links", [{"relationtype": "calendar:address", "parentid": 1, "childid": 5, "undeletable": True}]
    )
    house.sandbox.fault(kind, params={"count": 2})
    ids = [house.unlink(*link) for link in links]
    house.start_worker()
    documents = house.all_ended(ids)
    assert [documents[job_id]["outcome"] for job_id in ids] == ["dead"] + ["unlinked"] * 5
    assert house.sandbox.links() & set(links) == {links[0]}


def test_an_outage_parks_the_queue_and_costs_no_attempt(house: House) -> None:
    url = house.settings["UNLINKER_ONOFFICE_URL"]
    house.start_worker(UNLINKER_ONOFFICE_URL="http://127.0.0.1:1/api.php", UNLINKER_MAX_ATTEMPTS="2")
    ids = [house.unlink(*link) for link in many(house, 20)]
    eventually(lambda: {house.status(job_id) for job_id in ids} == {"parked"} or None)
    listed = json.loads(house.run("accounts", "list", "--json").stdout)
    assert listed[0]["halted"]["by"] == "outage"
    house.processes[-1].terminate()
    house.start_worker(UNLINKER_ONOFFICE_URL=url)
    documents = house.all_ended(ids)
    assert {document["outcome"] for document in documents.values()} == {"unlinked"}
    assert all(int(document.get("attempts", 0)) == 0 for document in documents.values())


def test_an_api_that_hangs_for_everybody_is_an_outage_too(house: House) -> None:
    fast(house)
    house.sandbox.fault("bad_gateway_502", times=None)
    house.start_worker()
    ids = [house.unlink(*link) for link in many(house, 10)]
    eventually(lambda: json.loads(house.run("accounts", "list", "--json").stdout)[0]["halted"])
    house.sandbox.call("DELETE", "faults")
    documents = house.all_ended(ids)
    assert {document["outcome"] for document in documents.values()} == {"unlinked"}


def test_throttling_never_makes_more_requests_than_allowed(house: House) -> None:
    house.settings |= {"UNLINKER_REQUESTS_PER_SECOND": "20", "UNLINKER_ACTIONS_PER_REQUEST": "1"}
    house.sandbox.fault("throttle_429", times=None, probability=0.2)
    links = many(house, 60)
    ids = [house.unlink(*link) for link in links]
    workers = [house.start_worker(), house.start_worker()]
    documents = house.all_ended(ids, 100)
    assert {document["outcome"] for document in documents.values()} == {"unlinked"}
    assert all(int(document.get("attempts", 0)) == 0 for document in documents.values()), "being slowed down is free"
    assert house.sandbox.call("GET", "stats")["worst_second"]["default"] <= 21
    assert all(worker.popen.poll() is None for worker in workers)


def test_halt_all_stops_every_deletion_within_a_second(house: House) -> None:
    house.settings |= {"UNLINKER_REQUESTS_PER_SECOND": "20", "UNLINKER_ACTIONS_PER_REQUEST": "1"}
    links = many(house, 200)
    ids = [house.unlink(*link) for link in links]
    house.start_worker()
    eventually(lambda: len(house.sandbox.actions()) > 10)
    assert house.run("accounts", "halt", "--all", "--reason", "wrong import").returncode == 0
    time.sleep(1)
    stopped = len(house.sandbox.actions())
    time.sleep(1.5)
    assert len(house.sandbox.actions()) == stopped
    waited = house.run("job", ids[-1], "--wait", "--timeout", "5")
    assert waited.returncode in (3, 4)
    house.settings["UNLINKER_REQUESTS_PER_SECOND"] = "100"
    house.run("accounts", "resume", "--all")
    house.start_worker()
    assert {document["outcome"] for document in house.all_ended(ids).values()} == {"unlinked"}


def test_an_account_with_wrong_credentials_holds_up_no_other(house: House) -> None:
    token, secret = house.settings["UNLINKER_ONOFFICE_TOKEN"], house.settings["UNLINKER_ONOFFICE_SECRET"]
    file = house.home / "accounts.toml"
    file.write_text(f'[accounts.bad]\ntoken = "{token}"\nsecret = "{"x" * 64}"\n')
    house.start_worker(UNLINKER_ACCOUNTS_FILE=str(file), UNLINKER_ONOFFICE_SECRET=secret)
    bad = [house.unlink(*link, account="bad") for link in many(house, 30)]
    good = [house.unlink(*link) for link in many(house, 30, first=500)]
    assert {document["outcome"] for document in house.all_ended(good).values()} == {"unlinked"}
    eventually(lambda: {house.status(job_id) for job_id in bad} == {"parked"} or None)


def test_an_account_with_a_long_queue_holds_up_no_other(house: House) -> None:
    """3,000 jobs of an account that may send 10 a second, and then one of another account."""
    accounts = house.home / "accounts.toml"
    accounts.write_text(
        f'[accounts.slow]\ntoken = "{DEFAULT_TOKEN}"\nsecret = "{DEFAULT_SECRET}"\n'
        "requests_per_second = 2\nactions_per_request = 5\n"
    )
    house.settings["UNLINKER_ACCOUNTS_FILE"] = str(accounts)
    ids = [house.unlink("calendar:address", 10_000 + number, 5, account="slow") for number in range(3000)]
    job_id = house.unlink(*LINK)
    house.start_worker()
    assert house.ended(job_id)["outcome"] == "unlinked"
    assert house.status(ids[-1]) != "ended", "the others take five minutes"
    eventually(lambda: house.status(ids[0]) == "ended")
    eventually(lambda: house.status(ids[20]) == "ended")
    states = {house.status(other) for other in ids}
    assert states <= {"ended", "queued", "sent", "parked"}
