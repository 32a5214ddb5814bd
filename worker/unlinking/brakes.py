"""What a plan may not do without being told so: the bounds of its size, before anything is sent. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from worker.unlinking.plan import Action, PlanHead, PlanRow, is_sent

SMALL = 20  # links; of a parent that has fewer, any share may go: half of three is no catastrophe


@dataclass(frozen=True, slots=True, kw_only=True)
class Brakes:
    """The bounds of one run."""

    most: int = 500  # rows; Entra Connect stops at as many by default
    max_share: float = 0.5  # of the links that exist, per relation type and parent
    canary: int = 10  # rows that must go well before the rest is touched; 0: none
    max_failure_rate: float = 0.1  # of the canary, and of the last 200 rows; above it the run stops


@dataclass(frozen=True, slots=True)
class Excess:
    """A bound that a plan is over."""

    option: str  # that would allow it
    value: str  # the least that would
    why: str


Going = Mapping[str, Mapping[int, int]]  # relation type -> parentid -> links that would go


def count_going(head: PlanHead, rows: Iterable[PlanRow]) -> Going:
    """How many would go below each parent of which the plan tells how many links it has. Uses up all `rows`."""
    found: dict[str, Counter[int]] = {kind: Counter() for kind in head.extents or {}}
    for row in rows:
        kind, parentid = row.relation.relationtype, row.relation.parentid
        if kind in found and parentid in (head.extents or {})[kind] and is_sent(head.action, row.standing):
            found[kind][parentid] += 1
    return found


def excesses(head: PlanHead, going: Going, brakes: Brakes) -> list[Excess]:
    """Every bound that the plan is over; [] for a plan that may go."""
    found = []
    if head.rows > brakes.most:
        option = "--max-deletions" if head.action is Action.UNLINK else "--max-restores"
        found.append(Excess(option, str(head.rows), f"{head.rows} links are more than {brakes.most}"))
    if head.action is Action.UNLINK:
        shares = [excess for excess in _shares(head, going) if excess[0] > brakes.max_share]
        if shares:
            share, why = max(shares)
            value = f"{min(1.0, _rounded_up(share)):g}"
            found.append(Excess("--max-share", value, f"{why}, more than {brakes.max_share:.0%}"))
    return found


def _shares(head: PlanHead, going: Going) -> Iterator[tuple[float, str]]:
    """Per type, and per parent where the plan tells: the share of what was seen there that would go."""
    for kind, of_type in head.counts.items():
        sent = sum(count for standing, count in of_type.items() if is_sent(head.action, standing))
        existing = (head.existing or {}).get(kind, 0)
        if existing >= SMALL:
            yield sent / existing, f"{sent} of the {existing} links of {kind} that were seen would go"
    for kind, parents in going.items():
        for parentid, sent in parents.items():
            existing = (head.extents or {})[kind][parentid]
            if existing >= SMALL:
                yield sent / existing, f"{sent} of the {existing} links of {kind} below {parentid} would go"


def _rounded_up(share: float) -> float:
    return -(-share * 1000 // 1) / 1000
