"""The job's record: what is known of it from the first claim to its one outcome.

    queued -> sent -> ended
    queued, sent -> delayed, parked -> queued      it waits, and comes back
    sent -> unverified -> queued                   its question waits, and comes back
    ended is the only state that nothing leaves

The scripts in lua/ carry the moves out; MOVES below is what the tests hold them to.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from worker.stores import keys
from worker.stores.journal_format import pack_jobs
from worker.stores.scripts import AsyncRedis, Call, Word, run
from worker.unlinking.attempts import as_json, from_json
from worker.unlinking.attribution import NOTHING, Known, pack, unpack
from worker.unlinking.chunk import Chunk
from worker.unlinking.decisions import Attempt, Ticket
from worker.unlinking.fingerprint import of_chunk, of_job
from worker.unlinking.job import Job, JobTerms, Relation

Fields = dict[str, str | int | float]
NOWHERE = keys.NOTHING  # for keys of the queue when it is on another server


class Status(StrEnum):
    """Where a job is."""

    QUEUED = "queued"  # in the queue, or claimed and not yet sent
    DELAYED = "delayed"  # waits for its next attempt
    PARKED = "parked"  # its account is halted, its API is down, or its run is paused
    SENT = "sent"  # its request is out, or its worker died with it
    UNVERIFIED = "unverified"  # the question whether it is gone waits
    ENDED = "ended"  # it has its outcome


MOVES: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.QUEUED, Status.SENT, Status.DELAYED, Status.PARKED, Status.ENDED}),
    Status.SENT: frozenset(
        {Status.QUEUED, Status.DELAYED, Status.PARKED, Status.UNVERIFIED, Status.ENDED, Status.SENT}
    ),
    Status.DELAYED: frozenset({Status.QUEUED, Status.ENDED}),
    Status.PARKED: frozenset({Status.QUEUED, Status.ENDED}),
    Status.UNVERIFIED: frozenset({Status.QUEUED, Status.ENDED}),
    Status.ENDED: frozenset(),
}


class Admission(StrEnum):
    """What the first look at a claimed job came to."""

    RUN = "run"
    ENDED = "ended"  # it has its outcome; ack
    REUSED = "reused"  # its id names another job, see `first`
    DUPLICATE = "duplicate"  # another living claim holds the same job; ack this copy
    JOINED = "joined"  # another job waits for the same relation; ack, the record keeps the message


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A claimed job and what its record knows."""

    admission: Admission
    attempts: int = 0
    known: Known = NOTHING
    died_at: float | None = None  # Unix seconds when the request was sent whose worker died; None: none did
    succeeded: str = ""  # rows, or "," for a job, whose delete had been answered with success before the worker died
    question: bool = False
    tries: Mapping[int, int] | None = None
    history: tuple[Attempt, ...] = ()
    deaths: int = 0  # workers that died while its request was out
    lone_deaths: int = 0  # those that died while nothing else was on the wire
    waiting: str = ""  # of a chunk: what the rows that wait must know, as JSON
    deadline: float | None = None  # Unix seconds
    now: float = 0.0  # Unix seconds on Redis TIME; workers' clocks may differ
    first: Mapping[str, str] = field(default_factory=dict)  # of an id that is known: the record of the job that has it
    revoked: bool = False  # one of its stamps was


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A job as it is claimed."""

    id: str
    fields: Fields  # of a new record
    claim: str
    taken_over_from: str = ""
    expires: float | None = None  # Unix seconds; the message's own `expires`
    relation: str = ""  # as keys.relation has it, if it may join the job that waits for the same one; else ""


class Intent(StrEnum):
    """The last look before a request."""

    GO = "go"
    ASK = "ask"  # the deadline passed with an open question: read back, delete nothing
    ENDED = "ended"
    ROW_ENDED = "row ended"  # whoever had its chunk before has written its outcome
    LOST = "lost"  # another worker has it
    HALTED = "halted"
    PAUSED = "paused"  # its run is paused or stopped
    CANCELLED = "cancelled"  # its run is, or one of its stamps was revoked
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Intention:
    """A job that is about to be sent."""

    job: Job
    claim: str
    alone: bool = False  # nothing else of this process is on the wire, so that a death is the job's own


@dataclass(frozen=True, slots=True)
class StoredEnd:
    """How jobs end, as it is stored."""

    outcome: str
    evidence: str  # the outcome's fields as JSON
    result: str  # Celery's result as a JSON object without `task_id`


@dataclass(frozen=True, slots=True)
class Ending:
    """One job's end."""

    id: str
    relation: str  # as keys.relation has it: the open relation to release; "" for none
    end: StoredEnd
    claim: str = ""  # acked with the outcome if the queue is on the same server; "": nothing to ack
    history: str = ""  # the attempts of a job that did not come true, as JSON


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things are kept, in seconds."""

    results: int = 7 * 86400
    records: int = 8 * 86400  # longer than the longest deadline, so that no redelivery meets a forgotten outcome
    runs: int = 90 * 86400  # bulk runs and their rows, once they are over


class Records:
    """The records' server, for workers."""

    def __init__(
        self, client: AsyncRedis, retention: Retention, *, same_server_as_queue: bool, lease: float = 30.0
    ) -> None:
        """`lease`: seconds that a claim outlives its worker."""
        self._client = client
        self._retention = retention
        self._lease = lease
        self._same_server = same_server_as_queue

    async def admit(self, arrivals: Sequence[Arrival]) -> list[Admitted]:
        """Make or refresh the records of claimed jobs, in one round trip."""
        if not arrivals:
            return []
        claimed = keys.CLAIMED if self._same_server else NOWHERE
        names = [claimed, keys.REVOKED_STAMPS, keys.SERVER, *(keys.job(arrival.id) for arrival in arrivals)]
        arguments: list[Word] = [keys.JOB_PREFIX, keys.GROUP_PREFIX, keys.OPEN_PREFIX, int(2000 * self._lease)]
        for arrival in arrivals:
            expires = "" if arrival.expires is None else int(arrival.expires * 1000)
            fingerprint = str(arrival.fields.get("fingerprint", ""))
            relation = arrival.relation if self._same_server else ""  # only there can the record keep the message
            arguments += (arrival.claim, arrival.taken_over_from, expires, relation, fingerprint)
            arguments += (own_id_of(arrival.id, fingerprint), 2 * len(arrival.fields))
            for pair in arrival.fields.items():
                arguments += pair
        return [_admitted(row) for row in await run(self._client, Call("admit", names, arguments))]

    async def holders(self, ids: Sequence[str]) -> list[tuple[str, str]]:
        """The claim that holds each job, or held it last, and its fingerprint; "" for what is not known."""
        pipeline = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hmget(keys.job(job_id), ["claim", "fingerprint"])
        found: list[Any] = await pipeline.execute() if ids else []
        return [((claim or b"").decode(), (fingerprint or b"").decode()) for claim, fingerprint in found]

    async def answer(self, job_id: str, result: str) -> None:
        """Tell the producer of a message that is no job; the outcome of a job of that id stands."""
        names = [keys.job(job_id), keys.RESULT_PREFIX + job_id]
        await run(self._client, Call("answer", names, [result, self._retention.results]))

    async def tell(self, job_id: str, result: str, *, keep: bool = False) -> None:
        """Store Celery's result. `keep`: one that is there stays."""
        name = keys.RESULT_PREFIX + job_id
        if await self._client.set(name, result, ex=self._retention.results, nx=keep):
            await self._client.publish(name, result)

    async def intend(self, intentions: Sequence[Intention]) -> list[Intent]:
        """Store the intents of sending these jobs; says for each whether it may go."""
        if not intentions:
            return []
        names = [keys.HALTS, keys.JOURNAL, keys.REVOKED_STAMPS, *(keys.job(each.job.id) for each in intentions)]
        arguments: list[Word] = [pack_jobs(each.job for each in intentions)]
        for each in intentions:
            arguments += (each.job.account, each.claim, int(each.alone))
        words = await run(self._client, Call("intend", names, arguments))
        return [Intent(word.decode()) for word in words]

    async def finish(self, endings: Sequence[Ending], expired: StoredEnd) -> list[tuple[bool, str]]:
        """End jobs, once and for all: (whether this call did it, the outcome that stands) for each, in their order.

        `expired`: how jobs end that had joined one of them, and whose own deadline passed before a request was sent.
        """
        if not endings:
            return []
        groups: dict[StoredEnd, list[int]] = {}
        for number, ending in enumerate(endings):
            groups.setdefault(ending.end, []).append(number)
        arguments = self._finish_arguments(endings, groups, expired)
        stands = await run(self._client, Call("finish", self._finish_keys, arguments))
        found: list[tuple[bool, str]] = [(False, "")] * len(endings)
        for number, word in zip((n for numbers in groups.values() for n in numbers), stands, strict=True):
            found[number] = (False, word.decode()) if word else (True, endings[number].end.outcome)
        return found

    @property
    def acks(self) -> bool:
        """Whether `finish` acks too."""
        return self._same_server

    @property
    def _finish_keys(self) -> list[str]:
        queue = [keys.CLAIMED, keys.LEASES] if self._same_server else [NOWHERE, NOWHERE]
        return [keys.JOURNAL, keys.COUNTERS, *queue]

    def _finish_arguments(
        self, endings: Sequence[Ending], groups: Mapping[StoredEnd, Sequence[int]], expired: StoredEnd
    ) -> list[Word]:
        arguments: list[Word] = [
            keys.JOB_PREFIX,
            keys.GROUP_PREFIX,
            keys.OPEN_PREFIX,
            keys.RESULT_PREFIX,
            self._retention.results,
            self._retention.records,
            expired.evidence,
            expired.result,
        ]
        for end, numbers in groups.items():
            arguments += (end.outcome, end.evidence, end.result, len(numbers))
            for number in numbers:
                ending = endings[number]
                arguments += (ending.id, ending.relation, ending.claim, ending.history)
        return arguments

    async def end_of(self, job_id: str) -> tuple[str, str] | None:
        """Outcome and evidence (as JSON) of a job that has ended; None for one that has not."""
        stored: Any = await self._client.hmget(keys.job(job_id), ["outcome", "evidence"])
        outcome, evidence = stored
        return None if outcome is None else (outcome.decode(), (evidence or b"{}").decode())

    async def note_success(self, noted: Sequence[tuple[str, str, str]]) -> None:
        """Deletes that were clearly answered, before they are read back: (job or chunk, claim, row or "") of each."""
        names = [keys.job(job_id) for job_id, _, _ in noted]
        await run(self._client, Call("note_success", names, [word for _, *words in noted for word in words]))

    async def defer(self, claim: str, status: Status, ticket: Ticket, why: str) -> bool:
        """Note that a job waits, and what its next attempt must know; False when it is no longer ours."""
        tries = json.dumps({str(code): count for code, count in ticket.tries.items()})
        found = (ticket.attempts, int(ticket.known.in_doubt), int(ticket.question), tries)
        history, known = as_json(ticket.history), json.dumps(pack(ticket.known))
        return await self._defer(ticket.job.id, [claim, str(status), *found, why[:300], "", history, known])

    async def defer_chunk(self, chunk_id: str, claim: str, status: Status, why: str, waiting: str) -> bool:
        """The same for a chunk. `waiting`: what its rows that wait must know, as JSON."""
        return await self._defer(chunk_id, [claim, str(status), 0, 0, 0, "{}", why[:300], waiting, "", "[]"])

    async def _defer(self, job_id: str, arguments: list[Word]) -> bool:
        return bool(await run(self._client, Call("defer", [keys.job(job_id)], arguments)))


