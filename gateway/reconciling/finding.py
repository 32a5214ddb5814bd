"""What a policy would unlink just now: its lists are read, then the links, then both are compared. Touches nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.reconciling.sources import Sources
from worker.engine.reading_desk import ReadingDesk
from worker.engine.threads import in_thread
from worker.unlinking.diffing import Diff, Pair, Unusable, Wanted, check_found, check_lists, compare
from worker.unlinking.job import Relation
from worker.unlinking.plan import Seen
from worker.unlinking.policies import OnResurrected, ReconcilePolicy, RecordsSource, Side

MOST_PARENTS = 10_000  # whose links a plan counts one by one
Unlinked = Callable[[ReconcilePolicy, Sequence[Pair]], frozenset[Pair]]  # those that the policy unlinked before


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What came of it."""

    policy: ReconcilePolicy
    scope: int  # records looked at
    wanted: int | None  # rows of the list of what may stay
    diff: Diff
    planned: tuple[Pair, ...]
    resurrected: tuple[Pair, ...]  # an earlier night unlinked them, and they are there again

    def counts(self) -> dict[str, int]:
        """For the night's record."""
        found = {
            "scope": self.scope,
            "found": self.diff.found,
            "kept": self.diff.kept,
            "unseen": self.diff.unseen,
            "planned": len(self.planned),
            "resurrected": len(self.resurrected),
        }
        return found if self.wanted is None else {**found, "wanted": self.wanted}

    def relations(self, pairs: Sequence[Pair]) -> list[Relation]:
        """Pairs as relations."""
        return [Relation(self.policy.relationtype, *pair) for pair in pairs]

    @property
    def seen(self) -> Seen:
        """For the plan, whose brakes by share measure against it."""
        kind, by_parent = self.policy.relationtype, self.diff.found_by_parent
        whole = self.policy.scope.side is Side.PARENTS and len(by_parent) <= MOST_PARENTS
        return Seen({kind: self.diff.found}, {kind: dict(by_parent)} if whole else None)


async def find(policy: ReconcilePolicy, sources: Sources, desk: ReadingDesk, unlinked: Unlinked) -> Findings:
    """Raises SourceFailed, Unusable and ReadFailed: then nothing may be deleted."""
    scope = frozenset(row[0] for row in await sources.read("scope", policy.scope.source, 1))
    wanted = await _read_wanted(policy, sources)
    check_lists(scope, wanted, policy.brakes)
    read = desk.children if policy.scope.side is Side.PARENTS else desk.parents
    found = await read(policy.relationtype, sorted(scope)) if scope else {}
    check_found(scope, found, type_was_seen=bool(await desk.seen([policy.relationtype])))
    diff = compare(policy.scope.side, found, wanted)
    again = await in_thread(lambda: unlinked(policy, diff.unwanted)) if diff.unwanted else frozenset()
    left = again if policy.on_resurrected is OnResurrected.REPORT else frozenset()
    return Findings(
        policy=policy,
        scope=len(scope),
        wanted=wanted.rows,
        diff=diff,
        planned=tuple(pair for pair in diff.unwanted if pair not in left),
        resurrected=tuple(sorted(again)),
    )


async def _read_wanted(policy: ReconcilePolicy, sources: Sources) -> Wanted:
    keep = policy.keep
    if keep.source is None:
        return Wanted()
    rows = await sources.read("keep", keep.source, 2 if keep.pairs else 1)
    if keep.pairs:
        return Wanted(pairs=frozenset((row[0], row[1]) for row in rows))
    related = frozenset(row[0] for row in rows)
    if not isinstance(keep.source, RecordsSource):
        return Wanted(related=related)
    # a record that the account may not see fits no filter: only what is known to be there can be known not to fit
    visible = await sources.everything("keep", keep.source)
    if not related <= visible:
        raise Unusable("keep: records came and went while they were read")
    return Wanted(related=related, visible=visible)
