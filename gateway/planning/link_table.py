"""The links of an undo, while its plan is made.

In a temporary SQLite database without a name, as the rows of other plans are (spool.py): a million would not fit beside
everything else in memory.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from gateway.exits import CommandError, Exit
from worker.unlinking.job import Relation
from worker.unlinking.undoing import UNKNOWN, UndoRow, Why

_TABLE = """
CREATE TABLE links (
    account TEXT, relationtype TEXT, parentid INTEGER, childid INTEGER,
    at REAL, job TEXT, known_by TEXT, doubt TEXT, confirmation TEXT, why TEXT,
    PRIMARY KEY (account, relationtype, parentid, childid)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Total:
    """How many links of a type share their fate."""

    relationtype: str
    why: Why | None
    certain: bool  # we removed them
    known: bool  # how the deletion ended
    count: int

    @property
    def comes_back(self) -> bool:
        """Whether they are to be restored."""
        return self.why is None or not self.why.leaves_out


class LinkTable:
    """One row a link, by account, relation type, parent and child."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._base = database

    def get(self, account: str, relation: Relation) -> UndoRow | None:
        """The row of a link."""
        found = self._base.execute(
            "SELECT at, job, known_by, doubt, confirmation, why FROM links"
            " WHERE account = ? AND relationtype = ? AND parentid = ? AND childid = ?",
            (account, relation.relationtype, relation.parentid, relation.childid),
        ).fetchone()
        return None if found is None else _row(*found)

    def put(self, account: str, relation: Relation, row: UndoRow) -> None:
        """Set it."""
        named = (account, relation.relationtype, relation.parentid, relation.childid)
        values = (row.at, row.job, row.known_by, row.doubt, row.confirmation, row.why)
        self._base.execute("INSERT OR REPLACE INTO links VALUES (?,?,?,?,?,?,?,?,?,?)", (*named, *values))

    def accounts(self) -> dict[str, int]:
        """Accounts that have links here, with how many."""
        return dict(self._base.execute("SELECT account, count(*) FROM links GROUP BY account ORDER BY account"))

    def totals(self, account: str) -> list[Total]:
        """Of one account, by type and fate."""
        found = self._base.execute(
            "SELECT relationtype, why, doubt = '', known_by != ?, count(*) FROM links WHERE account = ?"
            " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            (UNKNOWN, account),
        )
        return [
            Total(kind, why and Why(why), bool(certain), bool(known), count)
            for kind, why, certain, known, count in found
        ]

    def doubtful(self, account: str, most: int) -> list[tuple[Relation, UndoRow]]:
        """The first of those that come back although nobody knows whether we removed them."""
        found = (pair for pair in self._rows(account, only_doubtful=True) if pair[1].comes_back)
        return list(islice(found, most))

    def rows(self, account: str) -> Iterator[tuple[Relation, UndoRow]]:
        """Of one account, by type, parent and child."""
        return self._rows(account)

    def _rows(self, account: str, *, only_doubtful: bool = False) -> Iterator[tuple[Relation, UndoRow]]:
        found = self._base.execute(
            "SELECT relationtype, parentid, childid, at, job, known_by, doubt, confirmation, why FROM links"
            " WHERE account = ? AND (NOT ? OR doubt != '') ORDER BY relationtype, parentid, childid",
            (account, only_doubtful),
        )
        for kind, parentid, childid, *values in found:
            yield Relation(kind, parentid, childid), _row(*values)


def _row(at: float, job: str, known_by: str, doubt: str, confirmation: str | None, why: str | None) -> UndoRow:
    return UndoRow(
        at=at,
        job=job,
        known_by=known_by,
        doubt=doubt,
        confirmation=confirmation,
        why=Why(why) if why else None,
    )


@contextmanager
def tabling() -> Iterator[LinkTable]:
    """An empty table. Raises CommandError when the disk is full."""
    database = sqlite3.connect("", isolation_level=None)  # without a name: a file that is gone with the connection
    try:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA temp_store = FILE")
        database.execute(_TABLE)
        database.execute("BEGIN")
        yield LinkTable(database)
    except sqlite3.Error as error:
        why = f"the links cannot be kept for a while: {error}; is the disk of temporary files full? Set TMPDIR"
        raise CommandError(Exit.BAD_INPUT, why) from None
    finally:
        database.close()
