"""Ids from a database, by a query and a URL.

SQLAlchemy speaks with every database by the driver its URL names. SQLite's comes with Python; the others are installed
by the operator, into unlinker's environment.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, CursorResult, make_url
from sqlalchemy.exc import ArgumentError, NoSuchColumnError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from config.logs import Redactor
from gateway.reconciling.source_errors import SourceUnusable
from worker.unlinking.policies import SqlSource

AT_ONCE = 10_000  # rows
SHOWN = 300  # characters of a driver's error
# SQLAlchemy would read `:name` as a parameter, and we have none
_COLON = re.compile(r"(?<![:\\]):(?=\w)")


def read_sql(source: SqlSource, dsn: str, width: int) -> Iterator[tuple[int, Sequence[object]]]:
    """Row numbers with the values of each row; nothing is ever committed. Raises SourceUnusable."""
    redactor = Redactor([dsn])
    try:
        url = make_url(dsn)
        redactor = Redactor([dsn, str(url.password or "")])
        _require_file(url)
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect().execution_options(stream_results=True) as connection:
            result = connection.execute(text(_COLON.sub(r"\\:", source.query)))
            yield from _rows(result, source, width)
    except ArgumentError:
        raise SourceUnusable("the dsn is no URL like postgresql+psycopg://user:password@host/database") from None
    except ModuleNotFoundError as error:
        raise SourceUnusable(f"the driver {error.name!r} is not installed in unlinker's environment") from None
    except (SQLAlchemyError, OSError) as error:
        raise SourceUnusable(f"the query failed: {redactor.mask(_reason(error))}") from None


def _require_file(url: URL) -> None:
    """SQLite makes an empty database of a name that does not exist."""
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        path = Path(str(url.database))
        if not path.is_file():
            raise SourceUnusable(f"there is no database {path}")


def _rows(
    result: CursorResult[tuple[object, ...]], source: SqlSource, width: int
) -> Iterator[tuple[int, Sequence[object]]]:
    if not result.returns_rows:
        raise SourceUnusable("the query returns no rows; it must be a SELECT")
    names = list(result.keys())
    if source.columns:
        try:
            rows = result.columns(*source.columns)
        except NoSuchColumnError:
            raise SourceUnusable(
                f"the result has the columns {', '.join(names)}, not {', '.join(source.columns)}"
            ) from None
        yield from enumerate(rows.yield_per(AT_ONCE), start=1)
        return
    if len(names) != width:
        raise SourceUnusable(
            f"the query gives {len(names)} columns where {width} must be; select just them, or say columns"
        )
    yield from enumerate(result.yield_per(AT_ONCE), start=1)


def _reason(error: SQLAlchemyError | OSError) -> str:
    """The driver's own words, without the statement and its address in SQLAlchemy's manual."""
    told = str(getattr(error, "orig", None) or error).strip()
    return told.splitlines()[0][:SHOWN] if told else type(error).__name__
