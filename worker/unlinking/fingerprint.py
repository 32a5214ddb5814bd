"""What a job's id stands for. The same id with another fingerprint is another job, not answered as the first. Pure.

Who asks, why and until when does not matter: a producer may say that anew when it sends a job again.
"""

import hashlib
import json

from worker.unlinking.chunk import Chunk, Unreadable
from worker.unlinking.job import Job


def of_job(job: Job, sent: str = "") -> str:
    """16 hex digits. `sent`: what a producer sent whose arguments cannot be used."""
    if job.restore:
        return _of_rows(job.account, [_row(job)], restore=True, sent=sent)  # its message is a chunk of one row
    relation = job.relation
    what = f"{job.account}\n{relation.relationtype}\n{relation.parentid}\n{relation.childid}\n{sent}"
    return _digest(what)


def of_chunk(chunk: Chunk, sent: str = "") -> str:
    """The same of a chunk: its rows, in their order."""
    return _of_rows(chunk.terms.account, [_row(row) for row in chunk.rows], restore=chunk.restore, sent=sent)


def _of_rows(account: str, rows: list[list[object]], *, restore: bool, sent: str) -> str:
    return _digest(json.dumps([account, restore, rows, sent]))


def _row(row: Job | Unreadable) -> list[object]:
    if isinstance(row, Unreadable):
        return [row.sent]
    return [row.relation.relationtype, row.relation.parentid, row.relation.childid, row.confirmation]


def _digest(what: str) -> str:
    return hashlib.blake2b(what.encode(errors="replace"), digest_size=8).hexdigest()
