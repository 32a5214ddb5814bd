"""Automatic redrive: what is due, how often, within which deadline; and `unlinker dead redrive`."""

import threading
import time
from collections.abc import Iterator

import pytest
import redis

from gateway.cli import run
from tasks.housekeeping import Housekeeping
from tasks.redriving import Redriver
from tasks.replay import Replayer
from tests.ends import die
from worker.stores import keys
from worker.stores.audit import Audit
from worker.stores.clearing import Clearing
from worker.stores.dead_letters import DeadLetters
from worker.stores.keep_rules import KeepRules
from worker.stores.letter import Filter
from worker.stores.wishes import Wishes
from worker.unlinking.outcome import dead
from worker.unlinking.redriving import HOUR, RedrivePolicy

PASSING = dead("Exhausted", 1, "later")


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def redriver(client: "redis.Redis", hours: float) -> Redriver:
    """As it will be some hours from now."""

    def clock() -> float:
        return time.time() + hours * HOUR

    return Redriver(DeadLetters(client), Replayer(Wishes(client), clock), RedrivePolicy(), clock)


def due(client: "redis.Redis", hours: float) -> list[str]:
    return [letter.id for some in redriver(client, hours).due() for letter in some]


def test_only_passing_troubles_are_tried_again_and_not_at_once(redis_url: str, client: "redis.Redis") -> None:
    die(redis_url, ["passing"], PASSING)
    die(redis_url, ["lasting"], dead("NotDeletable", 168, "kept"))
    assert due(client, 0.9) == []
    assert due(client, 1.1) == ["passing"]


def test_a_wish_is_redriven_three_times_later_each_time_and_no_more(redis_url: str, client: "redis.Redis") -> None:
    letter = "letter"
    die(redis_url, [letter], PASSING)
    for hours, too_early in ((1.1, 0.9), (4.1, 3.9), (16.1, 15.9)):
        assert due(client, too_early) == []
        (again,) = redriver(client, hours).move(DeadLetters(client).read([letter]))
        document = Wishes(client).document(again)
        assert document is not None
        assert (document["status"], document["replay_of"]) == ("queued", letter)
        die(redis_url, [again], PASSING)  # and it dies once more
        letter = again
    (found,) = DeadLetters(client).read([letter])
    assert (found.redrives, found.replays) == (3, 3)
    assert due(client, 100) == []
    (asked,) = Replayer(Wishes(client), time.time).replay([found])
    die(redis_url, [asked], PASSING)
    assert due(client, 1.1) == [asked], "an operator's replay starts the count anew"


def test_no_redrive_outlives_the_deadline(redis_url: str, client: "redis.Redis") -> None:
    """Seven days after it was first seen a link may have been made anew, and nobody was asked."""
    die(redis_url, ["letter"], PASSING)
    (letter,) = DeadLetters(client).read(["letter"])
    assert due(client, 7 * 24 - 1) == ["letter"]
    assert due(client, 7 * 24 + 1) == []
    assert redriver(client, 7 * 24 + 1).move([letter]) == []
    die(redis_url, ["given"], PASSING)
    client.hset(keys.job("given"), "deadline", int((time.time() + HOUR) * 1000))  # its producer wanted it sooner
    assert due(client, 1.5) == ["letter"], "nor of what its producer said"
    (again,) = redriver(client, 7 * 24 - 1).move([letter])
    document = Wishes(client).document(again)
    assert document is not None
    assert document["not_after"] == pytest.approx(letter.deadline, abs=0.01), "the deadline stays what it was"


def housekeeping(client: "redis.Redis", hours: float, rate: float = 1000.0) -> Housekeeping:
    rules = Clearing(client, KeepRules(), None, lambda: True)
    later = redriver(client, hours)
    return Housekeeping(client=client, redriver=later, clearing=rules, redrives_per_second=rate, may_go_on=lambda: True)


def test_two_passes_at_once_move_each_letter_once(redis_url: str, client: "redis.Redis") -> None:
    """With the lease, and without it as when the first holder was frozen."""
    die(redis_url, [f"letter-{number}" for number in range(200)], PASSING)
    found: list[dict[str, object]] = []
    start = threading.Barrier(3)

    def keep_house(steals: bool) -> None:
        with redis.Redis.from_url(redis_url) as own:
            start.wait()
            if steals:
                own.delete(keys.HOUSEKEEPING)
            found.append(housekeeping(own, 1.1).run(time.time()))

    threads = [threading.Thread(target=keep_house, args=(steals,)) for steals in (False, True, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = [result.get("redriven", 0) for result in found]
    assert sum(int(str(count)) for count in counts) == 200
    assert client.llen(keys.QUEUES[0]) == 200
    assert not client.exists(keys.HOUSEKEEPING), "the next pass need not wait"
    ends = [act for act in Audit(client).acts() if act.count is not None]
    assert {(act.action, act.by) for act in ends} == {("redrive", "redrive")}
    assert sum(act.count or 0 for act in ends) == 200


def test_a_pass_waits_for_another_that_is_at_work(client: "redis.Redis") -> None:
    client.set(keys.HOUSEKEEPING, "somebody")
    assert housekeeping(client, 0).run(time.time()) == {"busy": True}
    assert client.get(keys.HOUSEKEEPING) == b"somebody"


def test_a_pass_keeps_its_rate_and_leaves_no_trace_of_nothing(redis_url: str, client: "redis.Redis") -> None:
    nothing = {"redriven": 0, "letters_dropped": 0, "journal_dropped": 0}
    assert housekeeping(client, 0).run(time.time()) == nothing
    assert list(Audit(client).acts()) == []
    die(redis_url, [f"letter-{number}" for number in range(30)], PASSING)
    start = time.monotonic()
    assert housekeeping(client, 1.1, rate=50).run(time.time()) == {**nothing, "redriven": 30}
    assert time.monotonic() - start > 30 / 50 - 0.05


def test_by_hand(
    redis_url: str, client: "redis.Redis", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNLINKER_REDIS_URL", redis_url)
    die(redis_url, ["young", "old"], PASSING)
    client.hset(keys.job("old"), "ended_at", int((time.time() - 2 * HOUR) * 1000))
    client.hset(keys.job("young"), "ended_at", int((time.time() - 2 * HOUR) * 1000) - 1)  # the order of ends stays
    die(redis_url, ["younger"], PASSING)
    assert run(["dead", "redrive", "--dry-run", "--json"]) == 0
    assert '"count": 2' in capsys.readouterr().out
    assert client.llen(keys.QUEUES[0]) == 0
    assert run(["dead", "redrive", "--json", "--rate", "100"]) == 0
    assert '"moved": 2' in capsys.readouterr().out
    assert client.llen(keys.QUEUES[0]) == 2
    assert DeadLetters(client).count(Filter()) == 1
    assert [(act.action, act.count) for act in Audit(client).acts()] == [("dead redrive", None), ("dead redrive", 2)]
