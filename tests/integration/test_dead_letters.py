"""Dead letters by the ten thousand, and moved by several operators at once."""

import threading
import uuid
from collections import Counter
from typing import Any

import redis

from benchmarks.letters import dead_letters
from tasks.replay import Replayer
from tests.ends import die
from worker.stores import keys
from worker.stores.dead_letters import DeadLetters
from worker.stores.letter import Filter, Letter
from worker.stores.wishes import Wishes
from worker.unlinking.outcome import dead

COUNT = 300
OPERATORS = 4


def test_pages_filters_and_counts_stay_fast_and_right() -> None:
    """The benchmark of a million letters, small enough for every day; it checks what it measures."""
    figures = dead_letters(25_000)
    assert figures["page_ms"] < 250
    assert figures["slowest_filter_ms"] < 250
    assert figures["slowest_count_ms"] < 1000


def test_operators_at_once_move_every_letter_once(redis_url: str) -> None:
    """All of them have read all letters before; each replays or discards them from another end."""
    client = redis.Redis.from_url(redis_url)
    ids = [str(uuid.uuid4()) for _ in range(COUNT)]
    die(redis_url, ids, dead("NotDeletable", 168, "kept"))
    everything = [letter for some in DeadLetters(client).walk(Filter()) for letter in some]
    assert len(everything) == COUNT
    start = threading.Barrier(OPERATORS)
    moved: list[str] = []

    def operate(number: int) -> None:
        with redis.Redis.from_url(redis_url) as own:
            replayer, letters = Replayer(Wishes(own), lambda: 0.0), DeadLetters(own)
            mine = everything[number * 31 :] + everything[: number * 31]
            start.wait()
            for at in range(0, COUNT, 7):
                some: list[Letter] = mine[at : at + 7]
                if number == 0:
                    moved.extend(letters.discard([letter.id for letter in some]))
                else:
                    moved.extend(replayer.replay(some))

    threads = [threading.Thread(target=operate, args=(number,)) for number in range(OPERATORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(moved) == COUNT, "each was moved by one of them"
    replays: Counter[str] = Counter()
    stored: Any = client.keys(keys.JOB_PREFIX + "*")
    for key in stored:
        origin: Any = client.hget(key, "replay_of")
        if origin:
            replays[origin.decode()] += 1
    discarded = sum(bool(client.hexists(keys.job(job_id), "discarded_at")) for job_id in ids)
    assert set(replays.values()) == {1}
    assert len(replays) + discarded == COUNT
    assert discarded > 0
    assert client.llen(keys.QUEUES[0]) == len(replays), "as many messages as letters were replayed"
    assert DeadLetters(client).count(Filter()) == 0
    client.close()
