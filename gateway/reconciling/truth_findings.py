"""What a truth pass has found so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from worker.stores.journal import Deed
from worker.stores.letter import Letter
from worker.unlinking.job import Relation
from worker.unlinking.truth import Found, closes_letter, judge_deletion
from worker.unlinking.viewer import View

Views = Mapping[Relation, View]


@dataclass(slots=True)
class Deletions:
    """Of deletions."""

    looked: int = 0
    gone: int = 0
    verified: int = 0
    unread: int = 0
    there: set[Relation] = field(default_factory=set)

    def take(self, deeds: Sequence[Deed], views: Views) -> None:
        """Some more."""
        for deed in deeds:
            relation = deed.intended.relation
            found = judge_deletion(views[relation], proven=deed.ended is None or deed.ended.proven)
            self.looked += 1
            self.gone += found in (Found.STILL_GONE, Found.VERIFIED)
            self.verified += found is Found.VERIFIED
            self.unread += found is Found.UNREAD
            if found is Found.THERE:
                self.there.add(relation)


@dataclass(slots=True)
class Letters:
    """Of dead letters."""

    looked: int = 0
    closed: int = 0

    def take(self, letters: Sequence[Letter], views: Views) -> dict[str, str]:
        """Some more; those to be closed, and as what."""
        self.looked += len(letters)
        ends = {letter.id: closes_letter(views[letter.relation], restore=letter.restore) for letter in letters}
        return {job_id: str(how) for job_id, how in ends.items() if how is not None}
