"""How the rows of a run ended, read in portions: their bytes, how that is known, and the dead letters among them.

For processes without a loop. Raises redis.exceptions.RedisError.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from worker.stores import keys
from worker.stores.journal_format import EVIDENCE, read_spans
from worker.stores.runs import Run, Runs
from worker.stores.scripts import Call, run_now
from worker.unlinking.chunk import FAILED, RowState
from worker.unlinking.plan import Action
from worker.unlinking.report import RowEnd, Trace, letter_end, of_one_row, row_end
from worker.unlinking.runs import CHUNK_MARK, chunk_id, is_chunk_of

ROWS_AT_ONCE = 5000
TRACES_AT_ONCE = 1000  # a script of so many takes some 3 ms of Redis
ENTRIES_AT_ONCE = 1000
MOST_REPLAYS = 100  # of one letter that are followed
LETTER_BYTES = frozenset(FAILED)
_STATE_OF = [RowState.of(byte) for byte in range(256)]
_WORD_OF = [EVIDENCE.get(chr(mark), "") for mark in range(256)]
Chain = Sequence[Trace]  # a dead letter, its replay, the replay of that, and so on


@dataclass(frozen=True, slots=True)
class Portion:
    """Some rows of a run, in their order."""

    states: bytes  # one byte per row (worker.unlinking.chunk.RowState)
    letters: Mapping[int, Chain]  # of those that are dead or expired, by their place in `states`


class RunEnds:
    """Reads the ends of one run's rows."""

    def __init__(self, client: "redis.Redis", run: Run) -> None:
        self._client = client
        self._run = run

    def ends(self, action: Action) -> Iterator[RowEnd]:
        """How each row ended, in their order, as far as is known now."""
        known, first = self.evidence(), 0
        for portion in self.portions():
            marks = known[first : first + len(portion.states)]
            first += len(portion.states)
            for place, (byte, mark) in enumerate(zip(portion.states, marks, strict=True)):
                state = _STATE_OF[byte]
                if byte in LETTER_BYTES:
                    yield letter_end(action, state, portion.letters[place])
                else:
                    yield row_end(action, self._run.state, state, _WORD_OF[mark])

    def portions(self) -> Iterator[Portion]:
        """All rows of the run."""
        states, ids = bytearray(), dict[int, str]()
        for number, of_chunk in enumerate(Runs(self._client).states(self._run)):
            for place, byte in enumerate(of_chunk):
                if byte in LETTER_BYTES:
                    ids[len(states) + place] = f"{chunk_id(self._run.id, number)}:{place}"
            states += of_chunk
            if len(states) >= ROWS_AT_ONCE:
                yield self._portion(states, ids)
                states, ids = bytearray(), {}
        yield self._portion(states, ids)

    def _portion(self, states: bytes | bytearray, ids: Mapping[int, str]) -> Portion:
        return Portion(bytes(states), dict(zip(ids, self.chains(list(ids.values())), strict=True)))

    def chains(self, ids: Sequence[str]) -> list[Chain]:
        """What is kept of these letters, and of their replays."""
        found = [[trace] for trace in self._traces(ids)]
        for _ in range(MOST_REPLAYS):
            replayed = [chain for chain in found if chain[-1].replayed_as]
            if not replayed:
                break
            following = self._traces([chain[-1].replayed_as for chain in replayed])
            for chain, trace in zip(replayed, following, strict=True):
                chain.append(trace)
        return list(found)

    def _traces(self, ids: Sequence[str]) -> Iterator[Trace]:
        for start in range(0, len(ids), TRACES_AT_ONCE):
            some = ids[start : start + TRACES_AT_ONCE]
            stored: Any = run_now(self._client, Call("traces", [], [keys.JOB_PREFIX, *some]))
            for job_id, fields in zip(some, stored, strict=True):
                words = ("" if field is None else field.decode(errors="replace") for field in fields)
                yield of_one_row(Trace(job_id, *words))

    def evidence(self) -> bytearray:
        """One byte per row: a key of journal_format.EVIDENCE; 0 where the journal does not say, or no longer does."""
        known = bytearray(self._run.layout.rows)
        for chunk, spans in self._ended_spans():
            begin, _ = self._run.layout.span(int(chunk.rpartition(CHUNK_MARK)[2]))
            for span in read_spans(spans):
                if span.evidence:
                    self._fill(known, begin + span.first, span.count, span.evidence)
        return known

    @staticmethod
    def _fill(known: bytearray, first: int, count: int, evidence: bytes) -> None:
        """The first end of a row stands, in the journal too."""
        last = min(first + count, len(known))
        if not any(known[first:last]):
            known[first:last] = evidence * (last - first)
            return
        for row in range(first, last):
            known[row] = known[row] or evidence[0]

    def _ended_spans(self) -> Iterator[tuple[str, bytes]]:
        start, end = (self._run.fields.get(name) for name in ("started_at", "ended_at"))
        while start is not None:  # a run that has not begun is in no journal
            found: Any = self._client.xrange(keys.JOURNAL, start, end or "+", count=ENTRIES_AT_ONCE)
            for _, fields in found:
                chunk = fields.get(b"chunk", b"").decode(errors="replace")
                if is_chunk_of(self._run.id, chunk):
                    yield chunk, fields[b"spans"]
            if len(found) < ENTRIES_AT_ONCE:
                return
            start = f"({found[-1][0].decode()}"
