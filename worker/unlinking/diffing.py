"""Wanted against found: what a night would unlink, and what holds it. Pure.

Rule 1: nothing that may stay is ever planned.
Rule 2: a link whose record on the other side nobody could see, though that record decides, stays.
Rule 3: what was read must be all that was asked for, and a list that is empty or too short is no list: Unusable.
Rule 4: no link at all, of a type of which this account was never seen to see one, is blindness: Unusable.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from worker.unlinking.brakes import SMALL, Excess
from worker.unlinking.policies import NightBrakes, Side
from worker.unlinking.wording import links

Pair = tuple[int, int]  # parentid, childid
Found = Mapping[int, frozenset[int]]  # record of the scope -> records on the other side that it is linked with


class Unusable(Exception):
    """What was read is no ground to delete anything; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which links may stay. With neither of the first two: none."""

    related: frozenset[int] | None = None  # links to these records on the other side may stay
    pairs: frozenset[Pair] | None = None  # these links may stay
    visible: frozenset[int] | None = None  # records on the other side that the account sees; None: it does not matter

    @property
    def rows(self) -> int | None:
        """How long the list is; None if there is none."""
        listed = self.related if self.related is not None else self.pairs
        return None if listed is None else len(listed)

    def keeps(self, pair: Pair, other: int) -> bool:
        """Whether a link may stay. `other`: its end that is not of the scope."""
        return (self.pairs is not None and pair in self.pairs) or (self.related is not None and other in self.related)

    def is_blind(self, other: int) -> bool:
        """Whether the record that decides cannot be seen."""
        return self.visible is not None and other not in self.visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What came of comparing."""

    unwanted: tuple[Pair, ...]  # to be unlinked, in order
    found: int  # links
    kept: int  # of them may stay
    unseen: int  # stay, since the record that decides cannot be seen
    found_by_parent: Mapping[int, int]

    @property
    def unwanted_by_parent(self) -> Mapping[int, int]:
        """How many would go below each parent."""
        return Counter(parentid for parentid, _ in self.unwanted)


def compare(side: Side, found: Found, wanted: Wanted) -> Diff:
    """Everything found falls into one of three: unwanted, kept, unseen."""
    unwanted: list[Pair] = []
    by_parent: Counter[int] = Counter()
    kept = unseen = 0
    for one, others in found.items():
        for other in others:
            pair = (one, other) if side is Side.PARENTS else (other, one)
            by_parent[pair[0]] += 1
            if wanted.keeps(pair, other):
                kept += 1
            elif wanted.is_blind(other):
                unseen += 1
            else:
                unwanted.append(pair)
    return Diff(
        unwanted=tuple(sorted(unwanted)),
        found=by_parent.total(),
        kept=kept,
        unseen=unseen,
        found_by_parent=by_parent,
    )


def check_lists(scope: frozenset[int], wanted: Wanted, brakes: NightBrakes) -> None:
    """Raises Unusable for an empty scope, and for a list of what may stay that is empty or too short."""
    if not scope and not brakes.allow_empty:
        raise Unusable("the scope is empty; if it may be, set brakes.allow_empty = true")
    rows = wanted.rows
    if rows is None:
        return
    if rows == 0 and not brakes.allow_empty:
        raise Unusable("the list of what may stay is empty; if it may be, set brakes.allow_empty = true")
    if rows < brakes.expect_at_least:
        raise Unusable(f"what may stay has {rows} rows, fewer than expect_at_least = {brakes.expect_at_least}")


def check_found(asked: frozenset[int], found: Found, *, type_was_seen: bool) -> None:
    """Raises Unusable when not every record of the scope was answered for, and when nothing at all is to be seen."""
    missing, strange = asked - found.keys(), found.keys() - asked
    if missing or strange:
        raise Unusable(f"of {len(asked)} records {len(missing)} were not answered for, and {len(strange)} unasked")
    if asked and not any(found.values()) and not type_was_seen:
        raise Unusable(
            "not one link is to be seen, and this account has never been seen to see one of this type: it may lack the "
            "right to read them. Check the API user's rights; without them nobody can say that nothing is to be done"
        )


def holds(planned: Iterable[Pair], diff: Diff, brakes: NightBrakes) -> list[Excess]:
    """Every brake that a plan is over, each with what would allow it; [] for a plan that may go by itself."""
    by_parent = Counter(parentid for parentid, _ in planned)
    count = by_parent.total()
    found = []
    if count > brakes.max_deletions:
        why = f"{links(count)} would go, more than max_deletions = {brakes.max_deletions:,}"
        found.append(Excess("--max-deletions", str(count), why))
    if diff.found >= SMALL and count / diff.found > brakes.max_share:
        why = f"{count:,} of the {links(diff.found)} found would go, more than max_share = {brakes.max_share:g}"
        found.append(Excess("--max-share", _share(count, diff.found), why))
    if over := _worst_parent(by_parent, diff, brakes.max_share_per_parent):
        parentid, gone, had = over
        bound = f"max_share_per_parent = {brakes.max_share_per_parent:g}"
        why = f"{gone:,} of the {links(had)} below {parentid} would go, more than {bound}"
        found.append(Excess("--max-share-per-parent", _share(gone, had), why))
    return found


def _worst_parent(going: Mapping[int, int], diff: Diff, most: float) -> tuple[int, int, int] | None:
    """Parent, links that would go, links it has: of the parent that is furthest over `most`."""
    shares = [
        (gone / had, parentid, gone, had)
        for parentid, gone in going.items()
        if (had := diff.found_by_parent[parentid]) >= SMALL and gone / had > most
    ]
    return max(shares)[1:] if shares else None


def _share(part: int, whole: int) -> str:
    """The least share, to three places, that allows it."""
    return f"{min(1.0, ceil(1000 * part / whole) / 1000):g}"
