"""What nights are worked with: stores, accounts, a way to read onOffice, and who is told."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import redis

from config.accounts import Account, load_accounts
from config.notices import load_notices
from config.settings import Settings
from gateway.composition import Doors, connect, desk_options, find_urls, open_doors, type_rules
from gateway.reconciling.notifying import Notice, Notifier
from gateway.reconciling.page import render
from gateway.reconciling.report import Report, text
from gateway.running import Launch, target
from worker.engine.reading_desk import ReadingDesk
from worker.engine.threads import in_thread
from worker.stores.journal import Wanted
from worker.stores.nights import Nights
from worker.unlinking.diffing import Pair
from worker.unlinking.night import Night, concern
from worker.unlinking.outcome import Kind
from worker.unlinking.policies import ReconcilePolicy
from worker.unlinking.type_rules import TypeRules


@dataclass(frozen=True, slots=True, kw_only=True)
class NightParts:
    """All of it."""

    doors: Doors
    queue: "redis.Redis"  # the broker's server
    nights: Nights
    accounts: Mapping[str, Account]
    desk: Callable[[Account], ReadingDesk]
    rules: TypeRules
    target: Callable[[Account], str]  # fingerprint of where an account's plans belong
    environ: Mapping[str, str]
    notifier: Notifier

    @property
    def launch(self) -> Launch:
        """What carries plans out, by the server's clock."""
        return Launch(self.doors.runs, self.doors.audit, self.rules, self.nights.now)

    def unlinked_before(self, policy: ReconcilePolicy, pairs: Sequence[Pair]) -> frozenset[Pair]:
        """Those of the pairs that earlier nights of the policy unlinked. Reads the journal since the first of them."""
        nights = [night for night in self.nights.of_policy(policy.name) if night.run is not None]
        if not nights:
            return frozenset()
        runs = {night.run for night in nights}
        asked, found = set(pairs), set()
        since = min(night.started_at for night in nights)
        wanted = Wanted(since=since, account=policy.account, relationtype=policy.relationtype)
        for deed in self.doors.journal.deeds(wanted):
            relation = deed.intended.relation
            pair = (relation.parentid, relation.childid)
            if pair in asked and deed.intended.run in runs and deed.outcome == Kind.UNLINKED:
                found.add(pair)
        return frozenset(found)

    async def tell(self, night: Night) -> Night:
        """Tell whoever is to be told of what a night has come to; the night says whom it could not tell."""
        title = concern(night)
        if title is None:
            return night
        earlier = await in_thread(lambda: self.nights.of_policy(night.policy))
        report = Report(night, earlier)
        failures = await self.notifier.tell(Notice(title, text(report), render(report), report.document()))
        at = await in_thread(self.nights.now)
        for failure in failures:
            night = night.told(at, f"nobody was told by {failure}")
        return night


def open_night_parts(settings: Settings) -> NightParts:
    """Raises ConfigurationError."""
    urls = find_urls(settings)
    doors = open_doors(settings)
    return NightParts(
        doors=doors,
        queue=doors.client if urls.queue == urls.records else connect(urls.queue),
        nights=Nights(doors.client),
        accounts=load_accounts(settings),
        desk=lambda account: ReadingDesk(desk_options(settings, urls, account)),
        rules=type_rules(settings),
        target=lambda account: target(settings, account),
        environ=os.environ,
        notifier=Notifier(load_notices(settings)),
    )
