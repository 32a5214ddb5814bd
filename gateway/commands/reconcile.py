"""`unlinker reconcile`: policies that say which links should not exist, and the nights that carry them out."""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from config.accounts import load_accounts
from config.settings import Settings, load_settings
from gateway import operator
from gateway.composition import type_rules
from gateway.exits import CommandError, Exit
from gateway.filters import Json
from gateway.output import note, print_json
from gateway.reconciling.approving import Approval, approve
from gateway.reconciling.faults import Fault, PolicyFileError
from gateway.reconciling.night_work import NightWork
from gateway.reconciling.parts import NightParts, open_night_parts
from gateway.reconciling.policy_file import examine_policies, load_policies
from gateway.reconciling.report import Report, approval_command, text
from gateway.reconciling.surroundings import Surroundings, check_surroundings, half_lists
from gateway.reconciling.truth_work import TruthWork
from worker.unlinking.job import DEFAULT_ACCOUNT
from worker.unlinking.night import Night, NightStatus, concern
from worker.unlinking.policies import Mode, ReconcilePolicy
from worker.unlinking.wording import links

app = typer.Typer(help="Nightly reconciliation: what should be gone is gone, and nothing else.", no_args_is_help=True)
Result = TypeVar("Result")
LOOK_EVERY = 0.5  # seconds

Because = Annotated[str, typer.Option("--because", "--reason", help="Why; kept with the night and in the audit.")]
PolicyName = Annotated[str, typer.Argument(metavar="POLICY", help="Name of a policy in the policies file.")]


@app.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A policies file; UNLINKER_POLICIES_FILE if left out.")
    ] = None,
    json_: Json = False,
) -> None:
    """Check a policies file, and the files, secrets and accounts it names: every fault with its line and key.

    Example: unlinker reconcile check policies.toml
    """
    settings = load_settings()
    path = file or policies_file(settings)
    names, faults, warnings = examine(path, settings)
    if json_:
        document = [{"line": fault.line, "key": fault.key, "text": fault.text} for fault in faults]
        print_json({"file": str(path), "fine": not faults, "policies": names, "faults": document, "warnings": warnings})
    for fault in faults:
        note(fault.sentence(path))
    for warning in warnings:
        note(f"{path}: warning: {warning}")
    if faults:
        raise CommandError(Exit.BAD_INPUT, f"{len(faults)} faults; docs/reconcile.md has every key")
    note(f"{path}: fine; {len(names)} policies: {', '.join(names)}")


def examine(path: Path, settings: Settings) -> tuple[list[str], list[Fault], list[str]]:
    """The policies that can be read, all faults, by line, and what is no fault but may go wrong."""
    try:
        policies, faults = examine_policies(path)
    except PolicyFileError as error:
        return [], list(error.faults), []
    here = Surroundings(list(load_accounts(settings)), type_rules(settings), os.environ)
    check_surroundings(policies, faults, here)
    return list(policies.by_name), list(PolicyFileError(path, faults.found).faults), list(half_lists(policies))


def refusal_of(error: PolicyFileError) -> CommandError:
    """The end of a command that needs the file; its faults are told, a line each."""
    for fault in error.faults:
        note(fault.sentence(error.path))
    return CommandError(Exit.BAD_INPUT, f"{error.path} has {len(error.faults)} faults")


def policies_file(settings: Settings) -> Path:
    """Raises CommandError when none is set."""
    if settings.policies_file is None:
        raise CommandError(Exit.BAD_INPUT, "no policies file: name it, or set UNLINKER_POLICIES_FILE")
    return settings.policies_file


@app.command()
def plan(policy: PolicyName, json_: Json = False) -> None:
    """Work out now what a policy would unlink. Nothing is unlinked; the plan waits 24 hours for `reconcile apply`.

    Example: unlinker reconcile plan sold-estates
    """
    chosen, parts = _open(policy)
    night = _wait(NightWork(parts).now(replace(chosen, mode=Mode.PLAN)))
    _tell(parts, night, json_=json_)
    _exit_as(night)


@app.command()
def run(
    policy: PolicyName,
    now: Annotated[bool, typer.Option("--now", help="At this moment, whatever the schedule says.")] = False,
    json_: Json = False,
) -> None:
    """One night of a policy, now: as the schedule would run it, brakes and all, and until it is over.

    Example: unlinker reconcile run sold-estates --now
    """
    if not now:
        raise CommandError(Exit.BAD_INPUT, "say --now; at its times the scheduler runs it: `unlinker scheduler`")
    chosen, parts = _open(policy)
    work = NightWork(parts)
    night = _wait(work.now(chosen))
    _finish(work, chosen, night, json_=json_)


