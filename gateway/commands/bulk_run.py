"""`unlinker bulk apply | status | pause | resume | cancel`: a planned run, on its way."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from config.accounts import load_accounts
from config.settings import load_settings
from gateway import operator
from gateway.composition import Doors, open_doors, type_rules
from gateway.exits import CommandError, Exit
from gateway.filters import Json
from gateway.following import Capacity, Follower, failures, found_run
from gateway.interrupting import uninterrupted
from gateway.output import ago, note, print_json, print_table
from gateway.running import Launch, Order, now, open_plan, target
from worker.stores.audit import Act
from worker.stores.runs import Run
from worker.unlinking.brakes import Brakes
from worker.unlinking.plan import Action, PlanHead
from worker.unlinking.runs import RunState, Steering

DEFAULTS = Brakes()
SHOWN = 20  # runs in a list
COLUMNS = ("run", "state", "account", "action", "rows", "done", "failed", "left", "started", "by", "because")

Plan = Annotated[Path, typer.Argument(metavar="PLAN", help="The plan's file, as `plan` wrote it.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]
Because = Annotated[str, typer.Option("--because", help="Why; kept with every deletion and in the audit.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Detach = Annotated[bool, typer.Option("--detach", help="Start it and leave; `bulk status RUN --follow` rejoins.")]
MaxFailureRate = Annotated[
    float, typer.Option("--max-failure-rate", min=0, max=1, help="Stop when more than this share of the rows fails.")
]
Canary = Annotated[int, typer.Option("--canary", min=0, max=500, help="Rows that must go well before the rest.")]


def apply(
    plan: Plan,
    max_deletions: Annotated[int, typer.Option("--max-deletions", min=1, help="Do nothing if there are more.")] = (
        DEFAULTS.most
    ),
    max_share: Annotated[
        float, typer.Option("--max-share", min=0, max=1, help="Do nothing if more of a parent's links would go.")
    ] = DEFAULTS.max_share,
    canary: Canary = DEFAULTS.canary,
    max_failure_rate: MaxFailureRate = DEFAULTS.max_failure_rate,
    because: Because = "",
    yes: Yes = False,
    detach: Detach = False,
    json_: Json = False,
) -> None:
    """Delete what a plan says, and nothing else. Ctrl-C leaves the run going; applying a plan twice does nothing more.

    Example: unlinker bulk apply clean-up.plan --max-deletions 1200 --because "ticket 4711"
    """
    brakes = Brakes(most=max_deletions, max_share=max_share, canary=canary, max_failure_rate=max_failure_rate)
    order = Order(path=plan, action=Action.UNLINK, brakes=brakes, by=operator.name(), because=because)
    carry_out(order, yes=yes, detach=detach, json_=json_)


def carry_out(order: Order, *, yes: bool, detach: bool, json_: bool) -> None:
    """Check, ask, start and follow. Raises CommandError, and typer.Exit with how it ended."""
    doors = open_doors(load_settings())
    head = open_plan(order.path)
    launch = Launch(doors.runs, doors.audit, type_rules(load_settings()), now)
    if launch.was_started(head):
        note(f"this plan was applied before, as run {head.id}")
    else:
        launch.check(order, head, _here(head))
        if head.rows == 0:
            _nothing_to_do(head, json_=json_)
            return
        if not yes:
            operator.ask(f"{head.action} {head.rows} links of account {head.account} ({head.source})?")
        _load(launch, order, head)
        _start(launch, order, head)
    if detach:
        _tell(doors, found_run(doors.runs, head.id), json_=json_)
        return
    _follow(doors, head.id, json_=json_)


def _start(launch: Launch, order: Order, head: PlanHead) -> None:
    try:
        with uninterrupted():
            note(f"run {launch.start(order, head)}")
    except KeyboardInterrupt:
        raise _left(head.id) from None


def _left(run_id: str) -> typer.Exit:
    """The end of a command that Ctrl-C took from its run."""
    note(f"the run goes on; see it again with `unlinker bulk status {run_id} --follow`")
    return typer.Exit(Exit.NOT_ALL_SUCCEEDED)


def _here(head: PlanHead) -> str | None:
    settings = load_settings()
    account = load_accounts(settings).get(head.account)
    return None if account is None else target(settings, account)


def _nothing_to_do(head: PlanHead, *, json_: bool) -> None:
    note("nothing to do: the plan sends no row")
    if json_:
        print_json({"run": None, "rows": 0, "left_out": head.left_out})


def _load(launch: Launch, order: Order, head: PlanHead) -> None:
    shown = sys.stderr.isatty()
    for stored in launch.load(order, head):
        if shown:
            sys.stderr.write(f"\rstoring the plan: {stored} of {head.rows}")
    if shown:
        sys.stderr.write("\r\033[K")


def status(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Id of the run; the last ones if left out.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it until it is over.")] = False,
    json_: Json = False,
) -> None:
    """How far a run is, or the last runs. --follow joins it again from any terminal.

    Example: unlinker bulk status 0b7c6a3e-... --follow
    """
    doors = open_doors(load_settings())
    if run is None:
        if follow:
            raise CommandError(Exit.BAD_INPUT, "--follow needs the id of a run")
        _list(doors, json_=json_)
    elif follow:
        _follow(doors, run, json_=json_)
    else:
        _tell(doors, found_run(doors.runs, run), json_=json_)


def _list(doors: Doors, *, json_: bool) -> None:
    documents = [run.document() for run in doors.runs.newest(SHOWN)]
    if json_:
        print_json(documents)
        return
    print_table(None, COLUMNS, [[_cell(document, name) for name in COLUMNS] for document in documents])


def _cell(document: dict[str, object], name: str) -> object:
    return ago(document["started_at"], now()) if name == "started" else document[name]


def _follow(doors: Doors, run_id: str, *, json_: bool) -> None:
    try:
        account = load_accounts(load_settings()).get(found_run(doors.runs, run_id).fields["account"])
        capacity = Capacity(account.requests_per_second * account.actions_per_request) if account else None
        run = Follower(doors.runs, doors.dead_letters, capacity).follow(run_id)
    except KeyboardInterrupt:
        raise _left(run_id) from None
    _tell(doors, run, json_=json_)
    _end(run)


def _end(run: Run) -> None:
    """The exit code of a run that is over or stopped."""
    if run.state is RunState.STOPPED:
        raise CommandError(
            Exit.BRAKE,
            f"stopped: {run.fields.get('why')}. See `unlinker dead list --run {run.id}`; then go on with "
            f"`unlinker bulk resume {run.id} --max-failure-rate RATE`, or `unlinker bulk cancel {run.id}`",
        )
    if run.state is not RunState.DONE or run.failed:
        raise typer.Exit(Exit.NOT_ALL_SUCCEEDED)


def _tell(doors: Doors, run: Run, *, json_: bool) -> None:
    reasons = failures(doors.dead_letters, run.id) if run.failed else {}
    document = run.document() | {"failed_by_reason": reasons}
    if json_:
        print_json(document)
        return
    lines = [(name, value) for name, value in document.items() if value not in (None, "", 0, {})]
    print_table(None, ("", ""), [[name, _line(name, value)] for name, value in lines])


def _line(name: str, value: object) -> object:
    if name.endswith("_at"):
        return ago(value, now())
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items())
    return value


def pause(run: RunId, because: Because = "", json_: Json = False) -> None:
    """Send nothing more of a run until it is resumed; what is on the wire is finished.

    Example: unlinker bulk pause 0b7c6a3e-... --because "phones are ringing"
    """
    _steer(run, Steering.PAUSE, because, json_=json_)


def resume(
    run: RunId,
    max_failure_rate: Annotated[
        float | None, typer.Option("--max-failure-rate", min=0, max=1, help="A new bound; else as before.")
    ] = None,
    because: Because = "",
    follow: Annotated[bool, typer.Option("--follow", help="Watch it until it is over.")] = False,
    json_: Json = False,
) -> None:
    """Let a paused run go on, or one that a brake stopped.

    Example: unlinker bulk resume 0b7c6a3e-... --max-failure-rate 0.5 --because "known, ticket 4711"
    """
    _steer(run, Steering.RESUME, because, max_failure_rate, json_=json_ and not follow)
    if follow:
        _follow(open_doors(load_settings()), run, json_=json_)


def cancel(run: RunId, because: Because = "", json_: Json = False) -> None:
    """Give a run up: rows that were not sent stay as they are. What was deleted can be brought back with `bulk undo`.

    Example: unlinker bulk cancel 0b7c6a3e-... --because "wrong file"
    """
    _steer(run, Steering.CANCEL, because, json_=json_)


def _steer(run_id: str, how: Steering, because: str, bound: float | None = None, *, json_: bool) -> None:
    doors = open_doors(load_settings())
    if how is Steering.CANCEL and doors.runs.get(run_id) is None and doors.runs.forget(run_id):
        note(f"run {run_id}: its records are gone from Redis; it is cleared, and nothing of it will be sent")
        return
    found_run(doors.runs, run_id)
    with uninterrupted():
        moved, state = doors.runs.steer(run_id, how, operator.name(), because, bound)
        if moved:
            act = Act(action=f"{how} run", by=operator.name(), because=because, wanted={"run": run_id}, count=1)
            doors.audit.note(act)
        if json_:
            print_json(found_run(doors.runs, run_id).document())
        else:
            note(f"run {run_id}: {state}")
    if not moved:
        raise CommandError(Exit.BAD_INPUT, f"a run that is {state} cannot {how}")
