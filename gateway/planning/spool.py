"""The rows of a plan in the making: on disk, each relation once, by the order of the input or by record.

A temporary SQLite database without a name: a million rows take a few seconds and little memory, and nothing is left
behind, however this process ends.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.exits import CommandError, Exit
from gateway.planning.rows import Given
from worker.unlinking.job import Relation
from worker.unlinking.plan import PlanRow, Standing

AT_ONCE = 5000  # rows of one insert
CACHE = 16 * 1024  # KiB
_TABLE = """CREATE TABLE rows (
    place INTEGER PRIMARY KEY, kind INTEGER, parentid INTEGER, childid INTEGER, source TEXT, input TEXT, standing TEXT
)"""
# the first of its kind stays
_REPEATS = """FROM rows WHERE EXISTS (
    SELECT 1 FROM rows AS earlier WHERE earlier.kind = rows.kind AND earlier.parentid = rows.parentid
    AND earlier.childid = rows.childid AND earlier.place < rows.place
)"""

_BY_PARENT = """SELECT parentid, childid FROM rows WHERE kind = ? AND (parentid, childid) > (?, ?)
    ORDER BY parentid, childid LIMIT ?"""
_BY_CHILD = """SELECT parentid, childid FROM rows WHERE kind = ? AND (childid, parentid) > (?, ?)
    ORDER BY childid, parentid LIMIT ?"""


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows that name a relation again."""

    count: int = 0
    example: str = ""  # where one of them is, in words


@dataclass(frozen=True, slots=True)
class Side:
    """A relation type, and the side from which its links are looked at."""

    relationtype: str
    by_parents: bool


class Spool:
    """Filled and sealed once, then looked at in order. No foreign word is ever part of a statement."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._kinds: dict[str, int] = {}
        self._batch: list[tuple[int, int, int, str, str, str]] = []
        self.names: list[str] = []  # relation types, in the order of their first row

    def put(self, given: Given, standing: Standing) -> None:
        """One more row."""
        relation = given.relation
        kind = self._kind(relation.relationtype)
        text = json.dumps(given.input) if given.input else "[]"
        self._batch.append((kind, relation.parentid, relation.childid, given.source, text, standing.value))
        if len(self._batch) == AT_ONCE:
            self._insert()

    def seal(self) -> Repeats:
        """All rows are in. A relation that was there before is counted and left out."""
        self._insert()
        self._database.execute("CREATE INDEX by_parent ON rows (kind, parentid, childid)")
        found = self._database.execute(f"SELECT kind, parentid, childid, source {_REPEATS} LIMIT 1").fetchone()
        if found is None:
            return Repeats()
        first = self._database.execute(
            "SELECT source FROM rows WHERE kind = ? AND parentid = ? AND childid = ? ORDER BY place LIMIT 1", found[:3]
        ).fetchone()
        count = self._database.execute(f"DELETE {_REPEATS}").rowcount
        return Repeats(count, f"line {found[3]} repeats line {first[0]}" if found[3] else "")

    def _insert(self) -> None:
        self._database.executemany(
            "INSERT INTO rows (kind, parentid, childid, source, input, standing) VALUES (?, ?, ?, ?, ?, ?)", self._batch
        )
        self._batch.clear()

    def _kind(self, relationtype: str) -> int:
        number = self._kinds.get(relationtype)
        if number is None:
            number = self._kinds[relationtype] = len(self.names)
            self.names.append(relationtype)
        return number

    def count(self, relationtype: str) -> int:
        """How many rows a type has."""
        kind = self._kinds[relationtype]
        return int(self._database.execute("SELECT count(*) FROM rows WHERE kind = ?", (kind,)).fetchone()[0])

    def sides(self, relationtype: str) -> tuple[int, int]:
        """How many different parents and children a type has."""
        found = self._database.execute(
            "SELECT count(DISTINCT parentid), count(DISTINCT childid) FROM rows WHERE kind = ?",
            (self._kinds[relationtype],),
        ).fetchone()
        return int(found[0]), int(found[1])

    def portions(self, side: Side, size: int) -> Iterator[list[Relation]]:
        """The type's relations, record by record."""
        if not side.by_parents:
            self._database.execute("CREATE INDEX IF NOT EXISTS by_child ON rows (kind, childid, parentid)")
        statement = _BY_PARENT if side.by_parents else _BY_CHILD
        kind, last = self._kinds[side.relationtype], (0, 0)
        while found := self._database.execute(statement, (kind, *last, size)).fetchall():
            yield [Relation(side.relationtype, parentid, childid) for parentid, childid in found]
            last = found[-1] if side.by_parents else found[-1][::-1]

    def stand(self, standings: Iterable[tuple[Relation, Standing]]) -> None:
        """Note what was seen."""
        self._database.executemany(
            "UPDATE rows SET standing = ? WHERE kind = ? AND parentid = ? AND childid = ?",
            ((stands.value, self._kinds[link.relationtype], link.parentid, link.childid) for link, stands in standings),
        )

    def stand_all(self, relationtype: str, standing: Standing, before: Standing | None = None) -> None:
        """Every row of a type; only those that stood `before`, if that is given."""
        self._database.execute(
            "UPDATE rows SET standing = ?1 WHERE kind = ?2 AND (?3 IS NULL OR standing = ?3)",
            (standing.value, self._kinds[relationtype], before and before.value),
        )

    def rows(self) -> Iterator[PlanRow]:
        """All rows in the input's order."""
        standings = {standing.value: standing for standing in Standing}
        for kind, parentid, childid, source, given, standing in self._database.execute(
            "SELECT kind, parentid, childid, source, input, standing FROM rows ORDER BY place"
        ):
            relation = Relation(self.names[kind], parentid, childid)
            yield PlanRow(relation, standings[standing], source, tuple(json.loads(given)))


@contextmanager
def spooling() -> Iterator[Spool]:
    """An empty spool. Raises CommandError when the disk is full."""
    database = sqlite3.connect("", isolation_level=None)  # without a name: a file that is gone with the connection
    try:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA temp_store = FILE")
        database.execute(f"PRAGMA cache_size = -{CACHE}")
        database.execute(_TABLE)
        database.execute("BEGIN")
        yield Spool(database)
    except sqlite3.Error as error:
        why = f"the rows cannot be kept for a while: {error}; is the disk of temporary files full? Set TMPDIR"
        raise CommandError(Exit.BAD_INPUT, why) from None
    finally:
        database.close()
