"""Plans as files: written whole or not at all, and read with suspicion. A name that ends in .gz is compressed."""

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO

from gateway.exits import CommandError, Exit
from worker.stores.private_files import create_private
from worker.unlinking.plan import PlanDraft, PlanHead, PlanRefused, PlanRow, Seen, Tally, is_sent
from worker.unlinking.plan_format import EDITED, head_line, new_digest, read_row, row_line, seal
from worker.unlinking.plan_format import read_head as read_head_line

LONGEST_LINE = 16 * 1024 * 1024  # bytes; the head lists up to 10,000 parents, a row repeats its input
Stream = IO[bytes] | gzip.GzipFile
PIECE = 1024 * 1024  # bytes
QUICK = 3  # of zlib's levels: a plan shrinks to a tenth all the same


class PlanWriter:
    """Takes rows in any order. `with PlanWriter(...) as writer`; without `finish` there will be no file."""

    def __init__(self, path: Path, draft: PlanDraft) -> None:
        self._path = path
        self._draft = draft
        self._rows = {True: 0, False: 0}  # by whether they are sent
        self.tally = Tally()
        self._files = ExitStack()

    def __enter__(self) -> "PlanWriter":
        require_absent(self._path)
        with _writing(self._path), ExitStack() as files:
            # both vanish with this process, however it ends
            folder = self._path.parent
            self._spools = {sent: files.enter_context(TemporaryFile(dir=folder)) for sent in (True, False)}
            self._files = files.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of a full disk; what counts was said when it was written
            self._files.close()

    def add(self, row: PlanRow) -> None:
        """One more. Raises CommandError when it cannot be written."""
        sent = is_sent(self._draft.action, row.standing)
        self._rows[sent] += 1
        self.tally.add(row)
        try:
            self._spools[sent].write(row_line(row))
        except OSError as error:
            raise _cannot_be_written(self._path, error) from None

    def finish(self, seen: Seen | None = None) -> PlanHead:
        """Write the file. `seen`: what the looks showed, if anybody looked. Raises CommandError."""
        with _writing(self._path):
            head = seal(self._head(seen), self._pieces())
            self._write(head)
        return head

    def _head(self, seen: Seen | None) -> PlanHead:
        draft = {name: getattr(self._draft, name) for name in PlanDraft.__dataclass_fields__}
        return PlanHead(
            **draft,
            rows=self._rows[True],
            left_out=self._rows[False],
            counts=self.tally.counts,
            existing=seen.existing if seen else None,
            extents=seen.extents if seen else None,
        )

    def _pieces(self) -> Iterator[bytes]:
        for sent in (True, False):
            self._spools[sent].seek(0)
            while piece := self._spools[sent].read(PIECE):
                yield piece

    def _write(self, head: PlanHead) -> None:
        """It appears under its name only when it is whole, and on the disk."""
        part = self._path.with_name(f"{self._path.name}.{head.id[:8]}.part")
        try:
            with create_private(part) as whole:
                with _packing(whole, self._path) as file:
                    file.write(head_line(head))
                    for piece in self._pieces():
                        file.write(piece)
                whole.flush()
                os.fsync(whole.fileno())
            require_absent(self._path)
            part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)


def write_plan(path: Path, draft: PlanDraft, rows: Iterable[PlanRow], seen: Seen | None = None) -> PlanHead:
    """Write a plan of rows in any order. Raises CommandError; an existing file is never overwritten."""
    with PlanWriter(path, draft) as writer:
        for row in rows:
            writer.add(row)
        return writer.finish(seen)


def read_head(path: Path) -> PlanHead:
    """The head alone; of the rest nothing is known. Raises PlanRefused."""
    with _opened(path) as file:
        return read_head_line(_next_line(file))


def rows(path: Path, checked: PlanHead | None = None) -> Iterator[PlanRow]:
    """All rows, those to be sent first. `checked`: the head that was read before; rows below another are refused.

    Raises PlanRefused; of a plan that was edited or cut off at the latest when all rows are through, so do nothing with
    them before that, or call `verify` first.
    """
    with _opened(path) as file:
        head = read_head_line(_next_line(file))
        if checked is not None and head != checked:
            raise PlanRefused(f"{EDITED}: another plan has taken its place since it was looked at; apply it anew")
        yield from _checked_rows(file, head)


def verify(path: Path) -> PlanHead:
    """The head of a plan that is whole and as it was written. Raises PlanRefused."""
    with _opened(path) as file:
        head = read_head_line(_next_line(file))
        for _ in _checked_rows(file, head):
            pass
        return head


def _checked_rows(file: Stream, head: PlanHead) -> Iterator[PlanRow]:
    """What follows the head, and the promise that it is all there and as it was written."""
    digest, tally, all_rows = new_digest(head), Tally(), head.rows + head.left_out
    for number in range(all_rows):
        line = _next_line(file)
        if not line.endswith(b"\n"):
            raise PlanRefused(f"it is cut off after {number} of {all_rows} rows; plan again")
        digest.update(line)
        row = read_row(line)
        tally.add(row)
        if is_sent(head.action, row.standing) is not (number < head.rows):
            raise PlanRefused(f"{EDITED}: a row stands in the wrong half: {line[:100]!r}")
        yield row
    if file.read(1):
        raise PlanRefused(f"{EDITED}: there is more in it than its {all_rows} rows; plan again")
    if digest.hexdigest() != head.sha256 or tally.counts != head.counts:
        raise PlanRefused(f"{EDITED}: it is not as it was written; plan again")


def _next_line(file: Stream) -> bytes:
    line = file.readline(LONGEST_LINE)
    if len(line) == LONGEST_LINE:
        raise PlanRefused("a line is longer than any of a plan")
    return line


@contextmanager
def _opened(path: Path) -> Iterator[Stream]:
    """To read; every fault names the file."""
    try:
        with _unpacking(path) as file:
            yield file
    except PlanRefused as refused:
        raise PlanRefused(f"{path}: {refused}") from None
    except EOFError:
        raise PlanRefused(f"{path}: it is cut off; plan again") from None
    except (OSError, zlib.error) as error:
        raise PlanRefused(f"{path} cannot be read: {error}") from None


def _unpacking(path: Path) -> Stream:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


@contextmanager
def _packing(raw: IO[bytes], path: Path) -> Iterator[Stream]:
    if path.suffix != ".gz":
        yield raw
        return
    with gzip.GzipFile(path.stem, "wb", QUICK, raw) as file:
        yield file


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _cannot_be_written(path, error) from None


def _cannot_be_written(path: Path, error: OSError) -> CommandError:
    return CommandError(Exit.BAD_INPUT, f"{path} cannot be written: {error.strerror or error}")


def require_absent(path: Path) -> None:
    """Raises CommandError for a file that is there, since nothing is ever overwritten, and for a folder that is not."""
    if not path.parent.is_dir():
        raise CommandError(Exit.BAD_INPUT, f"{path} cannot be written: there is no folder {path.parent}")
    if path.exists():
        raise CommandError(Exit.BAD_INPUT, f"{path} exists already; name another with --out, or remove it")
