"""The viewer: looks whether links are there, many at a time, and says for each what was seen or why nothing was."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from worker.onoffice.codes import Verdict, rule_for
from worker.onoffice.errors import OnOfficeError, ReplyTooLarge, UnreadableReply
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


@dataclass(frozen=True, slots=True)
class Survey:
    """What reads of many links showed."""

    views: Mapping[Relation, View]
    extents: Mapping[tuple[str, int], int]  # (short type, parentid) -> how many children it has; of parents read


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
        return dict((await self.survey(plan_reads(wanted))).views)

    async def survey(self, reads: Sequence[Read]) -> Survey:
        """What there is to see of each link, and how many others beside it. Raises nothing of onOffice's."""
        present: set[Relation] = set()
        absent: set[Relation] = set()
        unread: dict[Relation, View] = {}
        seen_types: set[str] = set()
        extents: dict[tuple[str, int], int] = {}
        for read, found in await read_all(self._api, reads):
            if isinstance(found, Unread):
                unread |= dict.fromkeys(read.relations, found)
                continue
            present |= (there := read.present(found))
            absent |= set(read.relations) - there
            extents |= {(read.relationtype, parent): len(found.get(parent, ())) for parent in read.parentids}
            if any(found.values()):
                seen_types.add(read.relationtype)
        views = unread | dict.fromkeys(present, Sight.PRESENT) | await self._judge_absence(absent, seen_types)
        return Survey(views, extents)

    async def _judge_absence(self, absent: set[Relation], seen_now: set[str]) -> dict[Relation, View]:
        if seen_now:
            await self._sightings.add(seen_now)
        others = {relation.relationtype for relation in absent} - seen_now
        seen = seen_now | (await self._sightings.seen(others) if others else frozenset())
        return {link: Sight.ABSENT if link.relationtype in seen else Sight.NOT_SEEN for link in absent}


Found = dict[int, frozenset[int]] | Unread


class Question(Protocol):
    """A read of several ids."""

    @property
    def size(self) -> int:
        """How many ids."""

    def halves(self) -> Sequence[Self]:
        """The same in two."""

    def action(self, identifier: str) -> Action:
        """The API call."""


Asked = TypeVar("Asked", bound=Question)
Result = TypeVar("Result")


async def read_all(api: Api, questions: Sequence[Asked]) -> list[tuple[Asked, Found]]:
    """The answers; a question may have been split. Requests go out at once, as fast as `api` lets them."""
    found: list[tuple[Asked, Found]] = []
    pending = list(questions)
    while pending:
        size = api.actions_per_request
        batches = [pending[start : start + size] for start in range(0, len(pending), size)]
        pending = []
        for pairs in await _together([_read(api, batch) for batch in batches]):
            for question, result in pairs:
                if _spoilt_by_one(question, result):
                    pending += question.halves()
                else:
                    found.append((question, result))
    return found


async def _together(
    reads: Sequence[Coroutine[None, None, list[tuple[Asked, Found]]]],
) -> list[list[tuple[Asked, Found]]]:
    """All at once; when one raises, the others end before it is told."""
    tasks = [asyncio.ensure_future(read) for read in reads]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(api: Api, questions: Sequence[Asked]) -> list[tuple[Asked, Found]]:
    answers = await ask(api, [question.action(f"read-{number}") for number, question in enumerate(questions)])
    return [(question, _understand(answer)) for question, answer in zip(questions, answers, strict=True)]


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


def _understand(answer: Answer | Unread) -> Found:
    if isinstance(answer, Unread):
        return answer
    try:
        return related_ids(answer)
    except UnreadableReply as error:
        return Unread(error=error)


def _spoilt_by_one(question: Question, result: Found) -> bool:
    """Whether one of several ids may be to blame, so that halving the read tells the others' story."""
    if isinstance(result, dict) or question.size == 1:
        return False
    return isinstance(result.error, ReplyTooLarge) or is_refused(result)


def is_refused(unread: Unread) -> bool:
    """Whether the API answered, and its answer may be about what was asked for rather than about the moment."""
    answer = unread.answer
    return isinstance(answer, Answer) and rule_for(answer.errorcode).verdict in (Verdict.UNKNOWN, Verdict.REFUSED)