def own_id_of(job_id: str, fingerprint: str) -> str:
    """Under which a job is kept whose id names another one."""
    return f"{job_id}~{fingerprint}"


def record_fields(job: Job, sent: str = "") -> Fields:
    """The fields of a new record that come from its producer. `sent`: what it sent, if that cannot be used."""
    fields = relation_fields(job.relation) | {"fingerprint": of_job(job, sent)}
    if sent:
        fields["sent"] = sent
    if job.restore:
        fields["restore"] = 1
    if job.confirmation is not None:
        fields["confirmation"] = job.confirmation
    return fields | terms_fields(job.terms)


def chunk_fields(chunk: Chunk, sent: str = "") -> Fields:
    """The same for a chunk."""
    fields: Fields = {"run": chunk.run, "first_row": chunk.first_row, "rows": len(chunk.rows)}
    fields["fingerprint"] = of_chunk(chunk, sent)
    if sent:
        fields["sent"] = sent
    if chunk.restore:
        fields["restore"] = 1
    return fields | terms_fields(chunk.terms)


def relation_fields(relation: Relation) -> Fields:
    """What it is about; what a faulty job does not name is left out."""
    named: Fields = {
        "relationtype": relation.relationtype,
        "parentid": relation.parentid,
        "childid": relation.childid,
    }
    return {name: value for name, value in named.items() if value}


