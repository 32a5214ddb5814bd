"""Every request to onOffice goes in its account's limit, whoever sends it."""

import json

from tests.harness import House, eventually

TYPE = "calendar:address"
RATE, IN_FLIGHT = 3, 2


def test_doctors_and_checks_beside_a_worker_keep_to_the_limit(house: House) -> None:
    house.sandbox.call("PATCH", "options", {"latency_ms": 500})
    house.settings |= {
        "UNLINKER_REQUESTS_PER_SECOND": str(RATE),
        "UNLINKER_MAX_IN_FLIGHT": str(IN_FLIGHT),
        "UNLINKER_ACTIONS_PER_REQUEST": "1",
    }
    house.start_worker()
    jobs = [house.unlink(TYPE, 671, number) for number in range(1, 11)]
    eventually(lambda: house.sandbox.actions("delete"))
    asking = [house.start(*command) for command in (["doctor"], ["accounts", "check"]) for _ in range(3)]
    for process in asking:
        assert process.popen.wait(60) == 0, process.text()
    house.all_ended(jobs)
    stats = house.sandbox.call("GET", "stats")
    assert stats["requests"] >= len(jobs) + len(asking)
    assert stats["worst_second"]["default"] <= RATE + 1
    assert stats["most_in_flight"] <= IN_FLIGHT


def test_without_redis_doctor_sends_one_request_and_says_so_and_a_check_sends_none(house: House) -> None:
    away = "redis://127.0.0.1:1/0"
    doctor = house.run("doctor", "--json", UNLINKER_REDIS_URL=away)
    assert doctor.returncode == 3
    checks = {check["name"]: check for check in json.loads(doctor.stdout)["checks"]}
    assert checks["default"]["text"] == "credentials work (sent without the limiter, since Redis cannot be asked)"
    assert len(house.sandbox.requests()) == 1
    check = house.run("accounts", "check", UNLINKER_REDIS_URL=away)
    assert (check.returncode, check.stdout) == (3, "")
    assert len(house.sandbox.requests()) == 1


def test_a_halted_account_can_be_checked_and_a_pause_is_waited_for(house: House) -> None:
    assert house.here("accounts", "halt", "--all").returncode == 0
    assert house.here("accounts", "check").returncode == 0
    house.sandbox.fault("throttle_429", params={"retry_after": 60})
    slowed = house.here("accounts", "check")
    assert slowed.returncode == 1
    assert "HTTP 429" in slowed.stdout
    requests = len(house.sandbox.requests())
    paused = house.here("doctor", "--json")
    assert paused.returncode == 3
    checks = {check["name"]: check for check in json.loads(paused.stdout)["checks"]}
    assert "left no room for a request" in checks["default"]["text"]
    assert len(house.sandbox.requests()) == requests


def test_probes_of_an_outage_keep_their_place_while_they_are_on_the_way(house: House) -> None:
    """A probe may take longer than its lease: it is renewed, so that no more than one request is on its way."""
    house.settings |= {
        "UNLINKER_MAX_IN_FLIGHT": "1",
        "UNLINKER_REQUESTS_PER_SECOND": "1000",
        "UNLINKER_REQUEST_TIMEOUT": "6",
    }
    house.start_worker()
    house.start_worker()
    house.sandbox.fault("bad_gateway_502", times=None)
    job = house.unlink(TYPE, 671, 153)
    eventually(lambda: house.ask("accounts", "list")[0]["halted"])
    house.sandbox.call("DELETE", "faults")
    house.sandbox.fault("hang_before", times=1, params={"seconds": 5})
    house.ended(job)
    assert house.sandbox.call("GET", "stats")["most_in_flight"] == 1