@app.command()
def apply(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="The night whose plan waits: `reconcile status` has it.")],
    because: Because = "",
    max_deletions: Annotated[int | None, typer.Option("--max-deletions", min=1, help="Allow so many.")] = None,
    max_share: Annotated[
        float | None, typer.Option("--max-share", min=0.001, max=1, help="Allow this share of the links found.")
    ] = None,
    max_share_per_parent: Annotated[
        float | None, typer.Option("--max-share-per-parent", min=0.001, max=1, help="Allow it below any one parent.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: Json = False,
) -> None:
    """Approve of a plan that waits. Everything is read again first: what may stay by now is left alone.

    Example: unlinker reconcile apply sold-estates@20260131T013000Z --max-deletions 1200 --because "ticket 4711"
    """
    if not because:
        raise CommandError(Exit.BAD_INPUT, "say why with --because TEXT; it is kept with the night and in the audit")
    chosen, parts = _open(plan.partition("@")[0])
    night = parts.nights.get(plan)
    if night is not None and not yes:
        operator.ask(f"unlink {links(night.counts.get('planned', 0))} of account {night.account}?")
    approval = Approval(
        by=operator.name(),
        because=because,
        max_deletions=max_deletions,
        max_share=max_share,
        max_share_per_parent=max_share_per_parent,
    )
    night = _wait(approve(parts, chosen, plan, approval))
    _finish(NightWork(parts), chosen, night, json_=json_)


@app.command()
def truth(
    account: Annotated[str, typer.Option("--account", help="Whose deletions.")] = DEFAULT_ACCOUNT, json_: Json = False
) -> None:
    """Look now whether what was reported as gone is gone, and end what was left open. Deletes nothing.

    Example: unlinker reconcile truth --account default
    """
    parts = open_night_parts(load_settings())
    night = _wait(TruthWork(parts).now(account))
    if night is None:
        raise CommandError(Exit.BRAKE, f"somebody looks at account {account!r} just now; try again")
    _tell(parts, night, json_=json_)
    if night.status is NightStatus.ABORTED:
        raise CommandError(Exit.UNREACHABLE, f"not everything could be looked at: {night.why}")
    if concern(night) is not None:
        raise typer.Exit(Exit.NOT_ALL_SUCCEEDED)


def _open(name: str) -> tuple[ReconcilePolicy, NightParts]:
    """A policy by its name, and what its nights are worked with. Raises CommandError."""
    settings = load_settings()
    path = policies_file(settings)
    try:
        policies = load_policies(path)
    except PolicyFileError as error:
        raise refusal_of(error) from None
    if name not in policies.by_name:
        raise CommandError(Exit.BAD_INPUT, f"no policy {name!r} in {path}; there are {', '.join(policies.by_name)}")
    return policies.by_name[name], open_night_parts(settings)


def _wait(work: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(work)


def _finish(work: NightWork, policy: ReconcilePolicy, night: Night, *, json_: bool) -> None:
    """Follow a night until it is over or waits. Ctrl-C leaves it on its way: any later look goes on with it."""
    note(f"night {night.id}: {night.status}")
    try:
        night = _wait(_followed(work, policy, night))
    except KeyboardInterrupt:
        note(f"it goes on; see `unlinker reconcile status --night {night.id}`")
        raise typer.Exit(Exit.NOT_ALL_SUCCEEDED) from None
    _tell(work.parts, night, json_=json_)
    _exit_as(night)


async def _followed(work: NightWork, policy: ReconcilePolicy, night: Night) -> Night:
    while night.status in (NightStatus.PLANNING, NightStatus.RUNNING):
        await asyncio.sleep(LOOK_EVERY)
        night = await work.look_at(policy, night)
    return night


def _tell(parts: NightParts, night: Night, *, json_: bool) -> None:
    report = Report(night, parts.nights.of_policy(night.policy))
    if json_:
        print_json(report.document())
    else:
        typer.echo(text(report), nl=False)


def _exit_as(night: Night) -> None:
    """How a night that a person began ends for a script."""
    match night.status:
        case NightStatus.WAITING:
            if night.over:
                raise CommandError(Exit.BRAKE, f"{night.why}. If that is meant: `{approval_command(night)}`")
            note(f"apply it with `{approval_command(night)}`")
        case NightStatus.DONE if not night.counts.get("failed"):
            return
        case NightStatus.STOPPED:
            raise CommandError(Exit.BRAKE, f"{night.why}; go on with `unlinker bulk resume {night.run}`")
        case NightStatus.ABORTED:
            raise CommandError(Exit.UNREACHABLE, f"nothing was unlinked: {night.why}")
        case _:
            raise typer.Exit(Exit.NOT_ALL_SUCCEEDED)