def terms_fields(terms: JobTerms) -> Fields:
    """What its producer said besides."""
    fields: Fields = {"account": terms.account}
    if terms.requested_by is not None:
        fields["requested_by"] = terms.requested_by
    if terms.reason is not None:
        fields["reason"] = terms.reason
    if terms.not_after is not None:
        fields["not_after"] = int(terms.not_after * 1000)
    return fields


def _admitted(row: Sequence[Any]) -> Admitted:
    verdict, *rest = row
    admission = Admission(verdict.decode())
    if admission is not Admission.RUN:
        words = [word.decode(errors="replace") for word in rest]
        return Admitted(admission=admission, first=dict(zip(words[::2], words[1::2], strict=True)))
    attempts, known, question, tries, deaths, deadline, now, lone_deaths, waiting, history, *lost = rest
    died_at, forgotten, succeeded, revoked = lost
    return Admitted(
        admission=Admission.RUN,
        attempts=attempts,
        known=_known(known, died_at, forgotten=bool(forgotten), succeeded=bool(succeeded)),
        succeeded=succeeded.decode(),
        died_at=int(died_at) / 1000 if died_at else None,
        question=bool(question),
        tries={int(code): count for code, count in json.loads(tries).items()},
        deaths=deaths,
        lone_deaths=lone_deaths,
        waiting=waiting.decode(),
        history=from_json(history.decode()),
        deadline=int(deadline) / 1000,
        now=now / 1000,
        revoked=bool(revoked),
    )


def _known(packed: bytes, died_at: bytes, *, forgotten: bool, succeeded: bool) -> Known:
    known = unpack(json.loads(packed))
    if forgotten:
        known = replace(known, forgotten=True)
    if not died_at:
        return known
    at = int(died_at) / 1000
    return known.after_success(at) if succeeded else known.after_loss(at)
