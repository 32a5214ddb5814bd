"""Redis loses everything under live workers: runs are applied again, count what is true, and hold nobody up."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.embedded_valkey import ensure_running
from tests.acceptance.test_bulk_apply import plan_of
from tests.faults.test_redis import kill_valkey
from tests.faults.test_workers import fast, many
from tests.harness import House, eventually
from worker.stores import keys
from worker.stores.runs import Runs

ROWS = 600
CHUNK_ROWS = "unlinker:rows:*"


def flushed(house: House) -> None:
    """FLUSHALL, as somebody's hand does it."""
    house.client.flushall()


def replaced(house: House) -> None:
    """Another, empty server at the same address."""
    kill_valkey(house)
    shutil.rmtree(next((house.home / "valkey").glob("appendonlydir")))
    ensure_running(house.home)


@pytest.mark.parametrize("emptied", [flushed, replaced])
def test_a_plan_that_is_applied_again_after_redis_was_emptied_ends(
    house: House, emptied: Callable[[House], None]
) -> None:
    """Answers to the requests on the wire come in while nobody knows the run; then it is started anew."""
    house.settings |= {"UNLINKER_REQUESTS_PER_SECOND": "20", "UNLINKER_MAX_IN_FLIGHT": "4"}
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "20"
    links = many(house, ROWS)
    plan = plan_of(house, links)
    for _ in range(2):
        house.start_worker()
    assert _apply(house, plan) == 0
    eventually(lambda: len(house.sandbox.actions()) >= 100)
    house.sandbox.call("PATCH", "options", {"latency_ms": 1500})
    sent = len(house.sandbox.requests())
    eventually(lambda: len(house.sandbox.requests()) >= sent + 2)
    follower = house.start("bulk", "status", _run_id(plan), "--follow")
    follower.wait_for(f"of {ROWS}")
    emptied(house)
    assert follower.popen.wait(60) == 3
    assert "Apply the plan again" in follower.text()
    eventually(lambda: next(house.client.scan_iter(CHUNK_ROWS), None))  # the answers came, and were written
    assert _apply(house, plan) == 0
    house.sandbox.call("PATCH", "options", {"latency_ms": 0})
    run = _over(house, _run_id(plan))
    assert run["state"] == "done"
    assert run["done"] == ROWS == run["unlinked"] + run["already_absent"]
    assert not set(links) & house.sandbox.links()
    assert house.here("bulk", "apply", str(plan_of(house, many(house, 5, first=2000))), "--yes").returncode == 0


def test_a_cancel_ends_a_run_whose_messages_are_lost_and_frees_its_account(house: House) -> None:
    """Nobody has these chunks any more: no worker will ever end their rows."""
    fast(house)
    house.sandbox.call("PATCH", "options", {"latency_ms": 300})
    plan = plan_of(house, many(house, ROWS))
    worker = house.start_worker()
    assert _apply(house, plan) == 0
    eventually(lambda: house.client.llen("bulk") + house.client.hlen(keys.CLAIMED) > 0)
    worker.kill()
    house.client.delete("bulk", keys.CLAIMED, keys.LEASES, keys.DELAYED)
    house.start_worker()
    assert house.here("bulk", "cancel", _run_id(plan)).returncode == 0
    house.sandbox.call("PATCH", "options", {"latency_ms": 0})
    other = plan_of(house, many(house, 5, first=2000))
    assert house.here("bulk", "apply", str(other), "--yes").returncode == 0, "what is cancelled sends nothing more"
    name = keys.run(_run_id(plan))
    eventually(lambda: house.client.hexists(name, "moved_at"))
    for moment in ("moved_at", "steered_at"):  # nothing has moved for a minute
        house.client.hincrby(name, moment, -60_000)
    run = _over(house, _run_id(plan))
    assert run["state"] == "cancelled"


def test_a_run_whose_record_is_gone_holds_nobody_up_and_can_be_cleared(house: House) -> None:
    """No worker is up that would notice."""
    plan = plan_of(house, many(house, 5))
    assert house.here("bulk", "apply", str(plan), "--yes", "--detach").returncode == 0
    run_id = _run_id(plan)
    house.client.delete(keys.run(run_id))
    assert Runs(house.client).holder("default") is None
    other = plan_of(house, many(house, 5, first=2000))
    assert house.here("bulk", "apply", str(other), "--yes", "--detach").returncode == 0
    cleared = house.here("bulk", "cancel", run_id)
    assert (cleared.returncode, "records are gone" in cleared.stderr) == (0, True)
    assert house.here("bulk", "cancel", run_id).returncode == 2, "now nobody knows it"


def test_a_claim_of_an_emptied_server_is_never_that_of_another_message(house: House) -> None:
    """A worker holds its old claims a while; a number that begins anew would let it ack another job's message."""
    house.sandbox.call("PATCH", "options", {"latency_ms": 3000})
    house.settings |= {"UNLINKER_ACTIONS_PER_REQUEST": "1", "UNLINKER_MAX_IN_FLIGHT": "3"}
    worker = house.start_worker()
    links = many(house, 6)
    before = [house.unlink(*link) for link in links[:3]]
    eventually(lambda: len(house.sandbox.requests()) >= 3)
    time.sleep(1)  # so that they end well before the others do
    house.client.flushall()
    ids = [house.push({"relationtype": kind, "parentid": a, "childid": b}) for kind, a, b in links[3:]]
    eventually(lambda: house.client.hlen(keys.CLAIMED) == 3)
    house.all_ended(before)
    worker.kill()
    house.start_worker()
    documents = house.all_ended(ids)
    assert {document["outcome"] for document in documents.values()} == {"unlinked"}


def _apply(house: House, plan: Path) -> int:
    return house.here("bulk", "apply", str(plan), "--yes", "--detach", "--max-deletions", str(ROWS)).returncode


def _run_id(plan: Path) -> str:
    return str(json.loads(plan.read_text().splitlines()[0])["id"])


def _over(house: House, run_id: str) -> dict[str, Any]:
    def document() -> Any:
        found = house.ask("bulk", "status", run_id)
        return found if found["over"] else None

    return dict(eventually(document, 100))
