"""Making a plan: take the rows in, leave out what may not go, look at the rest, write the file. Deletes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.exits import CommandError, Exit
from gateway.plan_file import PlanWriter, require_absent
from gateway.planning.bad_rows import BadRows, collecting, place_for
from gateway.planning.checking import Checker, refuse_types
from gateway.planning.csv_source import CsvSource
from gateway.planning.jsonl_source import JsonlSource
from gateway.planning.rows import Given, Rejected, Source
from gateway.planning.rules import Finder, Rule, read_ids
from gateway.planning.spool import Repeats, Spool, spooling
from gateway.planning.text import opened
from gateway.progress import progress
from worker.engine.polite_api import ReadFailed
from worker.engine.reading_desk import DeskOptions, ReadingDesk
from worker.unlinking.plan import PlanDraft, PlanHead, Seen, Standing
from worker.unlinking.relation_types import RELATION_TYPES
from worker.unlinking.type_rules import TypeRules

STEP = 1000  # rows between two looks at the progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the input is read."""

    file: str | None = None  # or a rule
    rule: Rule | None = None
    one_type: str | None = None  # of all rows of the file
    delimiter: str | None = None
    encoding: str | None = None
    skip_bad_rows: bool = False
    bad_rows: Path | None = None  # where they go; None: next to the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A plan that somebody wants."""

    out: Path
    draft: PlanDraft
    reading: Reading
    desk: DeskOptions
    rules: TypeRules
    check: bool = True
    allow_unknown: bool = False


@dataclass(slots=True)
class Made:
    """What became of it."""

    head: PlanHead | None = None  # None: no plan, because of bad rows
    repeats: Repeats = field(default_factory=Repeats)
    bad_rows: int = 0
    bad_rows_file: Path | None = None
    first_bad: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # relation type -> why
    unread: list[str] = field(default_factory=list)  # what could not be read, in words
    notes: list[str] = field(default_factory=list)


class PlanMaker:
    """Makes one plan."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._reading = wish.reading
        self._columns: tuple[str, ...] = ()
        self._made = Made()

    async def make(self) -> Made:
        """Raises CommandError and redis.exceptions.RedisError."""
        require_absent(self._wish.out)
        with spooling() as spool:
            try:
                if self._reading.rule is None:
                    self._take_file(spool)
                    if self._stopped_by_bad_rows:
                        return self._made
                    await self._check(spool)
                else:
                    await self._follow_rule(spool, self._reading.rule)
            except ReadFailed as error:
                raise CommandError(Exit.UNREACHABLE, f"no plan: {error}{self._way_out}") from None
        return self._made

    @property
    def _stopped_by_bad_rows(self) -> bool:
        return self._made.bad_rows > 0 and not self._reading.skip_bad_rows

    @property
    def _way_out(self) -> str:
        return "" if self._reading.rule else " (--no-check plans without looking)"

    def _take_file(self, spool: Spool) -> None:
        name = self._reading.file or ""
        with opened(name, self._reading.encoding) as text, collecting(text.name) as bad:
            source: Source
            if text.beginning in ("{", "["):
                source = JsonlSource(text, self._reading.one_type)
            else:
                source = CsvSource(text, self._reading.delimiter, self._reading.one_type)
            self._columns = source.columns
            self._made.notes += source.notes
            with progress("rows read") as advance:
                for number, row in enumerate(source, start=1):
                    if isinstance(row, Given):
                        spool.put(row, Standing.UNCHECKED)
                    else:
                        bad.add(row)
                    if number % STEP == 0:
                        advance(STEP)
            self._note_bad(bad, name)
        if not self._stopped_by_bad_rows:
            self._made.repeats = spool.seal()

    def _note_bad(self, bad: BadRows, name: str) -> None:
        self._made.bad_rows, self._made.first_bad = bad.count, bad.first
        if bad.count:
            self._made.bad_rows_file = place_for(name, self._reading.bad_rows)
            bad.save(self._made.bad_rows_file)

    async def _check(self, spool: Spool) -> None:
        self._made.refused = refuse_types(spool, self._wish.rules)
        if self._wish.check:
            async with ReadingDesk(self._wish.desk) as desk:
                self._write(spool, await self._look(desk, spool))
        else:
            self._write(spool, None)

    async def _look(self, desk: ReadingDesk, spool: Spool) -> Seen:
        checker = Checker(desk, spool)
        total = sum(spool.count(kind) for kind in spool.names if kind not in self._made.refused)
        with progress("links looked at", total) as advance:
            await checker.run(frozenset(self._made.refused), advance)
        if checker.unknown:
            self._made.unread.append(f"{checker.unknown} links could not be looked at, for one {checker.example}")
        return checker.extents.seen()

    async def _follow_rule(self, spool: Spool, rule: Rule) -> None:
        ids = [] if rule.resource else self._take_ids(rule)
        if self._stopped_by_bad_rows:
            return
        async with ReadingDesk(self._wish.desk) as desk:
            finder = Finder(desk, rule)
            if rule.resource:
                ids = await finder.record_ids()
                self._made.notes.append(f"{len(ids)} {rule.resource} records fit")
            with progress("records looked at", len(ids)) as advance:
                async for given in finder.links(ids, advance):
                    spool.put(given, Standing.PRESENT)
            if finder.unread:
                record = min(finder.unread)
                self._made.unread.append(
                    f"the links of {len(finder.unread)} records could not be read, for one {record}: "
                    f"{finder.unread[record]}; they are in no plan"
                )
            self._made.repeats = spool.seal()
            self._made.refused = refuse_types(spool, self._wish.rules)
            self._write(spool, await self._look(desk, spool) if self._wish.check else None)

    def _take_ids(self, rule: Rule) -> list[int]:
        ids: dict[int, None] = {}
        with collecting(rule.ids) as bad:
            for each in read_ids(rule.ids, self._reading.encoding):
                if isinstance(each, Rejected):
                    bad.add(each)
                else:
                    ids[each] = None
            self._note_bad(bad, rule.ids)
        return list(ids)

    def _write(self, spool: Spool, seen: Seen | None) -> None:
        if self._made.unread and not self._wish.allow_unknown:
            raise CommandError(
                Exit.UNREACHABLE,
                f"no plan: {'; '.join(self._made.unread)}. --allow-unknown plans without having seen them",
            )
        draft = replace(self._wish.draft, columns=self._columns)
        total = sum(map(spool.count, spool.names))
        with PlanWriter(self._wish.out, draft) as writer, progress("rows written", total) as advance:
            for number, row in enumerate(spool.rows(), start=1):
                writer.add(row)
                if number % STEP == 0:
                    advance(STEP)
            self._made.head = writer.finish(seen)


def notes_on(kinds: Iterable[str]) -> list[str]:
    """What to know before links of these types are deleted."""
    return [f"{kind}: {RELATION_TYPES[kind].note}" for kind in kinds if RELATION_TYPES[kind].note]
