"""What `doctor` says of messages and ids that need a person."""

from typing import Any

import redis

from gateway.finding import Finding
from gateway.misdirected import Misdirected
from worker.engine.misdirected import ADVICE, CELERYS_QUEUE
from worker.stores import keys
from worker.stores.dead_letters import DeadLetters
from worker.stores.rejected import RejectedMessages
from worker.unlinking.errors import IdReused


def check_messages(records: "redis.Redis", queue: "redis.Redis") -> list[Finding]:
    """Rejected messages, those for newer workers, those in a queue that nobody reads, and ids of two jobs."""
    try:
        return [_rejected(queue), _newer(queue), _misdirected(queue), _reused(records)]
    except redis.exceptions.RedisError as error:
        return [
            Finding("messages", False, f"cannot be looked at: {error}", "see the checks of redis", unreachable=True)
        ]


def _rejected(queue: "redis.Redis") -> Finding:
    totals = RejectedMessages(queue).totals()
    text = f"{totals['kept']} kept" + (f", {totals['dropped']} dropped" if totals["dropped"] else "")
    return Finding("rejected messages", not totals["kept"], text, "unlinker rejected list" if totals["kept"] else "")


def _newer(queue: "redis.Redis") -> Finding:
    count = int(queue.zcard(keys.NEWER))
    if not count:
        return Finding("messages for newer workers", True, "none")
    newest: Any = queue.zrange(keys.NEWER, -1, -1, withscores=True)
    text = f"{count}, of payload versions up to {newest[0][1]:.0f}" if newest else f"{count}"
    return Finding("messages for newer workers", False, text, "update the workers: they take these before all others")


def _misdirected(queue: "redis.Redis") -> Finding:
    name = f"queue {CELERYS_QUEUE!r}"
    found = Misdirected(queue, CELERYS_QUEUE).find()
    if not found:
        return Finding(name, True, "holds no job of ours")
    tasks = sorted({each.task for each in found if each.task})
    return Finding(name, False, f"{len(found)} messages of {', '.join(tasks)}: no worker of ours reads it", ADVICE)


def _reused(records: "redis.Redis") -> Finding:
    count = DeadLetters(records).totals().get("reason", {}).get(IdReused.__name__, 0)
    if not count:
        return Finding("ids", True, "none names two jobs")
    advice = f"mend the sender; unlinker dead list --reason {IdReused.__name__}"
    return Finding("ids", False, f"{count} jobs came under ids that named other jobs before", advice)
