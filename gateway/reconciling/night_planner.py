"""Working a night out: what is to go, and whether it goes by itself, waits for somebody, or is nothing at all."""

from dataclasses import replace

from gateway.reconciling.finding import Findings, find
from gateway.reconciling.ledger import Ledger
from gateway.reconciling.night_plan import Origin, written
from gateway.reconciling.night_run import begin_run, close
from gateway.reconciling.parts import NightParts
from gateway.reconciling.source_errors import SourceFailed
from gateway.reconciling.sources import Sources
from worker.engine.polite_api import ReadFailed
from worker.engine.threads import in_thread
from worker.stores.nights import KeptPlan
from worker.unlinking.brakes import Excess
from worker.unlinking.diffing import Unusable, holds
from worker.unlinking.night import Night, NightStatus, kept_relations
from worker.unlinking.plan import LIFE
from worker.unlinking.policies import Mode, OnResurrected, ReconcilePolicy
from worker.unlinking.wording import links

MOST_ATTEMPTS = 3  # whoever made the ones before died
NO_GROUND = (SourceFailed, Unusable, ReadFailed)  # to delete anything


class Planner:
    """Works nights out. Raises redis.exceptions.RedisError and NightLost: then the next look goes on."""

    def __init__(self, parts: NightParts) -> None:
        self._parts = parts

    async def find(self, policy: ReconcilePolicy) -> Findings:
        """What the policy would unlink just now. Raises one of NO_GROUND."""
        account = self._parts.accounts.get(policy.account)
        if account is None:
            raise Unusable(f"account {policy.account!r} is not set here")
        if (refusal := self._parts.rules.refusal(policy.relationtype)) is not None:
            raise Unusable(f"links of {policy.relationtype} are {refusal}")
        async with self._parts.desk(account) as desk:
            sources = Sources(self._parts.environ, desk)
            return await find(policy, sources, desk, self._parts.unlinked_before)

    async def plan(self, ledger: Ledger, policy: ReconcilePolicy, night: Night) -> Night:
        """The night once it is planned: done, aborted, waiting or running; or still planning, when it has to wait."""
        holder = await in_thread(lambda: self._parts.doors.runs.holder(policy.account))
        if holder is not None:
            return await self._wait_for_account(ledger, policy, night, holder)
        if night.attempts >= MOST_ATTEMPTS:
            return await self._abort(ledger, night, f"{night.attempts} attempts to work it out ended with their worker")
        night = await ledger.save(replace(night, attempts=night.attempts + 1, meaning=policy.meaning))
        try:
            findings = await self.find(policy)
        except NO_GROUND as error:
            return await self._abort(ledger, night, str(error))
        night = _with_findings(night, findings, await ledger.now())
        if not findings.planned:
            ended = night.ended(await ledger.now(), NightStatus.DONE, "nothing to unlink")
            return await close(self._parts, ledger, ended)
        over = holds(findings.planned, findings.diff, policy.brakes)
        origin = await self._origin(ledger, policy, night)
        if over or policy.mode is Mode.PLAN:
            return await self._let_wait(ledger, origin, findings, over)
        return await begin_run(self._parts, ledger, origin, findings, findings.planned)

    async def _origin(self, ledger: Ledger, policy: ReconcilePolicy, night: Night) -> Origin:
        return Origin(
            night=night,
            policy=policy,
            made_at=await ledger.now(),
            made_by=f"policy {policy.name}",
            target=self._parts.target(self._parts.accounts[policy.account]),
            run=ledger.run_id(night),
        )

    async def _abort(self, ledger: Ledger, night: Night, why: str) -> Night:
        return await close(self._parts, ledger, night.ended(await ledger.now(), NightStatus.ABORTED, why))

    async def _wait_for_account(self, ledger: Ledger, policy: ReconcilePolicy, night: Night, holder: str) -> Night:
        """One run an account at a time; the next looks try again, as long as the slot may be caught up."""
        now = await ledger.now()
        if now > max(night.slot, night.started_at) + policy.timing.catch_up:
            return await self._abort(ledger, night, f"run {holder} had the account until it was too late")
        why = f"run {holder} has the account"
        return night if night.why == why else await ledger.save(night.told(now, f"waits: {why}", why=why))

    async def _let_wait(self, ledger: Ledger, origin: Origin, findings: Findings, over: list[Excess]) -> Night:
        """Keep the plan, and say what it waits for."""
        night = origin.night
        with written(origin, findings, findings.planned) as (path, _):
            plan = KeptPlan(path.read_bytes(), LIFE)
        why = "; ".join(each.why for each in over) or "mode = plan"
        night = night.told(
            origin.made_at,
            f"{links(len(findings.planned))} to be approved of: {why}",
            status=NightStatus.WAITING,
            why=why,
            expires_at=origin.made_at + LIFE,
            over=tuple({"option": each.option, "value": each.value, "why": each.why} for each in over),
        )
        return await ledger.save(await self._parts.tell(night), plan)


def _with_findings(night: Night, findings: Findings, at: float) -> Night:
    """With what was found, in counts and in words."""
    diff = findings.diff
    text = f"read {findings.scope:,} records of the scope and found {links(diff.found)}; {diff.kept:,} may stay"
    if findings.wanted is not None:
        text += f" by a list of {findings.wanted:,} rows"
    if diff.unseen:
        text += f", {diff.unseen:,} stay because the record that decides cannot be seen"
    relations = findings.relations(findings.resurrected)
    night = night.told(at, text, why="", counts=findings.counts(), resurrected=kept_relations(relations))
    if not relations:
        return night
    left = findings.policy.on_resurrected is OnResurrected.REPORT
    what = "left, as on_resurrected = report" if left else "unlinked anew, as on_resurrected = unlink"
    return night.told(at, f"{links(len(relations))} there again that an earlier night unlinked: {what}")
