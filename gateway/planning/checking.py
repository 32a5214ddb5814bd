"""What is there of the relations that are to be planned: each is looked at, and its standing noted."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.planning.spool import Side, Spool
from worker.engine.reading_desk import ReadingDesk, why_unread
from worker.unlinking.job import Relation
from worker.unlinking.judging import Sight
from worker.unlinking.plan import Seen, Standing
from worker.unlinking.reading import plan_reads
from worker.unlinking.type_rules import TypeRules
from worker.unlinking.viewer import Survey, Unread, View

PORTION = 20_000  # relations looked at together
MOST_EXTENTS = 10_000  # parents whose number of children a plan tells
WORTH_IT = 10  # times fewer reads, before the brakes' base is given up for them

_STANDINGS = {Sight.PRESENT: Standing.PRESENT, Sight.ABSENT: Standing.ABSENT, Sight.NOT_SEEN: Standing.NOT_SEEN}


@dataclass(slots=True)
class Extents:
    """How many links there are below the parents that were read; per parent while they are few."""

    _existing: dict[str, int] = field(default_factory=dict)
    _parents: dict[str, dict[int, int]] | None = field(default_factory=dict)
    _last: tuple[str, int] = ("", 0)  # portions are in order, so only the last parent can come again

    def add(self, survey: Survey) -> None:
        """What one more look showed."""
        for (kind, parentid), count in sorted(survey.extents.items()):
            if (kind, parentid) == self._last:
                continue
            self._last = (kind, parentid)
            self._existing[kind] = self._existing.get(kind, 0) + count
            if self._parents is not None:
                self._parents.setdefault(kind, {})[parentid] = count
        if self._parents is not None and sum(map(len, self._parents.values())) > MOST_EXTENTS:
            self._parents = None

    def seen(self) -> Seen:
        """For the plan."""
        return Seen(self._existing, self._parents)


def looks_from_parents(parents: int, children: int) -> bool:
    """From which side to look: the parents', for the brakes' sake, unless the other takes far fewer reads."""
    return parents <= MOST_EXTENTS or parents <= WORTH_IT * children


def refuse_types(spool: Spool, rules: TypeRules) -> dict[str, str]:
    """Types whose rows are left out, with the reason."""
    refused = {kind: why for kind in spool.names if (why := rules.refusal(kind))}
    for kind in refused:
        spool.stand_all(kind, Standing.REFUSED)
    return refused


@dataclass(slots=True)
class Checker:
    """Looks at all rows of a spool."""

    desk: ReadingDesk
    spool: Spool
    extents: Extents = field(default_factory=Extents)
    unknown: int = 0
    example: str = ""  # one relation whose read failed, and why

    async def run(self, leave_out: frozenset[str], advance: Callable[[int], None]) -> None:
        """`leave_out`: types nobody has to look at. Raises ReadFailed."""
        kinds = [kind for kind in self.spool.names if kind not in leave_out]
        for kind in kinds:
            side = Side(kind, looks_from_parents(*self.spool.sides(kind)))
            for portion in self.spool.portions(side, PORTION):
                survey = await self.desk.survey(plan_reads(portion, by_parents=side.by_parents))
                self.extents.add(survey)
                self.spool.stand([(link, self._standing(link, view)) for link, view in survey.views.items()])
                advance(len(portion))
        for kind in await self.desk.seen(kinds):  # the first portions did not know yet
            self.spool.stand_all(kind, Standing.ABSENT, before=Standing.NOT_SEEN)

    def _standing(self, link: Relation, view: View) -> Standing:
        if not isinstance(view, Unread):
            return _STANDINGS[view]
        self.unknown += 1
        if not self.example:
            self.example = f"{link.relationtype} {link.parentid} -> {link.childid}: {why_unread(view)}"
        return Standing.UNKNOWN
