"""Rejected messages: what was in the queue and is no job. Kept on the broker's server, bounded, until somebody decides.

For processes without a loop. Raises redis.exceptions.RedisError.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from worker.stores import keys
from worker.stores.scripts import Call, run_now


@dataclass(frozen=True, slots=True)
class RejectedMessage:
    """One of them."""

    number: str  # what it is named by here; rises with the time it came
    queue: str  # list it came from
    why: str
    job_id: str  # "" if it cannot be told
    task: str  # as job_id
    cut: bool  # only its ends are kept, so that it cannot go back
    message: bytes

    @property
    def at(self) -> float:
        """Unix seconds."""
        return int(self.number.partition("-")[0]) / 1000

    def document(self) -> dict[str, object]:
        """As users see it; always the same keys."""
        return {
            "number": self.number,
            "at": self.at,
            "queue": keys.queue_of(self.queue),
            "id": self.job_id or None,
            "task": self.task or None,
            "why": self.why,
            "bytes": len(self.message),
            "cut": self.cut,
        }


class RejectedMessages:
    """Looks at them and takes them out. `client`: of the broker's server."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def newest(self, count: int) -> list[RejectedMessage]:
        """The last so many, newest first."""
        found: Any = self._client.xrevrange(keys.REJECTED, count=count)
        return [_read(number, fields) for number, fields in found]

    def get(self, number: str) -> RejectedMessage | None:
        """One of them. Raises redis.exceptions.ResponseError for what is no number."""
        found: Any = self._client.xrange(keys.REJECTED, number, number)
        return _read(*found[0]) if found else None

    def of_job(self, job_id: str) -> RejectedMessage | None:
        """The newest with this id."""
        named = job_id.encode(errors="replace")
        found: Any = self._client.xrevrange(keys.REJECTED)
        return next((_read(number, fields) for number, fields in found if fields[b"id"] == named), None)

    def totals(self) -> dict[str, int]:
        """How many are kept, how many came in all, and what became of the others."""
        stored: Any = self._client.hgetall(keys.REJECTED_TOTALS)
        counted = {name.decode(): int(count) for name, count in stored.items()}
        names = ("bytes", "came", "dropped", "requeued", "discarded")
        return {"kept": int(self._client.xlen(keys.REJECTED))} | {name: counted.get(name, 0) for name in names}

    def requeue(self, numbers: Sequence[str]) -> list[str]:
        """Back into their queues; those that this call moved."""
        return self._take("requeued", numbers)

    def discard(self, numbers: Sequence[str]) -> list[str]:
        """Away; those that this call took out."""
        return self._take("discarded", numbers)

    def _take(self, how: str, numbers: Sequence[str]) -> list[str]:
        call = Call("take_rejected", [keys.REJECTED, keys.REJECTED_TOTALS], [how, *numbers])
        return [number for number, done in zip(numbers, run_now(self._client, call), strict=True) if done]


def _read(number: bytes, fields: dict[bytes, bytes]) -> RejectedMessage:
    return RejectedMessage(
        number=number.decode(),
        queue=fields[b"queue"].decode(),
        why=fields[b"why"].decode(errors="replace"),
        job_id=fields[b"id"].decode(errors="replace"),
        task=fields[b"task"].decode(errors="replace"),
        cut=fields[b"cut"] == b"1",
        message=fields[b"message"],
    )
