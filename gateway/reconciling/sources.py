"""Reading the lists of a policy. What fails, is short or cannot be understood is SourceFailed, never an empty list."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.reconciling.file_source import read_file
from gateway.reconciling.http_source import read_http
from gateway.reconciling.secrets import resolved
from gateway.reconciling.source_errors import SourceFailed, SourceUnusable
from worker.engine.polite_api import ReadFailed
from worker.engine.reading_desk import ReadingDesk
from worker.engine.threads import in_thread
from worker.unlinking.id_lists import BadList, IdRow, read_rows
from worker.unlinking.policies import FileSource, HttpSource, IdsSource, RecordsSource, Source, SqlSource

FILE_SECONDS = 300.0  # until a file is given up; it may lie on a network disk


@dataclass(frozen=True, slots=True)
class Sources:
    """Reads lists for one night."""

    environ: Mapping[str, str]
    desk: ReadingDesk

    async def read(self, key: str, source: Source, width: int) -> frozenset[IdRow]:
        """All rows of a list. `key`: what the policy calls it; `width`: ids a row. Raises SourceFailed."""
        with _failing_as(key, source):
            match source:
                case IdsSource():
                    return read_rows(enumerate(source.rows, start=1), width)
                case FileSource():
                    return await in_thread(lambda: read_rows(read_file(source), width), FILE_SECONDS)
                case SqlSource():
                    return await self._read_sql(source, width)
                case HttpSource():
                    return read_rows(enumerate(await read_http(source, self.environ), start=1), width)
                case RecordsSource():
                    pages = self.desk.records(source.resource, source.where)
                    return frozenset([(record.id,) async for page in pages for record in page])

    async def _read_sql(self, source: SqlSource, width: int) -> frozenset[IdRow]:
        from gateway.reconciling.sql_source import read_sql  # 0.2 s that no other command shall wait for

        dsn = resolved(source.dsn, self.environ)
        return await in_thread(lambda: read_rows(read_sql(source, dsn, width), width), source.seconds)

    async def everything(self, key: str, source: RecordsSource) -> frozenset[int]:
        """Every record of this kind that the account may see. Raises SourceFailed."""
        with _failing_as(key, source):
            pages = self.desk.records(source.resource)
            return frozenset([record.id async for page in pages for record in page])


@contextmanager
def _failing_as(key: str, source: Source) -> Iterator[None]:
    try:
        yield
    except (SourceUnusable, BadList, ReadFailed) as error:
        raise SourceFailed(f"{key}: {error}") from None
    except TimeoutError:
        raise SourceFailed(f"{key}: gave no complete answer in time ({describe(source)})") from None


def describe(source: Source) -> str:
    """In words, without a secret."""
    match source:
        case IdsSource(rows=rows):
            return f"{len(rows)} ids in the policies file"
        case FileSource(path=path):
            return f"file {path}"
        case SqlSource():
            return "SQL query"
        case HttpSource(url=url):
            return f"HTTP {url}" if isinstance(url, str) else "HTTP"
        case RecordsSource(resource=resource, where=where):
            told = " and ".join(f"{each.field} {each.operator} {each.value}" for each in where)
            return f"{resource} records where {told}"
