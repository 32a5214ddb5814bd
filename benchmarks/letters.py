"""Dead letters: how long a page, a filter and a count take, and what a letter costs."""

import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
import redis.asyncio

from config.embedded_valkey import ensure_running, stop
from worker.stores.dead_letters import DeadLetters
from worker.stores.letter import Filter
from worker.stores.records import Retention
from worker.stores.rows import RowEnding, Rows
from worker.unlinking.chunk import Chunk
from worker.unlinking.job import Job, JobTerms, Relation
from worker.unlinking.outcome import Evidence, dead

Figures = dict[str, float]
AT_ONCE = 500
WALKED = 50_000  # letters that are read one by one too
REASONS = (("NotDeletable", 168), ("MissingRight", 174), ("UnknownRecord", 80), ("Exhausted", 1), ("Unverified", None))
TYPES = ("calendar:address", "estate:address:owner", "address:user:sync")
HUB, HALF, FEW = 7, 27, 1000  # ids that all letters have, every other one, and two of them
RARE = Filter(reason="BadRequest")  # one letter in the middle has it
FILTERS = (
    Filter(),
    Filter(reason="NotDeletable"),
    Filter(reason="NotDeletable", code=168, relationtype="address:user:sync", account="north", run="night"),
    Filter(reason="NotDeletable", code=174),  # many of each, none of both
    RARE,
    Filter(childid=FEW),
    Filter(childid=FEW, parentid=HUB, reason="NotDeletable"),
    Filter(childid=HALF),
    Filter(childid=HALF, reason="NotDeletable"),
    Filter(parentid=HUB, reason="NotDeletable"),
    Filter(parentid=HUB, childid=HALF),
)


@contextmanager
def valkey() -> Iterator[str]:
    """A Valkey with AOF everysec in a folder of its own."""
    home = Path(tempfile.mkdtemp(prefix="unlinker-bench-"))
    try:
        yield ensure_running(home)
    finally:
        stop(home)
        shutil.rmtree(home, ignore_errors=True)


def dead_letters(count: int) -> Figures:
    """`count` letters through the scripts that workers end rows with; then the slowest page, filter and count."""
    with valkey() as url, redis.Redis.from_url(url) as client:
        before = int(client.info("memory")["used_memory"])
        start = time.monotonic()
        asyncio.run(load(url, count))
        took = time.monotonic() - start
        letters = DeadLetters(client)
        middle = time.time() - took / 2
        wanted = [*FILTERS, Filter(before=middle), Filter(since=middle, reason="MissingRight", childid=HALF)]
        _check(letters, count)
        pages = [_took(lambda each=each: letters.page(each)) for each in wanted]  # type: ignore[misc]  # mypy cannot type lambda defaults
        counts = [_took(lambda each=each: letters.count(each)) for each in wanted]  # type: ignore[misc]  # as above
        return {
            "ended_per_second": count / took,
            "bytes_each": (int(client.info("memory")["used_memory"]) - before) / count,
            "page_ms": max(pages[0], _took(lambda: letters.page(Filter(), str(count // 2)))),
            "slowest_filter_ms": max(pages),
            "slowest_count_ms": max(counts),
        }


def _check(letters: DeadLetters, count: int) -> None:
    """A fast answer that is wrong is none."""
    numbers = range(count)
    expected = {
        Filter(): count,
        RARE: 1,
        Filter(reason="NotDeletable"): len(numbers[::5]),
        Filter(childid=HALF): len(numbers[1::2]),
        Filter(childid=HALF, reason="NotDeletable"): len(numbers[5::10]),
        Filter(parentid=HUB, childid=HALF): len(numbers[1::2]),
        Filter(parentid=HUB, reason="NotDeletable"): len(numbers[::5]),
        Filter(childid=FEW): 2,
    }
    for wanted, number in expected.items():
        assert abs(letters.count(wanted) - number) <= (wanted.reason == "NotDeletable"), wanted  # the rare one was one
        if number <= WALKED:
            assert sum(len(some) for some in letters.walk(wanted)) == letters.count(wanted), wanted


def _took(work: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.monotonic()
    work()
    return (time.monotonic() - start) * 1000


async def load(url: str, count: int) -> None:
    """End rows of chunks dead, 500 at a time."""
    client = redis.asyncio.Redis.from_url(url)
    rows = Rows(client, Retention())
    try:
        for first in range(0, count, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, count))
            await rows.finish(endings(f"chunk-{first}", numbers, count // 2))
    finally:
        await client.aclose()


def endings(chunk_id: str, numbers: range, rare: int) -> list[RowEnding]:
    """Dead rows of all kinds; the row with number `rare` has a reason of its own."""
    terms = JobTerms(account=("north", "south")[numbers[0] // AT_ONCE % 2], requested_by="bench")
    jobs = [Job(id=f"{chunk_id}:{row}", relation=_relation(n), terms=terms) for row, n in enumerate(numbers)]
    chunk = Chunk(
        chunk_id, tuple(jobs), terms, run=("night", "spring", "user-27")[numbers[0] % 3], first_row=numbers[0]
    )
    kinds = itertools.islice(itertools.cycle(REASONS), len(jobs))
    found = []
    for row, (job, number, (reason, code)) in enumerate(zip(jobs, numbers, kinds, strict=True)):
        how = dead("BadRequest" if number == rare else reason, code, "Entry could not be deleted", Evidence.READ_BACK)
        history = '[[1700000000.123,"refused","a1b2c3d4e5f6:1",0.051,168,"Entry could not be deleted"]]'
        found.append(RowEnding(chunk, row, job, how, history))
    return found


def _relation(number: int) -> Relation:
    return Relation(TYPES[number % 3], HUB, HALF if number % 2 else FEW + number // 4)
