"""The intents of a batch: of jobs in their records, of rows in their chunk's bytes."""

from collections.abc import Iterable, Sequence

from worker.engine.entry import Entry
from worker.engine.group_commit import GroupCommit
from worker.engine.open_chunk import OpenChunk
from worker.engine.settling import insist
from worker.stores.records import Intent, Intention, Records
from worker.stores.rows import Rows, RowsIntention

AT_ONCE = 200


class Intents:
    """Stores intents, however long Redis is away: nothing is sent before."""

    def __init__(self, records: Records, rows: Rows) -> None:
        self._jobs = GroupCommit(records.intend, AT_ONCE)
        self._rows = GroupCommit(rows.intend, AT_ONCE)

    async def store(self, entries: Sequence[Entry]) -> list[tuple[Entry, Intent]]:
        """Says for each job whether it may go."""
        alone = entries[0].suspect
        jobs = [entry for entry in entries if entry.chunk is None]
        wanted = [Intention(entry.ticket.job, entry.claim, alone) for entry in jobs]
        words = await insist(lambda: self._jobs(wanted))
        return [*zip(jobs, words, strict=True), *await self._store_rows(entries, alone=alone)]

    async def _store_rows(self, entries: Iterable[Entry], *, alone: bool) -> list[tuple[Entry, Intent]]:
        chunks: dict[OpenChunk, list[Entry]] = {}
        for entry in entries:
            if entry.chunk is not None:
                chunks.setdefault(entry.chunk, []).append(entry)
        wanted = [
            RowsIntention(chunk.chunk, chunk.claim, tuple(sorted(entry.row for entry in rows)), alone)
            for chunk, rows in chunks.items()
        ]
        words = await insist(lambda: self._rows(wanted))
        return [
            (entry, Intent.ROW_ENDED if entry.row in word.ended else word.intent)
            for rows, word in zip(chunks.values(), words, strict=True)
            for entry in rows
        ]
