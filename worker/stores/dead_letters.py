"""Dead letters: jobs that ended dead or expired, kept until somebody replays or discards them.

For processes without a loop. The letter is the job's record; how it is found again is told in lua/dead_index.lua.
Raises redis.exceptions.RedisError when the server cannot be reached.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from worker.stores import keys
from worker.stores.letter import Filter, Letter
from worker.stores.records import Retention
from worker.stores.scripts import Call, Word, run_now

PAGE = 50
AT_ONCE = 500  # letters read or moved in one round trip; about 10 ms of Redis


@dataclass(frozen=True, slots=True)
class Page:
    """Some letters, newest first."""

    letters: tuple[Letter, ...]
    cursor: str  # give it to get the next page; "" at the end


class DeadLetters:
    """Looks at dead letters and takes them out."""

    def __init__(self, client: "redis.Redis", retention: Retention | None = None) -> None:
        self._client = client
        self._retention = retention or Retention()

    def page(self, wanted: Filter, cursor: str = "", size: int = PAGE) -> Page:
        """The letters that fit, newest first. A page may be short; only an empty cursor is the end."""
        bounds = self._bounds(wanted, cursor)
        if bounds is None:
            return Page((), "")
        found = self._run("dead_page", size, *bounds, *wanted.ids, *wanted.values)
        following, *ids = (word.decode() for word in found)
        return Page(tuple(self.read(ids)), following)

    def walk(self, wanted: Filter, cursor: str = "") -> Iterator[Sequence[Letter]]:
        """All that fit, newest first, in portions; letters of later ends are not met.

        `cursor`: as `now` gave it, for walks that must not meet what ended since.
        """
        while True:
            page = self.page(wanted, cursor, AT_ONCE)
            yield page.letters
            if not page.cursor:
                return
            cursor = page.cursor

    def now(self) -> str:
        """The cursor of a walk that meets no letter of a later end."""
        newest: Any = self._client.zrange(keys.DEAD, -1, -1, withscores=True)
        return str(int(newest[0][1]) + 1) if newest else "0"

    def count(self, wanted: Filter, cursor: str = "") -> int:
        """How many fit; `cursor` as of `walk`."""
        bounds = self._bounds(wanted, cursor)
        count = 0
        while bounds is not None:
            low, high = bounds
            some, below = self._run("dead_count", low, high, *wanted.ids, *wanted.values)
            count += int(some)
            bounds = (low, int(below) - 1) if below else None
        return count

    def totals(self) -> dict[str, dict[str, int]]:
        """How many there are by each dimension and value; "all" holds their number."""
        stored: Any = self._client.hgetall(keys.DEAD_TOTALS)
        totals: dict[str, dict[str, int]] = {}
        for name, count in stored.items():
            dimension, _, value = name.decode().partition("=")
            totals.setdefault(dimension, {})[value] = int(count)
        return totals

    def letter(self, job_id: str) -> Letter | None:
        """One dead letter, or None."""
        if self._client.zscore(keys.DEAD, job_id) is None:
            return None
        return next(iter(self.read([job_id])), None)

    def read(self, ids: Sequence[str]) -> list[Letter]:
        """These letters, in their order; without those that were forgotten meanwhile."""
        pipeline = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hgetall(keys.job(job_id))
        stored: list[Any] = pipeline.execute() if ids else []
        return [
            Letter(job_id, {name.decode(): value.decode(errors="replace") for name, value in record.items()})
            for job_id, record in zip(ids, stored, strict=True)
            if record
        ]

    def number(self) -> int:
        """How many there are."""
        return int(self._client.zcard(keys.DEAD))

    def oldest(self, count: int) -> list[str]:
        """Ids of the letters that ended first."""
        found: Any = self._client.zrange(keys.DEAD, 0, count - 1) if count > 0 else []
        return [job_id.decode() for job_id in found]

    def drop(self, ids: Sequence[str]) -> int:
        """Take letters out that are kept no longer; counted. How many this call took out."""
        call = Call("drop", [keys.COUNTERS], [keys.JOB_PREFIX, self._retention.records, *ids])
        return int(run_now(self._client, call))

    def discard(self, ids: Sequence[str], *, forget: bool = False) -> list[str]:
        """Take these letters out; those that this call took out. `forget`: their records go at once."""
        if not ids:
            return []
        kept = 0 if forget else self._retention.records
        taken = self._run("discard", keys.JOB_PREFIX, kept, *ids)
        return [job_id for job_id, done in zip(ids, taken, strict=True) if done]

    def _bounds(self, wanted: Filter, cursor: str) -> tuple[int, int] | None:
        since, before = ("" if moment is None else int(moment * 1000) for moment in (wanted.since, wanted.before))
        low, high = self._run("dead_bounds", keys.JOB_PREFIX, since, before)
        if not low or not high:
            return None
        highest = min(int(high), int(cursor) - 1) if cursor else int(high)
        return (int(low), highest) if int(low) <= highest else None

    def _run(self, script: str, *arguments: Word) -> Any:
        return run_now(self._client, Call(script, [], arguments))
