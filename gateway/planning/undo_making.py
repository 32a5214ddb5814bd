"""Making the plan of an undo: read the journal, see what comes back, look at it, write the file. Creates nothing."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from gateway.exits import CommandError, Exit
from gateway.plan_file import PlanWriter, require_absent
from gateway.planning.checking import Checker
from gateway.planning.link_table import LinkTable, Total
from gateway.planning.rows import Given
from gateway.planning.spool import Spool, spooling
from gateway.progress import progress
from worker.engine.polite_api import ReadFailed
from worker.engine.reading_desk import DeskOptions, ReadingDesk
from worker.stores.journal import Deed, Journal, Wanted
from worker.unlinking.attribution import By
from worker.unlinking.job import Relation
from worker.unlinking.plan import PlanDraft, PlanHead, PlanRow, Standing
from worker.unlinking.undoing import Past, Undoing, UndoRow

DOUBTFUL_SHOWN = 1000  # links; the plan has all of them
STEP = 1000  # deeds between two looks at the progress
COLUMNS = ("job", "deleted_at", "known_by", "by", "note")  # of the plan's rows, for the report of its run


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoWish:
    """A plan that somebody wants."""

    out: Path
    draft: PlanDraft
    desk: DeskOptions
    check: bool


@dataclass(slots=True)
class UndoMade:
    """What became of it."""

    totals: list[Total]
    head: PlanHead | None = None  # None: nothing comes back, so there is no plan
    unread: list[str] = field(default_factory=list)  # what could not be looked at, in words
    doubtful: list[tuple[Relation, UndoRow]] = field(
        default_factory=list
    )  # the first of those that we may not have removed

    @property
    def coming_back(self) -> int:
        """How many links are to be restored, as far as the journal goes."""
        return sum(each.count for each in self.totals if each.comes_back)


def read_deeds(journal: Journal, wanted: Wanted, undoing: Undoing) -> None:
    """Everything that was done since the first chosen moment. Raises redis.exceptions.RedisError."""
    with progress("deeds read") as advance:
        for past in _pasts(journal, wanted, advance):
            undoing.add(past)
        if undoing.needs_second_pass:
            for past in _pasts(journal, wanted, advance):
                if not past.chosen or past.restore:
                    undoing.add_later_will(past)


def _pasts(journal: Journal, wanted: Wanted, advance: Callable[[int], None]) -> Iterator[Past]:
    for number, deed in enumerate(journal.deeds(Wanted(since=wanted.since)), start=1):
        yield past_of(deed, wanted)
        if number % STEP == 0:
            advance(STEP)


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
        by=By(ended.by) if ended and ended.by else None,
        why=str(ended.details.get("message", "")) if ended else "",
        evidence=ended.evidence if ended else None,
        confirmation=deed.confirmation,
        job=intended.id,
        chosen=in_time and wanted.fits(intended),
    )


async def make_undo_plan(links: LinkTable, wish: UndoWish) -> UndoMade:
    """Of one account's links. Raises CommandError and redis.exceptions.RedisError."""
    require_absent(wish.out)
    made = UndoMade(links.totals(wish.draft.account), doubtful=links.doubtful(wish.draft.account, DOUBTFUL_SHOWN))
    if not made.coming_back:
        return made
    if not wish.check:
        made.head = _write(links, wish, _unchecked(links, wish))
        return made
    with spooling() as spool:
        for relation, row in links.rows(wish.draft.account):
            if row.comes_back:
                spool.put(Given(row.job, relation, _input(row)), Standing.UNCHECKED)
        spool.seal()
        await _look(spool, wish, made)
        made.head = _write(links, wish, _checked(spool, links, wish))
    return made


async def _look(spool: Spool, wish: UndoWish, made: UndoMade) -> None:
    """Only to tell what is there already: the workers look again before they create."""
    try:
        async with ReadingDesk(wish.desk) as desk:
            checker = Checker(desk, spool)
            with progress("links looked at", made.coming_back) as advance:
                await checker.run(frozenset(), advance)
    except ReadFailed as error:
        raise CommandError(Exit.UNREACHABLE, f"no plan: {error} (--no-check plans without looking)") from None
    if checker.unknown:
        made.unread.append(f"{checker.unknown} links could not be looked at, for one {checker.example}")


def _write(links: LinkTable, wish: UndoWish, coming_back: Iterable[PlanRow]) -> PlanHead:
    draft = replace(wish.draft, columns=COLUMNS)
    left_out = ((relation, row) for relation, row in links.rows(draft.account) if not row.comes_back)
    with PlanWriter(wish.out, draft) as writer, progress("rows written") as advance:
        for number, planned in enumerate(coming_back, start=1):
            writer.add(planned)
            if number % STEP == 0:
                advance(STEP)
        for relation, row in left_out:
            writer.add(PlanRow(relation, Standing.REFUSED, row.job, _input(row)))
        return writer.finish()


def _unchecked(links: LinkTable, wish: UndoWish) -> Iterator[PlanRow]:
    for relation, row in links.rows(wish.draft.account):
        if row.comes_back:
            yield PlanRow(relation, Standing.UNCHECKED, row.job, _input(row), row.confirmation)


def _checked(spool: Spool, links: LinkTable, wish: UndoWish) -> Iterator[PlanRow]:
    for planned in spool.rows():
        known = links.get(wish.draft.account, planned.relation)
        yield replace(planned, confirmation=known.confirmation if known else None)


def _input(row: UndoRow) -> tuple[str, ...]:
    at = datetime.fromtimestamp(row.at, UTC).isoformat(timespec="seconds")
    notes = [row.doubt, row.why.sentence if row.why else ""]
    return row.job, at, row.known_by, By.US if row.certain else By.UNKNOWN, "; ".join(filter(None, notes))
