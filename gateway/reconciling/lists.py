"""Where a list of a policy comes from: the table that says so becomes a source."""

from dataclasses import dataclass
from pathlib import Path

from gateway.reconciling.faults import Faults
from gateway.reconciling.tables import HttpTable, ListTable, SqlTable
from gateway.reconciling.toml_lines import Path as KeyPath
from worker.onoffice.pages import Condition
from worker.unlinking.policies import (
    SEEN_RESOURCES,
    FileSource,
    HttpSource,
    IdsSource,
    RecordsSource,
    Reference,
    Source,
    SqlSource,
)

KINDS = ("ids", "file", "sql", "http", "where")
WITH_COLUMNS = ("file", "sql", "http")


@dataclass(frozen=True, slots=True)
class Lists:
    """Reads list tables of one file."""

    faults: Faults
    folder: Path  # where relative paths begin

    def given(self, table: ListTable) -> list[str]:
        """The kinds of source that a table names."""
        return [name for name in KINDS if getattr(table, name) is not None]

    def source(self, table: ListTable, path: KeyPath, resource: str | None, width: int) -> Source | None:
        """The one source; None when it has faults. `width`: ids a row. `resource`: kind of its records, if known."""
        before = len(self.faults.found)
        given = self.given(table)
        if len(given) != 1:
            what = "one of " + ", ".join(KINDS)
            self.faults.add(path, f"give {what}" + (f", not {' and '.join(given)}" if given else ""))
            return None
        columns = self._columns(table, path, width, given[0])
        source: Source | None
        match given[0]:
            case "ids":
                source = self._ids(table.ids or [], (*path, "ids"), width)
            case "file":
                source = FileSource(str(self.folder / (table.file or "")), columns, table.delimiter)
            case "sql":
                source = self._sql(table.sql, (*path, "sql"), columns)
            case "http":
                source = self._http(table.http, (*path, "http"), columns)
            case _:
                source = self._where(table.where or [], (*path, "where"), resource)
        return source if len(self.faults.found) == before else None

    def _columns(self, table: ListTable, path: KeyPath, width: int, kind: str) -> tuple[str, ...]:
        columns = tuple(table.columns or ())
        if columns and kind not in WITH_COLUMNS:
            self.faults.add((*path, "columns"), f"{kind} has none; leave it out")
        elif columns and len(columns) != width:
            wanted = "one name" if width == 1 else "two names, of parentid and childid"
            self.faults.add((*path, "columns"), f"give {wanted}")
        elif kind == "http" and width == 2 and not columns:
            self.faults.add((*path, "columns"), "name the two fields of an item, of parentid and childid")
        return columns

    def _ids(self, rows: list[tuple[int, ...]], path: KeyPath, width: int) -> IdsSource:
        for number, row in enumerate(rows, start=1):
            if len(row) != width:
                self.faults.add(
                    path, f"entry {number}: must be {'a record id' if width == 1 else '[parentid, childid]'}"
                )
        return IdsSource(tuple(rows))

    def _sql(self, table: SqlTable | None, path: KeyPath, columns: tuple[str, ...]) -> SqlSource | None:
        if table is None:
            return None
        dsn = self._one_of(table, "dsn", path)
        return None if dsn is None else SqlSource(dsn, table.query, columns, table.seconds)

    def _http(self, table: HttpTable | None, path: KeyPath, columns: tuple[str, ...]) -> HttpSource | None:
        if table is None:
            return None
        url = self._one_of(table, "url", path)
        headers: dict[str, str | Reference] = dict(table.headers)
        headers |= {name: Reference(env=env) for name, env in table.headers_env.items()}
        headers |= {name: self._secret_file(file) for name, file in table.headers_file.items()}
        if url is None:
            return None
        return HttpSource(
            url=url,
            items=table.items,
            columns=columns,
            count=table.count,
            next=table.next,
            headers=headers,
            seconds=table.seconds,
            megabytes=table.megabytes,
        )

    def _one_of(self, table: SqlTable | HttpTable, name: str, path: KeyPath) -> str | Reference | None:
        """Plain, or where it is found."""
        plain, env, file = (getattr(table, name + suffix) for suffix in ("", "_env", "_file"))
        if sum(each is not None for each in (plain, env, file)) != 1:
            self.faults.add((*path, name), f"give one of {name}, {name}_env, {name}_file")
            return None
        if plain is not None:
            return str(plain)
        return Reference(env=env) if env is not None else self._secret_file(file)

    def _secret_file(self, file: str) -> Reference:
        return Reference(file=str(self.folder / file))

    def _where(self, rows: list[tuple[str, str, object]], path: KeyPath, resource: str | None) -> RecordsSource | None:
        if resource is None:
            return None
        if resource not in SEEN_RESOURCES:
            self.faults.add(path, f"the API filters {' and '.join(SEEN_RESOURCES)} records only, not {resource}")
        return RecordsSource(resource, tuple(Condition(*row) for row in rows))
