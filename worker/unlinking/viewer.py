"""The viewer: looks whether links are there, many at a time, and says for each what was seen or why nothing was."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    whole: bool = False  # the request failed, not this read in it


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
        found = await ask(self._api, [read.action(f"read-{number}") for number, read in enumerate(reads)])
        return [(read, _understand(answer)) for read, answer in zip(reads, found, strict=True)]


async def ask(api: Api, reads: Sequence[Action]) -> list[Answer | Unread]:
    """One request that changes nothing; what each of its actions came to. Raises nothing of onOffice's."""
    try:
        reply = await api.call(reads)
    except OnOfficeError as error:
        return [Unread(error=error, whole=True)] * len(reads)
    if reply.errorcode != 0 and all(isinstance(answer, Missing) for answer in reply.answers):
        return [Unread(answer=Answer(reply.errorcode, reply.message, (), None), whole=True)] * len(reads)
    return [
        answer if isinstance(answer, Answer) and answer.errorcode == 0 else Unread(answer=answer)
        for answer in reply.answers
    ]


Found = dict[int, frozenset[int]] | Unread


def _understand(answer: Answer | Unread) -> Found:
    if isinstance(answer, Unread):
        return answer
    try:
        return related_ids(answer)
    except UnreadableReply as error:
        return Unread(error=error)


def _spoilt_by_one(read: Read, result: Found) -> bool:
    """Whether one of several ids may be what the API refused, so that halving the read tells the others' story."""
    return isinstance(result, Unread) and read.size > 1 and is_refused(result)


def is_refused(unread: Unread) -> bool:
    """Whether the API answered, and its answer may be about what was asked for rather than about the moment."""
    answer = unread.answer
    return isinstance(answer, Answer) and rule_for(answer.errorcode).verdict in (Verdict.UNKNOWN, Verdict.REFUSED)
