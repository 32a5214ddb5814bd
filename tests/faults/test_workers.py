"""Workers that die, hang, or are stopped. Celery's own transport loses jobs here; see test_stock_celery.py."""

import signal
import time

from tests.harness import House, eventually

LINK = ("calendar:address", 671, 153)


def many(house: House, count: int, first: int = 1) -> list[tuple[str, int, int]]:
    links = [("calendar:address", first + number, 5) for number in range(count)]
    house.sandbox.add_links(links)
    return links


def fast(house: House) -> None:
    house.settings |= {"UNLINKER_REQUESTS_PER_SECOND": "200", "UNLINKER_MAX_IN_FLIGHT": "20"}


def test_a_killed_workers_jobs_are_taken_over_and_looked_at(house: House) -> None:
    house.sandbox.fault("hang_after", params={"seconds": 60}, match={"childid": 153})
    worker = house.start_worker()
    job_id = house.unlink(*LINK)
    eventually(lambda: house.status(job_id) == "sent" and LINK not in house.sandbox.links())
    worker.kill()
    killed = time.monotonic()
    house.start_worker()
    document = house.ended(job_id)
    assert time.monotonic() - killed < 3 + 5, "visibility timeout + 5 s"
    assert (document["outcome"], document["evidence"]) == ("unlinked", "read_back")
    assert len(house.sandbox.actions()) == 1, "it was read back, not deleted twice"


def test_no_job_is_lost_when_workers_are_killed_again_and_again(house: House) -> None:
    fast(house)
    house.sandbox.call("PATCH", "options", {"latency_ms": 20})
    links = many(house, 600)
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "5"
    ids = [house.unlink(*link) for link in links]
    for number in range(5):
        worker = house.start_worker()
        wait_for_actions(house, (number + 1) * 60)
        worker.kill()
    house.start_worker()
    documents = house.all_ended(ids)
    assert {document["outcome"] for document in documents.values()} == {"unlinked"}
    assert not set(links) & house.sandbox.links()
    assert house.sandbox.call("GET", "stats")["deleted_twice"] == []


def test_a_stopped_and_killed_worker_loses_nothing(house: House) -> None:
    """SIGSTOP while it waits for messages, then SIGKILL: stock Celery loses 7 of 10 here."""
    workers = [house.start_worker() for _ in range(2)]
    ids = []
    for round_ in range(4):
        victim = workers[round_ % 2]
        victim.popen.send_signal(signal.SIGSTOP)
        ids += [house.unlink(*link) for link in many(house, 3, first=100 * round_ + 1)]
        time.sleep(0.3)
        victim.kill()
        workers[round_ % 2] = house.start_worker()
    documents = house.all_ended(ids)
    assert {document["outcome"] for document in documents.values()} == {"unlinked"}


def test_a_frozen_worker_that_wakes_up_does_not_write_a_second_outcome(house: House) -> None:
    house.sandbox.fault("slow", params={"seconds": 2}, match={"childid": 153})
    sleeper = house.start_worker()
    job_id = house.unlink(*LINK)
    eventually(lambda: house.status(job_id) == "sent")
    sleeper.popen.send_signal(signal.SIGSTOP)
    house.start_worker()
    document = house.ended(job_id)
    sleeper.popen.send_signal(signal.SIGCONT)
    time.sleep(2.5)
    assert house.job(job_id)["outcome"] == document["outcome"] == "unlinked"
    assert house.job(job_id)["ended_at"] == document["ended_at"]
    assert sleeper.popen.poll() is None


def test_sigterm_finishes_what_is_on_the_wire_and_gives_the_rest_back(house: House) -> None:
    house.sandbox.call("PATCH", "options", {"latency_ms": 1000})
    house.settings |= {"UNLINKER_ACTIONS_PER_REQUEST": "10", "UNLINKER_REQUESTS_PER_SECOND": "2"}
    links = many(house, 60)
    ids = [house.unlink(*link) for link in links]
    worker = house.start_worker()
    eventually(lambda: len([1 for job_id in ids if house.status(job_id) == "sent"]) >= 10)
    worker.terminate(timeout=20)
    assert worker.popen.returncode == 0
    statuses = [house.status(job_id) for job_id in ids]
    assert set(statuses) == {"ended", "queued"}, statuses
    assert house.client.hlen("unlinker:claimed") == 0
    assert house.client.llen("unlink") == statuses.count("queued")
    house.settings["UNLINKER_REQUESTS_PER_SECOND"] = "50"
    house.start_worker()
    house.all_ended(ids)
    assert len(house.sandbox.actions()) == 60, "each was sent once"


def test_sigquit_stops_at_once_and_what_was_on_the_wire_is_looked_at(house: House) -> None:
    house.sandbox.fault("hang_after", params={"seconds": 30}, match={"childid": 153})
    worker = house.start_worker()
    job_id = house.unlink(*LINK)
    eventually(lambda: house.status(job_id) == "sent" and LINK not in house.sandbox.links())
    assert worker.terminate(signal.SIGQUIT) < 5
    assert house.status(job_id) == "queued"
    house.start_worker()
    document = house.ended(job_id)
    assert (document["outcome"], document["evidence"]) == ("unlinked", "read_back")
    assert document.get("deaths") is None, "a stop is no death"


def test_a_rolling_restart_under_load_loses_and_repeats_nothing(house: House) -> None:
    fast(house)
    house.sandbox.call("PATCH", "options", {"latency_ms": 30})
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "5"
    links = many(house, 600)
    workers = [house.start_worker(), house.start_worker()]
    ids = [house.unlink(*link) for link in links]
    for number in range(2):
        fresh = house.start_worker()
        assert workers[number].terminate() < 10
        workers[number] = fresh
    house.all_ended(ids)
    assert len(house.sandbox.actions()) == 600


def test_poison_is_found_out_and_its_neighbours_are_unharmed(house: House) -> None:
    """A job during whose own run workers die: after two deaths it runs alone, after three more it is a dead letter."""
    house.sandbox.fault("hang_before", times=None, params={"seconds": 60}, match={"childid": 153})
    poison = house.unlink(*LINK)
    neighbours = [house.unlink(*link) for link in many(house, 5)]
    for death in range(2 + 3):
        worker = house.start_worker()
        wait_for_hanging(house, death + 1)
        worker.kill()
    house.start_worker()
    document = house.ended(poison)
    assert (document["outcome"], document["reason"]) == ("dead", "Poison")
    assert {d["outcome"] for d in house.all_ended(neighbours).values()} == {"unlinked"}


def wait_for_actions(house: House, count: int) -> None:
    eventually(lambda: len(house.sandbox.actions()) >= count)


def wait_for_hanging(house: House, count: int) -> None:
    eventually(lambda: [r["fault"] for r in house.sandbox.requests()].count("hang_before") >= count)
