"""Jobs that nobody will ever end: their record is there without an outcome, their message is nowhere.

For processes without a loop. Raises redis.exceptions.RedisError.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from worker.stores import keys
from worker.stores.halts import ALL
from worker.stores.letter import LONGEST_WAIT
from worker.stores.records import Retention, Status
from worker.stores.scripts import Call, Word, run_now
from worker.unlinking.truth import OpenJob

AT_ONCE = 500  # records looked at in one round trip
FIELDS = ("account", "status", "outcome", "deadline", "first_seen", "not_after", "claim", "joined", "rows")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record without an outcome, as it was found."""

    job: OpenJob
    account: str
    is_chunk: bool


class LostJobs:
    """Finds them, and puts their messages back. `queue`: the broker's server, which may be another."""

    def __init__(self, records: "redis.Redis", queue: "redis.Redis") -> None:
        self._records = records
        self._queue = queue

    def open_jobs(self, account: str) -> Iterator[Candidate]:
        """Every record of an account without an outcome. Walks through all records."""
        halted = self._records.hexists(keys.HALTS, ALL) or self._records.hexists(keys.HALTS, account)
        found: list[str] = []
        for name in self._records.scan_iter(match=f"{keys.JOB_PREFIX}*", count=AT_ONCE):
            found.append(name.decode())
            if len(found) == AT_ONCE:
                yield from self._candidates(found, account, halted=bool(halted))
                found = []
        yield from self._candidates(found, account, halted=bool(halted))

    def _candidates(self, names: Sequence[str], account: str, *, halted: bool) -> Iterator[Candidate]:
        open_ = [
            (name, fields)
            for name, fields in zip(names, self._read(names), strict=True)
            if fields["account"] == account and fields["status"] and fields["outcome"] is None
        ]
        held = self._held([fields["claim"] for _, fields in open_])
        joined = self._have_groups([fields["joined"] for _, fields in open_])
        for (name, fields), is_held, is_joined in zip(open_, held, joined, strict=True):
            waits = is_joined or (halted and fields["status"] == Status.PARKED)
            job = OpenJob(id=name.removeprefix(keys.JOB_PREFIX), deadline=_deadline(fields), held=is_held, waits=waits)
            yield Candidate(job, account, is_chunk=fields["rows"] is not None)

    def _read(self, names: Sequence[str]) -> list[dict[str, str | None]]:
        pipeline = self._records.pipeline(transaction=False)
        for name in names:
            pipeline.hmget(name, list(FIELDS))
        stored: list[Any] = pipeline.execute() if names else []
        texts = [[None if value is None else value.decode(errors="replace") for value in values] for values in stored]
        return [dict(zip(FIELDS, values, strict=True)) for values in texts]

    def _have_groups(self, groups: Sequence[str | None]) -> list[bool]:
        """Whether each job waits for another one, which is looked at by itself."""
        pipeline = self._records.pipeline(transaction=False)
        for group in groups:
            pipeline.exists(keys.GROUP_PREFIX + (group or ""))
        return [bool(each) for each in pipeline.execute()] if groups else []

    def _held(self, claims: Sequence[str | None]) -> list[bool]:
        pipeline = self._queue.pipeline(transaction=False)
        for claim in claims:
            pipeline.hexists(keys.CLAIMED, claim or "")
        return [bool(each) for each in pipeline.execute()] if claims else []

    def record(self, job_id: str) -> Mapping[str, str]:
        """All of one record."""
        stored: Any = self._records.hgetall(keys.job(job_id))
        return {name.decode(): value.decode(errors="replace") for name, value in stored.items()}

    def put_back(self, queue: str, messages: Sequence[str]) -> None:
        """Into the queue. A copy of one that is there after all does no harm: jobs end once."""
        if messages:
            self._queue.lpush(keys.queue_list(queue), *messages)


def _deadline(fields: Mapping[str, str | None]) -> float:
    """Unix seconds; as admit.lua will have it for a job that nobody has claimed yet."""
    if fields["deadline"]:
        return float(fields["deadline"]) / 1000
    latest = float(fields["first_seen"] or 0) / 1000 + LONGEST_WAIT
    return min(latest, float(fields["not_after"]) / 1000) if fields["not_after"] else latest


def close_letters(
    client: "redis.Redis", closed_as: Mapping[str, str], by: str, retention: Retention | None = None
) -> list[str]:
    """Take letters out whose wishes came true by themselves; ids of those that this call closed."""
    if not closed_as:
        return []
    arguments: list[Word] = [keys.JOB_PREFIX, (retention or Retention()).records, by]
    for job_id, how in closed_as.items():
        arguments += (job_id, how)
    taken = run_now(client, Call("close", [], arguments))
    return [job_id for job_id, done in zip(closed_as, taken, strict=True) if done]
