"""Reading back many links with few ids: which reads to make, and what they showed. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.onoffice.protocol import MAX_IDS_PER_READ, Action, get_ids_from_relation
from worker.unlinking.job import Relation
from worker.unlinking.relation_types import RelationType


@dataclass(frozen=True, slots=True)
class Read:
    """One read of one side of a relation type. Exactly one of the two tuples holds ids."""

    relations: tuple[Relation, ...]  # the links it answers for; all of one type
    parentids: tuple[int, ...] = ()
    childids: tuple[int, ...] = ()

    @property
    def relationtype(self) -> str:
        """Short form of the type that is read."""
        return self.relations[0].relationtype

    @property
    def size(self) -> int:
        """How many ids are queried."""
        return len(self.parentids) + len(self.childids)

    def halves(self) -> list["Read"]:
        """The same question in two reads. Only for reads of two ids or more."""
        return _reads_of_side(self.relations, bool(self.parentids), (self.size + 1) // 2)

    def action(self, identifier: str) -> Action:
        """The API call of this read."""
        return get_ids_from_relation(
            identifier, self.relations[0].urn, parentids=self.parentids, childids=self.childids
        )

    def present(self, related: Mapping[int, frozenset[int]]) -> frozenset[Relation]:
        """Which of the links are there, given what the API returned per queried id."""
        if self.parentids:
            return frozenset(link for link in self.relations if link.childid in related.get(link.parentid, ()))
        return frozenset(link for link in self.relations if link.parentid in related.get(link.childid, ()))


@dataclass(frozen=True, slots=True)
class Lookup:
    """All links of some records, on one side of a relation type. Exactly one of the two tuples holds ids."""

    kind: RelationType
    parentids: tuple[int, ...] = ()
    childids: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many ids are queried."""
        return len(self.parentids) + len(self.childids)

    def halves(self) -> list["Lookup"]:
        """The same question in two. Only for two ids or more."""
        return plan_lookups(self.kind, self.parentids, self.childids, (self.size + 1) // 2)

    def action(self, identifier: str) -> Action:
        """The API call."""
        return get_ids_from_relation(identifier, self.kind.urn, parentids=self.parentids, childids=self.childids)


def plan_lookups(
    kind: RelationType, parentids: Iterable[int] = (), childids: Iterable[int] = (), max_ids: int = MAX_IDS_PER_READ
) -> list[Lookup]:
    """Every id once, `max_ids` a read."""
    parents, children = sorted(set(parentids)), sorted(set(childids))
    return [
        Lookup(kind, parentids=tuple(parents[start : start + max_ids])) for start in range(0, len(parents), max_ids)
    ] + [Lookup(kind, childids=tuple(children[start : start + max_ids])) for start in range(0, len(children), max_ids)]


def plan_reads(
    relations: Iterable[Relation], max_ids: int = MAX_IDS_PER_READ, *, by_parents: bool | None = None
) -> list[Read]:
    """The fewest ids that show all the links: per type the side with fewer distinct ids, `max_ids` a read.

    `by_parents`: from this side, whichever is shorter.
    """
    by_type: dict[str, set[Relation]] = defaultdict(set)
    for relation in relations:
        by_type[relation.relationtype].add(relation)
    reads: list[Read] = []
    for links in by_type.values():
        shorter = len({link.parentid for link in links}) <= len({link.childid for link in links})
        reads += _reads_of_side(links, shorter if by_parents is None else by_parents, max_ids)
    return reads


def _reads_of_side(links: Iterable[Relation], from_parents: bool, max_ids: int) -> list[Read]:
    side: dict[int, list[Relation]] = defaultdict(list)
    for link in sorted(links):
        side[link.parentid if from_parents else link.childid].append(link)
    ids = sorted(side)
    reads = []
    for start in range(0, len(ids), max_ids):
        chunk = tuple(ids[start : start + max_ids])
        answers_for = tuple(link for queried in chunk for link in side[queried])
        reads.append(Read(answers_for, parentids=chunk) if from_parents else Read(answers_for, childids=chunk))
    return reads
