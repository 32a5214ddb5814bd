"""Jobs that ended, as workers would have ended them, without a worker."""

import asyncio
from collections.abc import Sequence

import redis.asyncio

from worker.engine.settling import as_stored
from worker.stores import keys
from worker.stores.records import Arrival, Ending, Records, Retention, record_fields
from worker.unlinking.job import Job, JobTerms, Relation
from worker.unlinking.outcome import EXPIRED, Outcome


def die(url: str, ids: Sequence[str], how: Outcome, kind: str = "calendar:address", account: str = "default") -> None:
    """End these jobs; job number n of them is about parent n + 1 and child 5."""
    asyncio.run(_die(url, ids, how, Job(id="", relation=Relation(kind, 1, 5), terms=JobTerms(account=account))))


async def _die(url: str, ids: Sequence[str], how: Outcome, like: Job) -> None:
    client = redis.asyncio.Redis.from_url(url)
    records = Records(client, Retention(), same_server_as_queue=True)
    arrivals, endings = [], []
    for number, job_id in enumerate(ids, start=1):
        relation = Relation(like.relation.relationtype, number, 5)
        fields = record_fields(Job(id=job_id, relation=relation, terms=like.terms))
        arrivals.append(Arrival(id=job_id, fields=fields, claim=f"claim-{job_id}"))
        named = keys.relation(like.account, relation.relationtype, number, 5)
        endings.append(Ending(job_id, named, as_stored(how, 0.0)))
    for at in range(0, len(ids), 200):
        await records.admit(arrivals[at : at + 200])
        await records.finish(endings[at : at + 200], as_stored(EXPIRED, 0.0))
    await client.aclose()
