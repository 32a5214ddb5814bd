"""The viewer: looks whether links are there, many at a time, and says for each what was seen or why nothing was."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from worker.onoffice.codes import Verdict, rule_for
from worker.onoffice.errors import OnOfficeError, UnreadableReply
from worker.onoffice.protocol import Action
from worker.onoffice.replies import Answer, Missing, Reply, related_ids
from worker.unlinking.job import Relation
from worker.unlinking.judging import Sight
from worker.unlinking.reading import Read, plan_reads


class Api(Protocol):
    """One account's way to onOffice: waits for the limit, signs, sends."""

    actions_per_request: int

    async def call(self, actions: Sequence[Action]) -> Reply:
        """One request. Raises subclasses of OnOfficeError only."""


class Sightings(Protocol):
    """Of which relation types this account has been seen to see links (API facts 7.4)."""

    async def seen(self, relationtypes: Iterable[str]) -> frozenset[str]:
        """Those of the types that were seen before."""

    async def add(self, relationtypes: Iterable[str]) -> None:
        """Remember a positive read of these types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A link that could not be looked at: the read was answered with an error, or the whole request failed."""

    answer: Answer | Missing | None = None
    error: OnOfficeError | None = None


View = Sight | Unread


class Viewer:
    """Looks at links of one account."""

    def __init__(self, api: Api, sightings: Sightings) -> None:
        self._api = api
        self._sightings = sightings

    async def look(self, relations: Iterable[Relation]) -> dict[Relation, View]:
        """What there is to see of each link. Raises nothing of onOffice's."""
        wanted = set(relations)
        if not wanted:  # most batches: every answer was clear
            return {}
        present: set[Relation] = set()
        absent: set[Relation] = set()
        unread: dict[Relation, View] = {}
        seen_types: set[str] = set()
        for read, found in await self._read_all(plan_reads(wanted)):
            if isinstance(found, Unread):
                unread |= dict.fromkeys(read.relations, found)
                continue
            present |= (there := read.present(found))
            absent |= set(read.relations) - there
            if any(found.values()):
                seen_types.add(read.relationtype)
        return unread | dict.fromkeys(present, Sight.PRESENT) | await self._judge_absence(absent, seen_types)

    async def _judge_absence(self, absent: set[Relation], seen_now: set[str]) -> dict[Relation, View]:
        if seen_now:
            await self._sightings.add(seen_now)
        others = {relation.relationtype for relation in absent} - seen_now
        seen = seen_now | (await self._sightings.seen(others) if others else frozenset())
        return {link: Sight.ABSENT if link.relationtype in seen else Sight.NOT_SEEN for link in absent}

    async def _read_all(self, reads: Sequence[Read]) -> list[tuple[Read, "Found"]]:
        found: list[tuple[Read, Found]] = []
        pending = list(reads)
        while pending:
            batch, pending = pending[: self._api.actions_per_request], pending[self._api.actions_per_request :]
            for read, result in await self._read(batch):
                if _spoilt_by_one(read, result):
                    pending += read.halves()
                else:
                    found.append((read, result))
        return found

    async def _read(self, reads: Sequence[Read]) -> list[tuple[Read, "Found"]]:
        number = count()
        try:
            reply = await self._api.call([read.action(f"read-{next(number)}") for read in reads])
        except OnOfficeError as error:
            return [(read, Unread(error=error)) for read in reads]
        if reply.errorcode != 0 and all(isinstance(answer, Missing) for answer in reply.answers):
            failed = Answer(reply.errorcode, reply.message, (), None)
            return [(read, Unread(answer=failed)) for read in reads]
        return [(read, _understand(answer)) for read, answer in zip(reads, reply.answers, strict=True)]


Found = dict[int, frozenset[int]] | Unread


def _understand(answer: Answer | Missing) -> Found:
    if isinstance(answer, Missing) or answer.errorcode != 0:
        return Unread(answer=answer)
    try:
        return related_ids(answer)
    except UnreadableReply as error:
        return Unread(error=error)


def _spoilt_by_one(read: Read, result: Found) -> bool:
    """Whether one of several ids may be what the API refused, so that halving the read tells the others' story."""
    if isinstance(result, dict) or not isinstance(result.answer, Answer) or read.size == 1:
        return False
    return rule_for(result.answer.errorcode).verdict in (Verdict.UNKNOWN, Verdict.REFUSED)
