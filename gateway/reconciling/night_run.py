"""The run of a night: begun once, watched from look to look, told of when it is over."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.exits import CommandError
from gateway.following import failures
from gateway.reconciling.finding import Findings
from gateway.reconciling.ledger import Ledger
from gateway.reconciling.night_plan import Origin, written
from gateway.reconciling.parts import NightParts
from gateway.running import AccountTaken, Launch, Order
from worker.engine.threads import in_thread
from worker.stores.runs import Lease, Run
from worker.unlinking.brakes import Brakes
from worker.unlinking.diffing import Pair
from worker.unlinking.night import Night, NightStatus
from worker.unlinking.plan import Action, PlanHead
from worker.unlinking.runs import RunState
from worker.unlinking.wording import links

STANDING = (RunState.STOPPED, RunState.PAUSED)  # until somebody resumes or cancels the run


async def begin_run(
    parts: NightParts, ledger: Ledger, origin: Origin, findings: Findings, planned: Sequence[Pair]
) -> Night:
    """The night on its way, or back where it was when the run may not be started."""
    before = origin.night
    with written(origin, findings, planned) as (path, head):
        night = before.told(
            origin.made_at,
            f"{links(head.rows)} given to the workers as run {head.id}",
            status=NightStatus.RUNNING,
            why="",
            run=head.id,
            counts=before.counted(planned=head.rows),
        )
        # written down first, so that what is started is known; and the lease is asked for again when it is started
        await ledger.save(night)
        brakes = origin.policy.brakes
        own = Brakes(most=head.rows, max_share=1.0, canary=brakes.canary, max_failure_rate=brakes.max_failure_rate)
        order = Order(path=path, action=Action.UNLINK, brakes=own, by=origin.made_by)
        try:
            await in_thread(lambda: _launch(parts.launch, order, head, origin.target, ledger.lease))
        except CommandError as error:
            return await _not_started(parts, ledger, replace(night, status=before.status, run=None), error)
    if before.status is NightStatus.WAITING:
        await in_thread(lambda: ledger.nights.drop_plan(night.id))
    return night


def _launch(launch: Launch, order: Order, head: PlanHead, target: str, lease: Lease) -> None:
    launch.check(order, head, target)
    for _ in launch.load(order, head):
        pass
    launch.start(order, head, lease)


async def _not_started(parts: NightParts, ledger: Ledger, night: Night, error: CommandError) -> Night:
    """Another run got the account first: later looks try again. Anything else is the end of it."""
    now = await ledger.now()
    if isinstance(error, AccountTaken):
        return await ledger.save(night.told(now, f"not started: {error}", attempts=0))
    return await close(parts, ledger, night.ended(now, NightStatus.ABORTED, str(error)))


async def watch_run(parts: NightParts, ledger: Ledger, night: Night) -> Night:
    """The night as its run stands. Back to planning, or to waiting, if that was never started."""
    run = await in_thread(lambda: parts.doors.runs.get(night.run or ""))
    now = await ledger.now()
    if run is None or run.state is RunState.LOADING:
        before = NightStatus.WAITING if night.approved_by else NightStatus.PLANNING
        text = "its run was never started: whoever was about to start it died"
        night = replace(night, run=None, approved_by=None, approved_because=None)
        return await ledger.save(night.told(now, text, status=before))
    counts = run.counts
    night = replace(
        night,
        counts=night.counted(unlinked=counts["unlinked"], already_absent=counts["already_absent"], failed=run.failed),
    )
    if run.is_over:
        return await _end(parts, ledger, night, run)
    status = NightStatus.STOPPED if run.state in STANDING else NightStatus.RUNNING
    if status is night.status:
        return await ledger.save(night)
    why = _why_it_stands(run) if status is NightStatus.STOPPED else ""
    night = night.told(now, why or "its run was resumed", status=status, why=why)
    return await ledger.save(await parts.tell(night))


def _why_it_stands(run: Run) -> str:
    if run.state is RunState.PAUSED:
        return f"its run was paused by {run.fields.get('steered_by') or 'somebody'}"
    return f"its run was stopped by a brake: {run.fields.get('why')}"


async def _end(parts: NightParts, ledger: Ledger, night: Night, run: Run) -> Night:
    reasons = await in_thread(lambda: failures(parts.doors.dead_letters, run.id)) if run.failed else {}
    counts = run.counts
    why = f"{counts['unlinked']:,} unlinked, {counts['already_absent']:,} gone already, {run.failed:,} failed"
    if run.state is RunState.CANCELLED:
        left = run.layout.rows - run.done
        night = replace(night, counts=night.counted(cancelled=left + counts["cancelled"]))
        why += f", {left + counts['cancelled']:,} not sent: its run was cancelled by {run.fields.get('steered_by')}"
    ended = replace(night, failures=reasons).ended(await ledger.now(), NightStatus.DONE, why)
    return await close(parts, ledger, ended)


async def close(parts: NightParts, ledger: Ledger, night: Night) -> Night:
    """Write down that a night is over, and tell whoever is to be told."""
    night = await ledger.save(night)
    told = await parts.tell(night)
    return night if told is night else await ledger.save(told)
