"""Schedulers and workers as processes: each slot once, whoever dies."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.harness import House, eventually
from tests.nights import KIND
from worker.engine import envelope
from worker.stores import keys
from worker.stores.nights import Handled, Nights, schedule_of
from worker.unlinking.night import NightStatus
from worker.unlinking.slots import Timing

POLICY = """
[truth]
enabled = false
[policies.sold]
relationtype = "{kind}"
schedule = "{cron}"
mode = "apply"
[policies.sold.scope]
ids = [1, 2, 3]
[policies.sold.keep]
ids = [10]
"""


def cron_of(moment: datetime) -> str:
    return f"{moment.minute} {moment.hour} * * *"


def write_policy(house: House) -> Timing:
    """A policy whose slot was ten minutes ago; its links."""
    slot = datetime.now(UTC) - timedelta(minutes=10)
    (house.home / "policies.toml").write_text(POLICY.format(kind=KIND, cron=cron_of(slot)))
    house.settings["UNLINKER_POLICIES_FILE"] = str(house.home / "policies.toml")
    house.sandbox.add_links((KIND, parent, child) for parent in (1, 2, 3) for child in (10, 11, 12))
    return Timing(cron_of(slot), "UTC", 6 * 3600)


def control(house: House, policy: str = "") -> list[dict[str, Any]]:
    """Headers of messages to the workers that wait."""
    headers = [json.loads(each)["headers"] for each in house.client.lrange(keys.QUEUES[1], 0, -1)]
    return [each for each in headers if policy in each["kwargsrepr"]]


def test_several_schedulers_take_turns_and_each_slot_is_one_night(house: House) -> None:
    timing = write_policy(house)
    nights = Nights(house.client)
    nights.note_handled("sold", Handled(schedule_of(timing), time.time() - 2 * 86400))
    schedulers = [house.start("scheduler", "--loop", "0.4", "--look-every", "1") for _ in range(2)]
    eventually(lambda: any("is at work" in each.text() for each in schedulers))
    sent = eventually(lambda: control(house) if len(control(house)) >= 6 else None)
    assert {each["task"] for each in sent} == {"unlinker.reconcile"}
    assert 2 <= len(control(house, "sold")) <= 5, "one of them sends, once a second"
    first = next(each for each in schedulers if "is at work" in each.text())
    second = next(each for each in schedulers if each is not first)
    assert "is at work" not in second.text()
    first.kill()
    start = time.monotonic()
    second.wait_for("is at work")
    assert time.monotonic() - start < 10, "five loops of 0.4 s, and some seconds for a slow machine"
    for _ in range(2):
        house.start_worker()
    night = eventually(
        lambda: next((each for each in nights.of_policy("sold") if not each.is_open), None) or look(house)
    )
    assert (night.status, night.counts["unlinked"], night.missed) == (NightStatus.DONE, 6, 1)
    assert len(nights.of_policy("sold")) == 1
    assert {link for link in house.sandbox.links() if link[0] == KIND and link[1] < 10} == {
        (KIND, parent, 10) for parent in (1, 2, 3)
    }
    assert second.terminate() < 10
    assert second.popen.returncode == 0
    assert house.client.exists(f"{keys.SCHEDULER_PREFIX}lock") == 0, "given back, so that the next one begins at once"


def look(house: House) -> bool:
    """As the scheduler does every minute; never true."""
    message = envelope.write("unlinker.reconcile", f"look-{time.monotonic_ns()}", {"policy": "sold"})
    house.client.lpush(keys.QUEUES[1], message)
    return False


def test_a_scheduler_outlives_its_redis_and_says_what_it_cannot_do(house: House) -> None:
    (house.home / "policies.toml").write_text("[policies.x]\nnonsense = 1\n")
    broken = house.run("scheduler", UNLINKER_POLICIES_FILE=str(house.home / "policies.toml"))
    assert broken.returncode == 2
    assert "policies.toml:2: policies.x.nonsense: is no key here" in broken.stderr
    scheduler = house.start("scheduler", "--loop", "0.4")
    scheduler.wait_for("is at work")
    house.client.delete(f"{keys.SCHEDULER_PREFIX}lock")  # as a Redis does that forgot the last second
    scheduler.wait_for("begins anew")
    eventually(lambda: scheduler.text().count("is at work") == 2)
    assert scheduler.popen.poll() is None


def test_a_message_that_says_nothing_any_more_is_dropped(house: House) -> None:
    write_policy(house)
    nights = Nights(house.client)
    for expires in ("2020-01-01T00:00:00+00:00", (datetime.now(UTC) + timedelta(hours=1)).isoformat()):
        message = json.loads(envelope.write("unlinker.reconcile", f"x-{expires[:4]}", {"policy": "sold"}))
        message["headers"]["expires"] = expires
        house.client.lpush(keys.QUEUES[1], json.dumps(message))
    house.start_worker()
    eventually(lambda: house.client.llen(keys.QUEUES[1]) == 0 and house.client.hlen(keys.CLAIMED) == 0)
    results = [json.loads(house.client.get(name) or b"{}") for name in house.client.keys("celery-task-meta-x-*")]
    assert [each["task_id"] for each in results] == [f"x-{datetime.now(UTC).year}"]
    assert results[0]["result"] == {"policy": "sold", "night": None, "status": None}
    assert nights.handled("sold") is not None


def test_a_worker_that_is_stopped_does_not_wait_for_a_night(house: House) -> None:
    """The night is worked out by whoever looks next."""
    timing = write_policy(house)
    house.sandbox.fault("slow", None, params={"seconds": 20})
    worker = house.start_worker()
    nights = Nights(house.client)
    nights.note_handled("sold", Handled(schedule_of(timing), time.time() - 2 * 86400))
    look(house)
    night = eventually(lambda: nights.open_night("sold"))
    assert night.status is NightStatus.PLANNING
    assert worker.terminate() < 15
    house.sandbox.call("DELETE", "faults")
    house.client.delete(keys.night_lease("sold"))  # as when it runs out, a minute later
    house.start_worker()
    eventually(lambda: nights.of_policy("sold")[0].status is NightStatus.DONE or look(house), every=0.5)
    assert nights.of_policy("sold")[0].attempts == 2
    assert len(nights.of_policy("sold")) == 1
