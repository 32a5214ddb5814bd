"""From the journal to what an undo would bring back."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

from worker.stores.journal import Deed, Journal, Wanted
from worker.unlinking.job import Relation
from worker.unlinking.undoing import Past, Undoing, UndoRow, Why

TOLD_EVERY = 1000  # deeds
_TABLE = """
CREATE TABLE links (
    account TEXT, relationtype TEXT, parentid INTEGER, childid INTEGER,
    at REAL, job TEXT, known_by TEXT, certain INTEGER, confirmation TEXT, why TEXT, comes_back INTEGER,
    PRIMARY KEY (account, relationtype, parentid, childid)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Total:
    """How many links of a type there are that share their fate."""

    relationtype: str
    why: Why | None
    certain: bool
    known: bool  # how the deletion ended
    count: int

    @property
    def comes_back(self) -> bool:
        """Whether they are to be restored."""
        return self.why is None or not self.why.leaves_out


class LinkTable:
    """The links of an undo, in a file that vanishes: a million would not fit beside everything else in memory."""

    def __enter__(self) -> "LinkTable":
        self._base = sqlite3.connect("")  # a file of its own, without a name
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute(_TABLE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def get(self, account: str, relation: Relation) -> UndoRow | None:
        """The row of a link."""
        found = self._base.execute(
            "SELECT at, job, known_by, certain, confirmation, why FROM links"
            " WHERE account = ? AND relationtype = ? AND parentid = ? AND childid = ?",
            (account, relation.relationtype, relation.parentid, relation.childid),
        ).fetchone()
        return None if found is None else _row(*found)

    def put(self, account: str, relation: Relation, row: UndoRow) -> None:
        """Set it."""
        named = (account, relation.relationtype, relation.parentid, relation.childid)
        values = (row.at, row.job, row.known_by, row.certain, row.confirmation, row.why, row.comes_back)
        self._base.execute("INSERT OR REPLACE INTO links VALUES (?,?,?,?,?,?,?,?,?,?,?)", (*named, *values))

    def accounts(self) -> dict[str, int]:
        """Accounts whose links come back, with how many do."""
        return dict(self._base.execute("SELECT account, count(*) FROM links WHERE comes_back GROUP BY account"))

    def totals(self) -> list[Total]:
        """By type and fate."""
        found = self._base.execute(
            "SELECT relationtype, why, certain, known_by != 'unknown', count(*) FROM links"
            " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
        )
        return [
            Total(kind, why and Why(why), bool(certain), bool(known), count)
            for kind, why, certain, known, count in found
        ]

    def rows(self) -> Iterator[tuple[Relation, UndoRow]]:
        """All, by account, type, parent and child."""
        found = self._base.execute(
            "SELECT relationtype, parentid, childid, at, job, known_by, certain, confirmation, why FROM links"
            " ORDER BY account, relationtype, parentid, childid"
        )
        for kind, parentid, childid, *values in found:
            yield Relation(kind, parentid, childid), _row(*values)


def _row(at: float, job: str, known_by: str, certain: int, confirmation: str | None, why: str | None) -> UndoRow:
    return UndoRow(
        at=at,
        job=job,
        known_by=known_by,
        certain=bool(certain),
        confirmation=confirmation,
        why=Why(why) if why else None,
    )


def read_deeds(journal: Journal, wanted: Wanted, undoing: Undoing, advance: Callable[[int], None]) -> None:
    """Everything that was done since the first chosen moment. `advance`: told how many more deeds were read.

    Raises redis.exceptions.RedisError.
    """
    for past in _pasts(journal, wanted, advance):
        undoing.add(past)
    if undoing.needs_second_pass:
        for past in _pasts(journal, wanted, advance):
            if not past.chosen or past.restore:
                undoing.add_later_will(past)


def _pasts(journal: Journal, wanted: Wanted, advance: Callable[[int], None]) -> Iterator[Past]:
    for number, deed in enumerate(journal.deeds(Wanted(since=wanted.since)), start=1):
        yield past_of(deed, wanted)
        if number % TOLD_EVERY == 0:
            advance(TOLD_EVERY)


def past_of(deed: Deed, wanted: Wanted) -> Past:
    """A deed as an undo sees it."""
    intended, ended = deed.intended, deed.ended
    in_time = wanted.before is None or intended.at < wanted.before
    return Past(
        account=intended.account,
        relation=intended.relation,
        restore=intended.restore,
        at=intended.at if ended is None else ended.at,
        outcome=deed.outcome,
        proven=ended is None or ended.proven,
        evidence=ended.evidence if ended else None,
        confirmation=deed.confirmation,
        job=intended.id,
        chosen=in_time and wanted.fits(intended),
    )
