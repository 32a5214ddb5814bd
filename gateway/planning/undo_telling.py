"""What an operator is told of an undo's plan: how much comes back, and what does not."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from gateway.output import print_table
from gateway.planning.link_table import Total
from gateway.planning.undo_making import UndoMade
from worker.unlinking.plan import Standing
from worker.unlinking.relation_types import PARTICIPANT
from worker.unlinking.undoing import Undoing

NEVER_BACK = (
    "a link that is brought back is a new one for onOffice: dates, order and log entries of the old one stay lost"
)
NEVER_BACK_PARTICIPANT = (
    f"{PARTICIPANT}: the feedback status is lost too; participants whose calendars are synchronised may get mail"
)
COLUMNS = ("relationtype", "deleted", "come back", "by us", "unknown", "left out", "there already")
DOUBTFUL_COLUMNS = ("relationtype", "parentid", "childid", "job", "why nobody knows who removed it")
DOUBTFUL_SHOWN = 20  # in a table
MAY_BE_ON_THEIR_WAY = (
    "they may be on their way yet, so wait until they have ended; each link is looked at before it is made"
)


def print_totals(made: UndoMade) -> None:
    """A table, one line a type."""
    rows = []
    for kind in sorted({each.relationtype for each in made.totals}):
        some = [each for each in made.totals if each.relationtype == kind]
        back = [each for each in some if each.comes_back]
        there = made.head.counts.get(kind, {}).get(Standing.PRESENT, 0) if made.head else 0
        rows.append(
            [
                kind,
                _count(some),
                _count(back) - there,
                _count(each for each in back if each.certain),
                _count(each for each in back if not each.certain),
                _count(some) - _count(back),
                there,
            ]
        )
    print_table(None, COLUMNS, rows)
    if made.doubtful:
        shown = [
            [relation.relationtype, relation.parentid, relation.childid, row.job, row.doubt]
            for relation, row in made.doubtful[:DOUBTFUL_SHOWN]
        ]
        print_table("not known to be ours", DOUBTFUL_COLUMNS, shown)


def _count(totals: Iterable[Total]) -> int:
    return sum(each.count for each in totals)


def lines(made: UndoMade, undoing: Undoing, path: Path) -> Iterator[str]:
    """What an operator should know before the undo is applied."""
    for (kind, why), count in _reasons(made).items():
        yield f"{kind}: {count} {why}"
    ours = _count(each for each in made.totals if each.comes_back and each.certain)
    unended = _count(each for each in made.totals if each.comes_back and not each.known)
    unknown = _count(each for each in made.totals if each.comes_back and not each.certain)
    if unended:
        yield f"{unended} deletions have no known end: {MAY_BE_ON_THEIR_WAY}"
    if unknown:
        yield f"{ours} were removed by us; of {unknown} nobody knows it, and {_listed(unknown)}"
        yield "--only-certain leaves those out; what of them is there already is left alone"
    if undoing.others:
        yield f"not undone, since nothing was removed: {others_of(undoing)}"
    if undoing.restores:
        yield f"{undoing.restores} of what fits are restores; delete their links again with `unlinker bulk plan`"
    yield from made.unread
    if made.head is None:
        yield "nothing comes back, so there is no plan; nothing was touched"
        return
    if made.head.rows == 0:
        yield f"there is nothing to apply: {made.head.left_out} rows are left out, and what could come back is there"
        return
    yield NEVER_BACK
    if PARTICIPANT in made.head.counts:
        yield NEVER_BACK_PARTICIPANT
    yield f"{made.head.rows} links would come back, {made.head.left_out} are left out; nothing was touched"
    yield f"next: unlinker undo apply {path}"


def _listed(unknown: int) -> str:
    shown = min(unknown, DOUBTFUL_SHOWN)
    return (
        "they are listed above" if shown == unknown else f"the first {shown} are listed above, all in the plan's rows"
    )


def others_of(undoing: Undoing) -> str:
    """Chosen deeds that removed nothing, in words."""
    return ", ".join(f"{name} {count}" for name, count in sorted(undoing.others.items()))


def _reasons(made: UndoMade) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for each in made.totals:
        if each.why:
            fate = "left out:" if each.why.leaves_out else "come back, but"
            named = (each.relationtype, f"{fate} {each.why.sentence}")
            found[named] = found.get(named, 0) + each.count
    return found


def document(made: UndoMade, undoing: Undoing, path: Path) -> dict[str, object]:
    """The same for programs; always the same keys, and those of the plan if there is one."""
    head = made.head
    found: dict[str, object] = {
        "plan": None if head is None else str(path),
        "links": [
            {
                "relationtype": each.relationtype,
                "comes_back": each.comes_back,
                "why": each.why,
                "certain": each.certain,
                "known_end": each.known,
                "count": each.count,
            }
            for each in made.totals
        ],
        "by_us": _count(each for each in made.totals if each.comes_back and each.certain),
        "by_unknown": _count(each for each in made.totals if each.comes_back and not each.certain),
        "unknown": [
            {**asdict(relation), "job": row.job, "known_by": row.known_by, "why": row.doubt}
            for relation, row in made.doubtful
        ],
        "removed_nothing": undoing.others,
        "restores": undoing.restores,
        "unread": made.unread,
        "never_back": [NEVER_BACK, NEVER_BACK_PARTICIPANT],
    }
    if head is not None:
        found |= {
            name: getattr(head, name)
            for name in ("id", "account", "source", "because", "made_at", "expires_at", "rows", "left_out", "counts")
        }
        found["sha256"] = head.sha256
    return found
