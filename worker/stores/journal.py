"""The journal: what was deleted or restored, from the intent on, in the order in which it happened.

For processes without a loop; the scripts that store intents and ends write it. Raises redis.exceptions.RedisError.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import redis

from worker.stores import keys
from worker.stores.journal_format import Ended, Event, Intended, Kept, read
from worker.stores.scripts import Call, run_now
from worker.unlinking.job import Relation

AT_ONCE = 500  # entries read in one round trip


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One relation that was sent to be deleted, or restored, and what is known of its end."""

    intended: Intended  # the first time
    ended: Ended | None = None  # None: nobody knows yet; its worker may have died, or it is on its way
    confirmation: str | None = None  # what was saved before

    @property
    def outcome(self) -> str | None:
        """As the job's."""
        return self.ended.outcome if self.ended else None

    def document(self) -> dict[str, object]:
        """As users see it; always the same keys. Times are Unix seconds."""
        intended, ended = self.intended, self.ended
        return {
            "job": intended.id,
            "account": intended.account,
            "relationtype": intended.relation.relationtype,
            "parentid": intended.relation.parentid,
            "childid": intended.relation.childid,
            "action": "restore" if intended.restore else "unlink",
            "sent_at": intended.at,
            "ended_at": ended and ended.at,
            "outcome": ended and ended.outcome,
            "evidence": ended and ended.evidence,
            "proven": ended.proven if ended else None,
            "confirmation": self.confirmation,
            "requested_by": intended.requested_by,
            "reason": intended.reason,
            "run": intended.run,
            "row": intended.row,
            "by": ended and ended.by,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which deeds; what is None does not matter."""

    since: float | None = None  # Unix seconds: sent then or later
    before: float | None = None  # Unix seconds: sent earlier
    job: str | None = None  # of a chunk: all its rows
    run: str | None = None
    account: str | None = None
    relationtype: str | None = None  # short form
    parentid: int | None = None
    childid: int | None = None

    def document(self) -> dict[str, object]:
        """What is set."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}

    def fits(self, intended: Intended) -> bool:
        """Whether an intent is meant; the times are looked at elsewhere."""
        relation = intended.relation
        return (
            self.job in (None, intended.id, intended.chunk)
            and self.run in (None, intended.run)
            and self.account in (None, intended.account)
            and self.relationtype in (None, relation.relationtype)
            and self.parentid in (None, relation.parentid)
            and self.childid in (None, relation.childid)
        )


class Journal:
    """Reads the journal, and cuts its old end off."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def deeds(self, wanted: Wanted) -> Iterator[Deed]:
        """What was sent in that time and fits, each with its end; those without a known end come last."""
        open_deeds: dict[str, Deed] = {}
        for event in self.events(wanted.since):
            if wanted.before is not None and event.at >= wanted.before and not open_deeds:
                return  # no later event can tell anything of these
            match event:
                case Intended() if event.id in open_deeds or not wanted.fits(event):
                    continue
                case Intended() if wanted.before is None or event.at < wanted.before:
                    open_deeds[event.id] = Deed(intended=event)
                case Kept() if event.id in open_deeds:
                    open_deeds[event.id] = replace(open_deeds[event.id], confirmation=event.confirmation)
                case Ended() if event.id in open_deeds:
                    yield replace(open_deeds.pop(event.id), ended=event)
        yield from open_deeds.values()

    def events(self, since: float | None = None) -> Iterator[Event]:
        """Everything since a moment (Unix seconds), oldest first."""
        for entry_id, fields in self._entries("-" if since is None else str(int(since * 1000)), "+"):
            yield from read(entry_id, fields)

    def _entries(self, start: str, end: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        while True:
            found: Any = self._client.xrange(keys.JOURNAL, start, end, count=AT_ONCE)
            yield from found
            if len(found) < AT_ONCE:
                return
            start = f"({found[-1][0].decode()}"

    def begin(self) -> float | None:
        """When its oldest entry was written, Unix seconds; None when it is empty."""
        found: Any = self._client.xrange(keys.JOURNAL, count=1)
        return int(found[0][0].split(b"-")[0]) / 1000 if found else None

    def forget(self, moment: float) -> int:
        """Cut off what is older than a moment (Unix seconds); how many entries that were. They are counted."""
        call = Call("forget", [keys.JOURNAL, keys.COUNTERS], [int(moment * 1000)])
        return int(run_now(self._client, call))

    def newest(self, relations: set[tuple[str, Relation]]) -> dict[tuple[str, Relation], Deed]:
        """The last deed at each of these relations (account, relation), whoever asked for it."""
        found: dict[tuple[str, Relation], Deed] = {}
        for deed in self.deeds(Wanted()):
            named = (deed.intended.account, deed.intended.relation)
            if named in relations and (named not in found or found[named].intended.at <= deed.intended.at):
                found[named] = deed
        return found
