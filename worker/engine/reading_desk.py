"""The reading desk: what an account has in onOffice, for commands and nightly work outside the workers.

It asks the same limiter and heeds the same halts as the workers do, and uses at most half of the requests in flight.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from redis.exceptions import RedisError

from worker.engine.connections import connect
from worker.engine.gate import Gate
from worker.engine.polite_api import PoliteApi, ReadFailed
from worker.engine.runtime import AccountAccess
from worker.onoffice.client import Client
from worker.onoffice.clock import SigningClock
from worker.onoffice.errors import OnOfficeError
from worker.onoffice.pages import Condition, Pages, Query, Record
from worker.onoffice.protocol import harmless_read
from worker.onoffice.replies import Answer, Reply
from worker.onoffice.transport import Timeouts, Transport
from worker.stores.limiter import Limiter, Limits
from worker.stores.sightings import StoredSightings
from worker.unlinking.job import Relation
from worker.unlinking.reading import Lookup, Read, plan_lookups
from worker.unlinking.relation_types import RelationType, parse_relationtype
from worker.unlinking.viewer import Survey, Unread, View, Viewer, read_all

Related = dict[int, frozenset[int]]  # record id -> ids of the records it is linked with


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskOptions:
    """Everything a desk is made from: plain values."""

    account: str
    access: AccountAccess
    onoffice_url: str
    records_url: str
    request_timeout: float  # seconds
    lease: float  # seconds; of a place in flight, should this process die
    patience: float = 120.0  # seconds of silence until a read is given up


class RelatedUnread(ReadFailed):
    """Some records could not be looked at. `unread` says why, per record id; `related` is what the others have."""

    def __init__(self, message: str, unread: dict[int, str], related: Related) -> None:
        self.unread = unread
        self.related = related
        super().__init__(message)


class ReadingDesk:
    """`async with ReadingDesk(options) as desk`. Opening raises redis.exceptions.RedisError."""

    def __init__(self, options: DeskOptions) -> None:
        self._options = options
        self.headers: Mapping[str, str] = {}  # of the last answer, whatever it was; names in lower case

    async def __aenter__(self) -> "ReadingDesk":
        options, access = self._options, self._options.access
        self._store = connect(options.records_url)
        try:
            await self._store.ping()
        except RedisError:
            await self._store.aclose()
            raise
        at_once = max(1, access.max_in_flight // 2)
        self._transport = Transport(options.onoffice_url, Timeouts(total=options.request_timeout), connections=at_once)
        await self._transport.open()
        limits = Limits(access.requests_per_second, access.max_in_flight, options.lease)
        self._gate = Gate(Limiter(self._store, options.account, limits), limits.lateness)
        self._renewing = asyncio.create_task(self._gate.keep_renewing(options.lease / 3))
        clock = SigningClock(time.time)
        self._client = Client(self._transport, access.credentials, clock, self._note_headers)
        self._api = PoliteApi(self._client, self._gate, access.actions_per_request, at_once, options.patience)
        self._sightings = StoredSightings(self._store, options.account)
        self._viewer = Viewer(self._api, self._sightings)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._renewing.cancel()
        await self._transport.close()
        await self._gate.flush()
        await self._store.aclose()

    def _note_headers(self, headers: Mapping[str, str]) -> None:
        self.headers = headers

    async def probe(self, patience: float) -> Reply:
        """A harmless read, once, of an account that may be halted. `headers` are those of its answer.

        Raises OnOfficeError, NoPlace (one of them) after `patience` seconds, and redis.exceptions.RedisError.
        """
        action = harmless_read(secrets.token_hex(8))
        return await self._client.call_once([action], lambda: self._gate.probing(patience))

    async def look(self, relations: Iterable[Relation]) -> dict[Relation, View]:
        """What there is to see of each link; Unread for one whose read failed although the API works.

        Raises ReadFailed.
        """
        return await self._viewer.look(relations)

    async def survey(self, reads: Sequence[Read]) -> Survey:
        """As `look`, and how many children the parents have that were read. Raises ReadFailed."""
        return await self._viewer.survey(reads)

    async def seen(self, relationtypes: Iterable[str]) -> frozenset[str]:
        """Of which types this account has been seen to see links, so that their absence is proven (API facts 7.4)."""
        return await self._sightings.seen(relationtypes)

    async def children(self, relationtype: str, parentids: Iterable[int]) -> Related:
        """Every parent's children. Raises RelatedUnread when any could not be read, ReadFailed when nothing can."""
        kind = parse_relationtype(relationtype)
        return await self._related(kind, plan_lookups(kind, parentids=parentids))

    async def parents(self, relationtype: str, childids: Iterable[int]) -> Related:
        """Every child's parents. Raises as `children`."""
        kind = parse_relationtype(relationtype)
        return await self._related(kind, plan_lookups(kind, childids=childids))

    async def _related(self, kind: RelationType, lookups: Sequence[Lookup]) -> Related:
        related: Related = {}
        unread: dict[int, str] = {}
        for lookup, found in await read_all(self._api, lookups):
            ids = lookup.parentids or lookup.childids
            if isinstance(found, Unread):
                unread |= dict.fromkeys(ids, why_unread(found))
            else:
                related |= {each: found.get(each, frozenset()) for each in ids}
        if any(related.values()):
            await self._sightings.add([kind.short])
        if unread:
            some = min(unread)
            text = f"{len(unread)} of {len(unread) + len(related)} records could not be read, {some} for one"
            raise RelatedUnread(f"{kind.short}: {text}: {unread[some]}", unread, related)
        return related

    async def records(
        self, resource: str, conditions: Sequence[Condition] = (), fields: Sequence[str] = ()
    ) -> AsyncIterator[list[Record]]:
        """All records of a resource (`estate`, `address`) that fit, in pages of up to 500.

        Raises ReadFailed for a failed read, and when the pages are not all there is: then forget those that came.
        """
        query, pages = Query(resource, conditions, fields), Pages()
        while not pages.complete:
            yield await self._page(query, pages)

    async def _page(self, query: Query, pages: Pages) -> list[Record]:
        try:
            answer = (await self._api.call([query.action("page", pages.offset)])).answers[0]
            if isinstance(answer, Answer) and answer.errorcode == 0:
                return pages.take(answer)
        except OnOfficeError as error:
            raise ReadFailed(f"the {query.resource} records could not be read: {error}") from None
        code = answer.errorcode if isinstance(answer, Answer) else None
        raise ReadFailed(f"the {query.resource} records could not be read: {why_unread(Unread(answer=answer))}", code)


def why_unread(unread: Unread) -> str:
    """In words."""
    if isinstance(unread.answer, Answer):
        return f"error {unread.answer.errorcode}: {unread.answer.message}"
    return str(unread.error or (unread.answer.why if unread.answer else "no answer"))
