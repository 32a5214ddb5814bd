"""What a claimed message is: a job, a chunk of jobs, or one that cannot be read. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker.engine.envelope import Envelope
from worker.engine.results import iso
from worker.engine.stamps import stamps_of
from worker.stores import keys
from worker.stores.deliveries import Claimed
from worker.stores.records import Admitted, Arrival, Fields, chunk_fields, own_id_of, record_fields
from worker.unlinking.chunk import Chunk
from worker.unlinking.decisions import Ticket
from worker.unlinking.errors import BadArguments, IdReused, UnlinkError
from worker.unlinking.job import DEFAULT_ACCOUNT, FAULTY_SHOWN, REQUIRED, Job, JobTerms, as_given, read_terms
from worker.unlinking.sent import as_sent, as_sent_text


@dataclass(frozen=True, slots=True)
class Arrived:
    """A readable message and what is in it, or what is wrong with it."""

    claimed: Claimed
    envelope: Envelope
    content: Job | Chunk
    fields: Fields  # of a new record
    fault: UnlinkError | None = None

    @property
    def arrival(self) -> Arrival:
        """For the records."""
        extra: Fields = {"ignore_result": 1} if self.envelope.ignore_result else {}
        if stamps := stamps_of(self.envelope.payload["headers"]):
            extra["stamps"] = json.dumps(stamps)
        return Arrival(
            id=self.content.id,
            fields=self.fields | extra,
            claim=self.claimed.claim,
            taken_over_from=self.claimed.taken_over_from,
            expires=self.envelope.expires,
            relation=self._joins_as,
        )

    @property
    def _joins_as(self) -> str:
        """A message with callbacks joins nobody, since it is needed to the end; nor does one that waits for its eta."""
        if not isinstance(self.content, Job) or self.fault or self.envelope.eta or not self.envelope.plain:
            return ""
        relation = self.content.relation
        return keys.relation(self.content.account, relation.relationtype, relation.parentid, relation.childid)


def arrive_job(claimed: Claimed, envelope: Envelope) -> Arrived:
    """A message of `unlinker.unlink`."""
    try:
        _require_keywords(envelope)
        job = Job.from_arguments(envelope.id, envelope.arguments)
        return Arrived(claimed, envelope, job, record_fields(job))
    except UnlinkError as fault:
        named = as_given(*(envelope.arguments.get(name) for name in REQUIRED))
        job = Job(id=envelope.id, relation=named, terms=_terms_as_given(envelope))
        return Arrived(claimed, envelope, job, record_fields(job, _sent(envelope)), fault)


def arrive_chunk(claimed: Claimed, envelope: Envelope, *, restore: bool) -> Arrived:
    """A message of `unlinker.unlink_many`, or of `unlinker.undo`: then its links are to be there again."""
    try:
        _require_keywords(envelope)
        chunk = Chunk.from_arguments(envelope.id, envelope.arguments, restore=restore)
        return Arrived(claimed, envelope, chunk, chunk_fields(chunk))
    except UnlinkError as fault:
        chunk = Chunk(envelope.id, (), _terms_as_given(envelope), run=envelope.id, first_row=0, restore=restore)
        return Arrived(claimed, envelope, chunk, chunk_fields(chunk, _sent(envelope)), fault)


def under_its_own_id(arrived: Arrived, first: Mapping[str, str]) -> Arrived:
    """Another job under an id that is known: what it becomes, found by its id and from the first one's.

    `first`: the record of the job that had the id first. The new id is the same however often this is asked for.
    """
    content = arrived.content
    own_id = own_id_of(content.id, str(arrived.fields["fingerprint"]))
    text = (
        f"id {content.id!r} was given to {_named_in(first)} before; {_named(content)} was not carried out. Send it "
        "again under an id of its own"
    )
    if isinstance(content, Chunk):
        rows = tuple(
            replace(row, id=f"{own_id}:{n}") if isinstance(row, Job) else row for n, row in enumerate(content.rows)
        )
        own: Job | Chunk = replace(content, id=own_id, rows=rows)
    else:
        own = replace(content, id=own_id)
    fields = arrived.fields | {"reused_of": content.id}
    return replace(arrived, content=own, fields=fields, fault=IdReused(IdReused.__name__, None, text))


def _named(content: Job | Chunk) -> str:
    if isinstance(content, Chunk):
        return _named_in(chunk_fields(content))
    return _named_in(record_fields(content))


def _named_in(record: Mapping[str, object]) -> str:
    """What a record is about, and how it ended if it has."""
    if "rows" in record:
        what = f"a chunk of {record['rows']} relations"
    else:
        what = f"{record.get('relationtype', '?')} {record.get('parentid', '?')} -> {record.get('childid', '?')}"
    if "restore" in record:
        what += " (to be restored)"
    if record.get("account", DEFAULT_ACCOUNT) != DEFAULT_ACCOUNT:
        what += f" of account {record['account']}"
    if "outcome" not in record:
        return what
    return f"{what} ({record['outcome']} at {iso(int(float(str(record['ended_at']))) / 1000)})"


def ticket(job: Job, known: Admitted) -> Ticket:
    """A job with what its record knows."""
    return Ticket(
        job=job,
        attempts=known.attempts,
        known=known.known,
        question=known.question,
        tries=known.tries or {},
        history=known.history,
    )


def _require_keywords(envelope: Envelope) -> None:
    if envelope.positional:
        raise BadArguments(BadArguments.__name__, None, "send keyword arguments, none by position")


def _sent(envelope: Envelope) -> str:
    if envelope.positional:
        return as_sent({"args": envelope.positional, "kwargs": envelope.arguments})
    return as_sent(envelope.arguments)


def _terms_as_given(envelope: Envelope) -> JobTerms:
    """Whose job it was and who asked, so that its dead letter is found; what cannot be read is left out."""
    given = {name: envelope.arguments.get(name) for name in ("account", "requested_by", "reason")}
    texts = {name: value for name, value in given.items() if isinstance(value, str) and value}
    return read_terms({name: as_sent_text(value)[:FAULTY_SHOWN] for name, value in texts.items()})
