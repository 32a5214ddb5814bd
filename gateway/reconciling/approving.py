"""Approving of a plan that waits: everything is read again, and only what is still to go, of what was planned, goes."""

from dataclasses import dataclass, replace

from gateway.exits import CommandError, Exit
from gateway.reconciling.ledger import Ledger, ledger_of
from gateway.reconciling.night_plan import Origin, planned_pairs
from gateway.reconciling.night_planner import NO_GROUND, Planner
from gateway.reconciling.night_run import begin_run, close
from gateway.reconciling.parts import NightParts
from gateway.reconciling.report import moment
from worker.engine.threads import in_thread
from worker.stores.audit import Act
from worker.unlinking.diffing import Pair, holds
from worker.unlinking.night import Night, NightStatus
from worker.unlinking.plan import PlanRefused
from worker.unlinking.policies import NightBrakes, ReconcilePolicy
from worker.unlinking.wording import links


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What somebody allows."""

    by: str
    because: str
    max_deletions: int | None = None  # None: as the policy says
    max_share: float | None = None
    max_share_per_parent: float | None = None

    def bounds(self) -> dict[str, object]:
        """Those that are said."""
        said = {name: getattr(self, name) for name in ("max_deletions", "max_share", "max_share_per_parent")}
        return {name: value for name, value in said.items() if value is not None}

    def released(self, brakes: NightBrakes) -> NightBrakes:
        """A policy's brakes with what is said in their place."""
        return replace(
            brakes,
            max_deletions=self.max_deletions or brakes.max_deletions,
            max_share=self.max_share or brakes.max_share,
            max_share_per_parent=self.max_share_per_parent or brakes.max_share_per_parent,
        )


async def approve(parts: NightParts, policy: ReconcilePolicy, night_id: str, approval: Approval) -> Night:
    """The night with its run on the way, or done if nothing is left. Raises CommandError: then nothing was sent."""
    async with ledger_of(parts.nights, policy.name) as ledger:
        if ledger is None:
            raise CommandError(Exit.BRAKE, f"somebody works on a night of {policy.name} just now; try again")
        night = await in_thread(lambda: parts.nights.get(night_id))
        plan = await in_thread(lambda: parts.nights.plan(night_id))
        night, before = _checked(night, night_id, plan, policy, await ledger.now())
        return await _apply(parts, ledger, policy, night, (before, approval))


def _checked(
    night: Night | None, night_id: str, plan: bytes | None, policy: ReconcilePolicy, now: float
) -> tuple[Night, frozenset[Pair]]:
    """The night, and what its plan says. Raises CommandError."""
    if night is None or night.policy != policy.name:
        raise CommandError(Exit.BAD_INPUT, f"no night {night_id!r} of policy {policy.name} is known")
    if night.status is not NightStatus.WAITING:
        raise CommandError(Exit.BAD_INPUT, f"night {night_id} does not wait for anybody: it is {night.status}")
    if plan is None or night.expires_at is None or now > night.expires_at:
        raise CommandError(
            Exit.BAD_INPUT,
            f"the plan of night {night_id} expired at {moment(night.expires_at, night.zone)}; plan again with "
            f"`unlinker reconcile plan {policy.name}`",
        )
    if night.meaning != policy.meaning:
        raise CommandError(
            Exit.BAD_INPUT,
            f"policy {policy.name} means something else now than when night {night_id} was planned; plan again with "
            f"`unlinker reconcile plan {policy.name}`",
        )
    try:
        return night, planned_pairs(plan)
    except PlanRefused as error:
        raise CommandError(Exit.BAD_INPUT, f"the plan of night {night_id} cannot be used: {error}") from None


async def _apply(
    parts: NightParts,
    ledger: Ledger,
    policy: ReconcilePolicy,
    night: Night,
    approved: tuple[frozenset[Pair], Approval],
) -> Night:
    before, approval = approved
    holder = await in_thread(lambda: parts.doors.runs.holder(policy.account))
    if holder is not None:
        raise CommandError(Exit.BRAKE, f"run {holder} has account {policy.account!r}; wait for it, then apply again")
    try:
        findings = await Planner(parts).find(policy)
    except NO_GROUND as error:
        raise CommandError(Exit.UNREACHABLE, f"nothing was sent: {error}") from None
    planned = tuple(pair for pair in findings.planned if pair in before)
    over = holds(planned, findings.diff, approval.released(policy.brakes))
    if over:
        raise CommandError(
            Exit.BRAKE,
            "stopped before anything was sent: "
            + "; ".join(each.why for each in over)
            + ". If that is meant, allow it with "
            + " ".join(f"{each.option} {each.value}" for each in over),
        )
    now = await ledger.now()
    wanted: dict[str, object] = {"night": night.id, **approval.bounds()}
    act = Act(action="reconcile apply", by=approval.by, because=approval.because, wanted=wanted, count=len(planned))
    await in_thread(lambda: parts.doors.audit.note(act))
    changed = len(before) - len(planned)
    text = f"{approval.by} approved of it: {approval.because}"
    if changed:
        text += f"; of its plan {links(changed)} may stay by now or be gone, left out"
    night = night.told(now, text, approved_by=approval.by, approved_because=approval.because)
    night = replace(night, counts={**findings.counts(), "planned": len(planned), "changed": changed})
    if not planned:
        return await close(parts, ledger, night.ended(now, NightStatus.DONE, "nothing of the plan is left to unlink"))
    by = f"policy {policy.name}, approved by {approval.by}"
    target = parts.target(parts.accounts[policy.account])
    origin = Origin(night=night, policy=policy, made_at=now, made_by=by, target=target, run=ledger.run_id(night))
    night = await begin_run(parts, ledger, origin, findings, planned)
    if night.status is not NightStatus.RUNNING:
        raise CommandError(Exit.BRAKE, night.story[-1].text)
    return night
