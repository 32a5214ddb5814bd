"""Every Redis key and list of unlinker.

The queues are plain lists as any Celery app on Redis writes them, without a prefix of ours. What is claimed lies under
names of our own: another Celery app on the same Redis sweeps `unacked` with its own time-out, and would sweep ours.
"""

from collections.abc import Iterable

NOTHING = "-"  # where a script expects a key and there is none

# in the order of claiming; control is rare and must not wait behind a million rows of bulk
QUEUES = ("unlink", "control", "bulk")
PRIORITY_STEPS = (0, 3, 6, 9)  # kombu's default; 0 first. Strangers may set a priority
PRIORITY_SEPARATOR = "\x06\x16"

# the broker's server
CLAIMED = "unlinker:claimed"  # hash: claim -> list it came from, line feed, message
LEASES = "unlinker:leases"  # sorted set: claim -> end of the lease, Redis ms
CLAIM_NUMBER = "unlinker:claim-number"  # counter
DELAYED = "unlinker:delayed"  # sorted set: list, line feed, message -> due, Redis ms
PARKING = "unlinker:parking"  # set: accounts with parked messages
CLOCK = "unlinker:clock"  # string: the latest time that was seen on this server, ms; see lua/clock.lua
NEWER = "unlinker:newer"  # sorted set: list, line feed, message -> version of its payload, which a newer worker reads
REJECTED = "unlinker:rejected"  # stream: messages that were no jobs, with why
REJECTED_TOTALS = "unlinker:rejected:totals"  # hash: bytes that are kept; how many came, and what became of them

# the server of the records
ONE_SERVER = "unlinker:one-server"  # string: a random name of this server, by which two addresses are known as one
FERRY = "unlinker:ferry"  # string with a time to live: the worker that carries messages to another broker
DEAD = "unlinker:dead"  # sorted set: job id -> serial number; its index is told in lua/dead_index.lua
DEAD_TOTALS = "unlinker:dead:totals"  # hash: dimension=value -> how many dead letters
JOURNAL = "unlinker:journal"  # stream: what was deleted, from the intent on; see journal_format.py
AUDIT = "unlinker:audit"  # stream: what operators did
ROWS_PREFIX = "unlinker:rows:"
RUNS = "unlinker:runs"  # sorted set: run -> when it was started, Redis ms
RUNS_OPEN = "unlinker:runs:open"  # set: runs that the workers have to look after
RUN_PREFIX = "unlinker:run:"
RUN_SLOT_PREFIX = "unlinker:run-of:"
PARKING_RUNS = "unlinker:parking:runs"  # set: runs with parked chunks
SERVER = "unlinker:server"  # hash: id of the server process that was last seen, changed_at in ms
COUNTERS = "unlinker:counters"  # hash: outcome -> how many; and what retention dropped
HOUSEKEEPING = "unlinker:housekeeping"  # string: who is at it
NIGHTS_OPEN = "unlinker:nights:open"  # hash: policy -> its night that is not over
NIGHTS_HANDLED = "unlinker:nights:handled"  # hash: policy -> JSON: its schedule, and the last slot that was dealt with
NIGHTS_POLICIES = "unlinker:nights:policies"  # set: policies that have nights
SCHEDULER_PREFIX = "unlinker:scheduler:"  # of redbeat's keys
SCHEDULER_LOCK = SCHEDULER_PREFIX + "lock"
HALTS = "unlinker:halts"  # hash: account (or `*` for all) -> JSON: why, code, since, by
RESULT_PREFIX = "celery-task-meta-"  # where Celery's Redis backend looks for results
JOB_PREFIX = "unlinker:job:"
GROUP_PREFIX = "unlinker:joined:"  # list: ids of jobs for one relation; the first runs for all; see lua/joined.lua
OPEN_PREFIX = "unlinker:open:"
REVOKED_STAMPS = "unlinker:revoked:stamps"  # sorted set: JSON of [header, value] -> when it was revoked, Redis ms


