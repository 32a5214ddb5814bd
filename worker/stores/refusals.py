"""Why Redis does not do what it was asked: a table from its errors to what happened and what to do.

Nothing here ends anything: whoever works for jobs waits, and goes on once Redis does. Sources: valkey.io/topics/errors,
server.c (processCommand) and redis.exceptions; redis-py turns the first word of some answers into a class and drops it.
"""

from dataclasses import dataclass

from redis import exceptions

_START = "start it, or check UNLINKER_REDIS_URL and the network"
_CLUSTER = "use a server without cluster mode (cluster-enabled no): a cluster is not supported"
_REPLICA = "point UNLINKER_REDIS_URL at the primary, or promote this server (REPLICAOF NO ONE)"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Two half sentences."""

    what: str  # happened
    cure: str  # what a person can do

    def __str__(self) -> str:
        return f"{self.what}; {self.cure}"


# first word of the answer -> trouble
_BY_WORD = {
    "MISCONF": Trouble(
        "Redis takes no writes: it cannot write its file (MISCONF), as on a full disk",
        "make room on its disk, or mend what its log names; it goes on by itself",
    ),
    "NOREPLICAS": Trouble(
        "Redis takes no writes: too few replicas are connected (NOREPLICAS)",
        "start them, or lower min-replicas-to-write",
    ),
    "BUSY": Trouble(
        "Redis runs somebody's script that does not end (BUSY)",
        "wait for it, or end it with SCRIPT KILL; `CLIENT LIST` names who sent it",
    ),
    "UNKILLABLE": Trouble("Redis runs a script that has written (UNKILLABLE)", "wait for it"),
    "UNBLOCKED": Trouble("Redis has just become a replica (UNBLOCKED)", _REPLICA),
    "FAILOVER": Trouble("Redis is failing over (FAILOVER)", "wait for it"),
    "PROTECTED": Trouble(
        "Redis runs in protected mode: it takes no connections from other machines",
        "give it a password (requirepass), and put that into UNLINKER_REDIS_URL",
    ),
    "DENIED": Trouble(
        "Redis runs in protected mode: it takes no connections from other machines",
        "give it a password (requirepass), and put that into UNLINKER_REDIS_URL",
    ),
}

# the first class that fits; what is special comes before what is general
_BY_CLASS: tuple[tuple[type[exceptions.RedisError], Trouble], ...] = (
    (
        exceptions.OutOfMemoryError,
        Trouble(
            "Redis takes nothing new: its memory is full (OOM)",
            "raise maxmemory, or make room (`unlinker dead discard`, shorter UNLINKER_JOURNAL_DAYS)",
        ),
    ),
    (exceptions.ReadOnlyError, Trouble("Redis takes no writes: it is a replica (READONLY)", _REPLICA)),
    (
        exceptions.MasterDownError,
        Trouble("Redis is a replica that has lost its primary (MASTERDOWN)", _REPLICA),
    ),
    (exceptions.MovedError, Trouble("Redis is a node of a cluster (MOVED)", _CLUSTER)),
    (exceptions.AskError, Trouble("Redis is a node of a cluster (ASK)", _CLUSTER)),
    (exceptions.ClusterDownError, Trouble("Redis is a node of a cluster (CLUSTERDOWN)", _CLUSTER)),
    (exceptions.TryAgainError, Trouble("Redis is a node of a cluster (TRYAGAIN)", _CLUSTER)),
    (exceptions.ClusterCrossSlotError, Trouble("Redis is a node of a cluster (CROSSSLOT)", _CLUSTER)),
    (
        exceptions.NoPermissionError,
        Trouble(
            "Redis refuses its user a command, a key or a channel (NOPERM)",
            "grant the rights that docs/redis.md lists; `ACL LOG` names what was refused",
        ),
    ),
    (
        exceptions.AuthenticationError,
        Trouble(
            "Redis refuses the user or the password",
            "check them in UNLINKER_REDIS_URL (user:password@ before the host)",
        ),
    ),
    (exceptions.BusyLoadingError, Trouble("Redis is still reading its data (LOADING)", "wait for it")),
    (
        exceptions.MaxConnectionsError,
        Trouble("this process has used up its own connections to Redis", "start fewer accounts in one process"),
    ),
    (exceptions.TimeoutError, Trouble("Redis does not answer in time", _START)),
    (exceptions.ConnectionError, Trouble("Redis cannot be reached", _START)),
)
_FULL = Trouble("Redis takes no further connections (maxclients)", "raise maxclients, or end what holds connections")
_OTHER = Trouble("Redis refuses a command", "`unlinker doctor` looks at the server")


def explain(error: exceptions.RedisError) -> Trouble:
    """What happened, with the words of the answer, and what to do."""
    text = " ".join(str(error).split()).rstrip(".")
    found = _find(error, text)
    return Trouble(f"{found.what}: {text}" if text else found.what, found.cure)


def told(error: exceptions.RedisError) -> dict[str, object]:
    """For the log line of whoever waits: why, what to do, and that the same trouble is said once in a while only."""
    found = explain(error)
    return {"why": found.what, "cure": found.cure, "seldom": _find(error, str(error)).what}


def _find(error: exceptions.RedisError, text: str) -> Trouble:
    word = text.partition(" ")[0]
    if word in _BY_WORD:
        return _BY_WORD[word]
    if "max number of clients reached" in text:
        return _FULL
    return next((trouble for kind, trouble in _BY_CLASS if isinstance(error, kind)), _OTHER)
