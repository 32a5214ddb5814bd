"""What a claimed message is: a job, a chunk of jobs, or one that cannot be read. Pure."""

from dataclasses import dataclass

from worker.engine.envelope import Envelope
from worker.stores.deliveries import Claimed
from worker.stores.records import Admitted, Arrival, Fields, chunk_fields, record_fields
from worker.unlinking.chunk import Chunk
from worker.unlinking.decisions import Ticket
from worker.unlinking.errors import BadArguments, UnlinkError
from worker.unlinking.job import FAULTY_SHOWN, REQUIRED, Job, JobTerms, as_given, read_terms


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
        fields = self.fields | {"ignore_result": 1} if self.envelope.ignore_result else self.fields
        return Arrival(
            id=self.envelope.id,
            fields=fields,
            claim=self.claimed.claim,
            taken_over_from=self.claimed.taken_over_from,
            expires=self.envelope.expires,
        )


def arrive_job(claimed: Claimed, envelope: Envelope) -> Arrived:
    """A message of `unlinker.unlink`."""
    try:
        _require_keywords(envelope)
        job = Job.from_arguments(envelope.id, envelope.arguments)
        return Arrived(claimed, envelope, job, record_fields(job))
    except UnlinkError as fault:
        named = as_given(*(envelope.arguments.get(name) for name in REQUIRED))
        job = Job(id=envelope.id, relation=named, terms=_terms_as_given(envelope))
        return Arrived(claimed, envelope, job, record_fields(job), fault)


def arrive_chunk(claimed: Claimed, envelope: Envelope, *, restore: bool) -> Arrived:
    """A message of `unlinker.unlink_many`, or of `unlinker.undo`: then its links are to be there again."""
    try:
        _require_keywords(envelope)
        chunk = Chunk.from_arguments(envelope.id, envelope.arguments, restore=restore)
        return Arrived(claimed, envelope, chunk, chunk_fields(chunk))
    except UnlinkError as fault:
        chunk = Chunk(envelope.id, (), _terms_as_given(envelope), run=envelope.id, first_row=0, restore=restore)
        return Arrived(claimed, envelope, chunk, chunk_fields(chunk), fault)


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


def _terms_as_given(envelope: Envelope) -> JobTerms:
    """Whose job it was and who asked, so that its dead letter is found; what cannot be read is left out."""
    given = {name: envelope.arguments.get(name) for name in ("account", "requested_by", "reason")}
    texts = {name: value for name, value in given.items() if isinstance(value, str) and value}
    return read_terms({name: value[:FAULTY_SHOWN] for name, value in texts.items()})
