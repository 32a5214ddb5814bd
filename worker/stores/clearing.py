"""Clearing: what is kept no longer is written to a file if there is an archive, then taken out, counted and audited.

May be killed anywhere, and run twice at once: at worst a letter is in a file, or in two, and still in Redis.
Raises redis.exceptions.RedisError, and ArchiveUnwritable: then nothing was taken out that is in no file.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from worker.stores.archive import Archive
from worker.stores.audit import Act, Audit
from worker.stores.dead_letters import AT_ONCE, DeadLetters
from worker.stores.journal import Journal, Wanted
from worker.stores.keep_rules import KeepRules
from worker.stores.letter import Filter

BATCH = 20_000  # letters in one file
HOUR = 3600.0  # seconds of the journal in one file
REST = 0.01  # seconds after each portion, in which the worker around this has the interpreter to itself
BY = "retention"  # in the audit
Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Clearing:
    """Carries the rules out. `may_go_on` is asked between batches."""

    client: "redis.Redis"
    rules: KeepRules
    archive: Archive | None
    may_go_on: Callable[[], bool]

    def letters(self, now: float) -> int:
        """Drop letters; how many. `now`: Unix seconds."""
        letters, before, dropped = DeadLetters(self.client), self.rules.letters_before(now), 0
        while self.may_go_on():
            over = self.rules.letters_over(letters.number())
            old = letters.count(Filter(before=before))
            ids = letters.oldest(min(BATCH, max(over, old)))
            if not ids:
                break
            because = f"over {self.rules.letters_most:,} letters" if over > old else f"ended before {_date(before)}"
            file = self._write(
                "dead-letters", (each.document() for some in _portions(ids) for each in letters.read(some))
            )
            count = sum(letters.drop(some) for some in _portions(ids))
            self._note("drop dead letters", because, file, count)
            dropped += count
        return dropped

    def journal(self, now: float) -> int:
        """Drop old entries of the journal; how many."""
        journal, before, dropped = Journal(self.client), self.rules.journal_before(now), 0
        while self.may_go_on():
            begin = journal.begin()
            if begin is None or begin >= before:
                break
            end = min(before, begin // HOUR * HOUR + HOUR)
            name = f"journal-{datetime.fromtimestamp(begin, UTC):%Y-%m-%dT%H}"
            file = self._write(name, (deed.document() for deed in journal.deeds(Wanted(before=end))))
            count = journal.forget(end)
            self._note("drop journal", f"older than {_date(before)}", file, count)
            dropped += count
        return dropped

    def _write(self, stem: str, documents: Iterable[Document]) -> str | None:
        if self.archive is None:
            return None
        return str(self.archive.write(stem, _restfully(documents)))

    def _note(self, action: str, because: str, file: str | None, count: int) -> None:
        Audit(self.client).note(Act(action=action, by=BY, because=because, wanted={"file": file}, count=count))


def _restfully(documents: Iterable[Document]) -> Iterator[Document]:
    for number, document in enumerate(documents, start=1):
        yield document
        if number % AT_ONCE == 0:
            time.sleep(REST)


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()
