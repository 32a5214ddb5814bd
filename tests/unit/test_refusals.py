"""What Redis' errors are told as, and that a lasting one is told once in a while."""

import pytest
import structlog
from redis import exceptions
from redis._parsers.base import BaseParser

from config.logs import Seldom
from worker.stores.refusals import explain, told

# as the servers write them (valkey 9.1, redis 8)
ANSWERS = {
    "MISCONF Errors writing to the AOF file: No space left on device": ("MISCONF", "make room on its disk"),
    "OOM command not allowed when used memory > 'maxmemory'.": ("OOM", "raise maxmemory"),
    "READONLY You can't write against a read only replica.": ("READONLY", "at the primary"),
    "MASTERDOWN Link with MASTER is down.": (
        "MASTERDOWN",
        "at the primary",
    ),
    "MOVED 13851 127.0.0.1:43559": ("MOVED", "a cluster is not supported"),
    "ASK 13851 127.0.0.1:43559": ("ASK", "a cluster is not supported"),
    "CLUSTERDOWN Hash slot not served": ("CLUSTERDOWN", "a cluster is not supported"),
    "CROSSSLOT Keys in request don't hash to the same slot": ("CROSSSLOT", "a cluster is not supported"),
    "TRYAGAIN Multiple keys request during rehashing of slot": ("TRYAGAIN", "a cluster is not supported"),
    "LOADING Valkey is loading the dataset in memory": ("LOADING", "wait"),
    "BUSY Valkey is busy running a script. You can only call SCRIPT KILL": ("BUSY", "SCRIPT KILL"),
    "NOREPLICAS Not enough good replicas to write.": ("NOREPLICAS", "min-replicas-to-write"),
    "NOAUTH Authentication required.": ("password", "UNLINKER_REDIS_URL"),
    "WRONGPASS invalid username-password pair or user is disabled.": ("password", "UNLINKER_REDIS_URL"),
    "NOPERM User u has no permissions to run the 'info' command": ("'info'", "docs/redis.md"),
    "ERR max number of clients reached": ("maxclients", "raise maxclients"),
    "DENIED Redis is running in protected mode": ("protected mode", "requirepass"),
    "ERR something nobody knows": ("something nobody knows", "unlinker doctor"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_each_refusal_is_told_with_its_cure_and_none_as_a_server_that_is_not_there(answer: str) -> None:
    word, cure = ANSWERS[answer]
    trouble = explain(BaseParser.parse_error(answer))  # type: ignore[no-untyped-call]  # redis-py has no types for it
    assert word in trouble.what
    assert cure in trouble.cure
    assert "cannot be reached" not in str(trouble)


def test_a_server_that_is_not_there_is_told_as_such() -> None:
    gone = explain(exceptions.ConnectionError("Error 111 connecting to 127.0.0.1:1. Connection refused."))
    assert gone.what.startswith("Redis cannot be reached")
    assert "start it" in gone.cure
    assert "in time" in explain(exceptions.TimeoutError("Timeout reading from socket")).what


def test_the_same_trouble_is_logged_once_in_a_while_whatever_its_words() -> None:
    now = 0.0
    seldom = Seldom(30.0, lambda: now)

    def says(error: exceptions.RedisError) -> bool:
        try:
            event = seldom(None, "warning", {"event": "waits", **told(error)})
        except structlog.DropEvent:
            return False
        return "seldom" not in event

    assert says(exceptions.OutOfMemoryError("in script 1"))
    assert not says(exceptions.OutOfMemoryError("in script 2"))
    assert says(exceptions.ReadOnlyError("another trouble"))
    now = 31.0
    assert says(exceptions.OutOfMemoryError("in script 1"))
    assert seldom(None, "info", {"event": "a line of another kind"}) == {"event": "a line of another kind"}
