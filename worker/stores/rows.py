"""The rows of chunks: one byte each in a string per chunk, so that a million rows are little more than a megabyte.

The string is the chunk's and not its run's: the name of a run comes from outside, and two chunks that happened to name
the same rows of the same run must not take each other's ends for their own.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.stores import keys
from worker.stores.journal_format import pack_rows
from worker.stores.records import Fields, Intent, Retention, record_fields, relation_fields, terms_fields
from worker.stores.scripts import AsyncRedis, Call, Word, run
from worker.unlinking.chunk import Chunk, state_of
from worker.unlinking.job import Job
from worker.unlinking.outcome import Kind, Outcome
from worker.unlinking.runs import is_chunk_of

Span = tuple[int, int]  # first row, how many
LETTER_KINDS = (Kind.DEAD, Kind.EXPIRED)


@dataclass(frozen=True, slots=True)
class RowsIntention:
    """Rows of one chunk that are about to be sent."""

    chunk: Chunk
    claim: str
    rows: tuple[int, ...]  # within the chunk, rising
    alone: bool = False


@dataclass(frozen=True, slots=True)
class RowsIntent:
    """Whether the rows may go, except those that have ended."""

    intent: Intent
    ended: frozenset[int] = frozenset()  # rows within the chunk: whoever had it before has written their outcomes


@dataclass(frozen=True, slots=True)
class RowEnding:
    """One row's end."""

    chunk: Chunk
    row: int  # within the chunk
    job: Job | None  # None for a row that could not be read
    outcome: Outcome
    history: str = ""  # its attempts as JSON, if it did not come true


class Rows:
    """The rows' server, for workers. Raises redis.exceptions.RedisError."""

    def __init__(self, client: AsyncRedis, retention: Retention) -> None:
        self._client = client
        self._retention = retention

    async def states(self, chunks: Sequence[Chunk]) -> list[bytes]:
        """One byte per row of each chunk (worker.unlinking.chunk.RowState)."""
        pipeline = self._client.pipeline(transaction=False)
        for chunk in chunks:
            pipeline.getrange(keys.rows(chunk.id), 0, len(chunk.rows) - 1)
        stored: list[Any] = await pipeline.execute() if chunks else []
        return [states.ljust(len(chunk.rows), b"\0") for chunk, states in zip(chunks, stored, strict=True)]

    async def intend(self, intentions: Sequence[RowsIntention]) -> list[RowsIntent]:
        """Store the intents of sending these rows; says for each chunk whether they may go, and which have ended."""
        answers = await self._ask(intentions)
        found = [RowsIntent(answer) for answer in answers if isinstance(answer, Intent)]
        if len(found) == len(answers):
            return found
        return [await self._go_on(each, answer) for each, answer in zip(intentions, answers, strict=True)]

    async def _go_on(self, wanted: RowsIntention, answer: Intent | frozenset[int]) -> RowsIntent:
        """Rows that somebody else has ended are left out, until nobody has ended another."""
        ended: frozenset[int] = frozenset()
        while not isinstance(answer, Intent):
            ended |= answer
            left = tuple(row for row in wanted.rows if row not in ended)
            if not left:
                return RowsIntent(Intent.GO, ended)
            (answer,) = await self._ask([replace(wanted, rows=left)])
        return RowsIntent(answer, ended)

    async def _ask(self, intentions: Sequence[RowsIntention]) -> list[Intent | frozenset[int]]:
        """A word for each chunk, or those of its rows that have ended."""
        names = [keys.HALTS, keys.JOURNAL]
        arguments: list[Word] = []
        for each in intentions:
            names += (keys.job(each.chunk.id), keys.rows(each.chunk.id), _run_key(each.chunk))
            spans = spans_of(each.rows)
            packed = pack_rows(each.chunk, each.rows)
            arguments += (each.chunk.terms.account, each.claim, int(each.alone), packed, len(spans))
            for first, length in spans:
                arguments += (first, length)
        words = await run(self._client, Call("intend_rows", names, arguments))
        return [frozenset(word) if isinstance(word, list) else Intent(word.decode()) for word in words]

    async def finish(self, endings: Sequence[RowEnding]) -> list[None]:
        """End rows, once and for all, with a dead letter for each that is dead or expired."""
        by_chunk: dict[str, list[RowEnding]] = {}
        for ending in endings:
            by_chunk.setdefault(ending.chunk.id, []).append(ending)
        names = [keys.COUNTERS, keys.JOURNAL]
        arguments: list[Word] = [keys.JOB_PREFIX]
        for chunk_id, of_chunk in by_chunk.items():
            run_key = _run_key(of_chunk[0].chunk)
            names += (keys.rows(chunk_id), run_key)
            arguments.append(self._retention.records if run_key == keys.NOTHING else self._retention.runs)
            arguments += _spans(of_chunk)
            arguments += _dead_letters([ending for ending in of_chunk if ending.outcome.kind in LETTER_KINDS])
        await run(self._client, Call("finish_rows", names, arguments))
        return [None] * len(endings)


def _run_key(chunk: Chunk) -> str:
    return keys.run(chunk.run) if is_chunk_of(chunk.run, chunk.id) else keys.NOTHING


def spans_of(rows: Iterable[int]) -> list[Span]:
    """Rising numbers as spans."""
    spans: list[Span] = []
    for row in rows:
        if spans and sum(spans[-1]) == row:
            spans[-1] = (spans[-1][0], spans[-1][1] + 1)
        else:
            spans.append((row, 1))
    return spans


def _spans(endings: Sequence[RowEnding]) -> list[Word]:
    alike: dict[tuple[bytes, str, str], list[int]] = {}
    for ending in endings:
        evidence = ending.outcome.evidence
        kind = (state_of(ending.outcome).value, str(ending.outcome.kind), evidence[0] if evidence else "")
        alike.setdefault(kind, []).append(ending.row)
    words: list[Word] = []
    number = 0
    for kind, rows in alike.items():
        for first, length in spans_of(sorted(rows)):
            words += (first, length, *kind)
            number += 1
    return [number, *words]


def _dead_letters(endings: Sequence[RowEnding]) -> list[Word]:
    words: list[Word] = [len(endings)]
    for ending in endings:
        fields = _letter_fields(ending)
        words += (ending.row, f"{ending.chunk.id}:{ending.row}", 2 * len(fields))
        for field in fields.items():
            words += field
    return words


def _letter_fields(ending: RowEnding) -> Fields:
    row = ending.chunk.rows[ending.row]
    wish = terms_fields(ending.chunk.terms)
    if isinstance(row, Job):
        wish = record_fields(row)
        wish.pop("fingerprint")  # nobody sends a row again under its id
    else:
        wish["sent"] = row.sent
        if row.named is not None:
            wish |= relation_fields(row.named)
    if ending.chunk.restore:
        wish["restore"] = 1
    fields: Fields = {
        "outcome": str(ending.outcome.kind),
        "evidence": json.dumps(ending.outcome.as_evidence(), separators=(",", ":")),
        "run": ending.chunk.run,
        "row": ending.chunk.first_row + ending.row,
    }
    if ending.history:
        fields["history"] = ending.history
    return wish | fields