def queue_list(queue: str, priority: int = 0) -> str:
    """The list that holds a queue's messages of one priority."""
    step = max(step for step in PRIORITY_STEPS if step <= max(0, priority))
    return f"{queue}{PRIORITY_SEPARATOR}{step}" if step else queue


def queue_of(name: str) -> str:
    """The queue a list belongs to."""
    return name.split(PRIORITY_SEPARATOR, 1)[0]


def lists_of(queues: Iterable[str]) -> tuple[str, ...]:
    """All lists of these queues, in the order of claiming."""
    return tuple(queue_list(queue, step) for queue in queues for step in PRIORITY_STEPS)


CLAIM_ORDER = lists_of(QUEUES)


def ferried(name: str) -> str:
    """Set: digests of the messages that were last carried into a queue's list from the records' server."""
    return f"unlinker:ferried:{name}"


def parked(account: str) -> str:
    """List of parked messages of one account, each with the list it came from."""
    return f"unlinker:parked:{account}"


def worker_name(name: str) -> str:
    """String with a time to live: the living worker that has this name of Celery's."""
    return f"unlinker:worker:{name}"


def probe(account: str) -> str:
    """String with a time to live: some worker is probing the account."""
    return f"unlinker:probe:{account}"


def deaths(job_id: str) -> str:
    """Counter: workers that died with a task that has no record."""
    return f"unlinker:deaths:{job_id}"


def limit(account: str) -> str:
    """Hash: the account's limiter."""
    return f"unlinker:limit:{account}"


def in_flight(account: str) -> str:
    """Sorted set: the account's requests in flight -> end of their lease, Redis ms."""
    return f"unlinker:in-flight:{account}"


def sightings(account: str) -> str:
    """Set: relation types of which this account has been seen to see links."""
    return f"unlinker:sightings:{account}"


def job(job_id: str) -> str:
    """Hash: the job's record."""
    return JOB_PREFIX + job_id


def rows(chunk_id: str) -> str:
    """String: one byte per row of a chunk (worker.unlinking.chunk.RowState)."""
    return ROWS_PREFIX + chunk_id


def run(run_id: str) -> str:
    """Hash: a bulk run, its brakes and its counters; see lua/run_look.lua."""
    return RUN_PREFIX + run_id


def run_rows(run_id: str, first: int, size: int) -> str:
    """Hash: number of a chunk -> its rows, compressed. How they are cut is a part of its name: whoever stores the rows
    of the same plan at the same time, cut the same or another way, overwrites nothing with anything else."""
    return f"{RUN_PREFIX}{run_id}:rows:{first}:{size}"


def run_pace(run_id: str) -> str:
    """List: JSON of the counters from time to time, for the picture of its progress."""
    return f"{RUN_PREFIX}{run_id}:pace"


def run_slot(account: str) -> str:
    """String: the run that has this account; one at a time."""
    return RUN_SLOT_PREFIX + account


def parked_run(run_id: str) -> str:
    """List of parked chunks of one run, each with the list it came from."""
    return f"unlinker:parked:run/{run_id}"


def relation(account: str, relationtype: str, parentid: int, childid: int) -> str:
    """How a relation is named within keys."""
    return f"{account}:{relationtype}:{parentid}:{childid}"


def open_relation(account: str, relationtype: str, parentid: int, childid: int) -> str:
    """String: id of the job that waits for this relation; later jobs join it."""
    return OPEN_PREFIX + relation(account, relationtype, parentid, childid)


def night(night_id: str) -> str:
    """String: a night as JSON (worker.unlinking.night)."""
    return f"unlinker:night:{night_id}"


def night_plan(night_id: str) -> str:
    """String with a time to live: the plan of a night that waits, as its file."""
    return f"unlinker:night:{night_id}:plan"


def nights_of(policy: str) -> str:
    """Sorted set: night -> its slot, ms."""
    return f"unlinker:nights:{policy}"


def night_lease(policy: str) -> str:
    """String with a time to live: who looks after a policy's nights just now."""
    return f"unlinker:nights:{policy}:lease"


def told(what: str) -> str:
    """String with a time to live: somebody was told of this not long ago."""
    return f"unlinker:told:{what}"
