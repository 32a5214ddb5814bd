"""`unlinker undo apply` and `bulk undo`: bringing links back, on its way."""

from pathlib import Path
from typing import Annotated

import typer

from config.settings import load_settings
from gateway import operator
from gateway.commands.bulk_run import DEFAULTS, Because, Canary, Detach, MaxFailureRate, Plan, RunId, Yes, carry_out
from gateway.commands.undo_plan import OnlyCertain, UndoTerms, plan_undo, tell
from gateway.composition import open_doors
from gateway.exits import CommandError, Exit
from gateway.filters import Json
from gateway.following import found_run
from gateway.running import Order
from worker.stores.journal import Wanted
from worker.unlinking.brakes import Brakes
from worker.unlinking.plan import Action

MaxRestores = Annotated[int, typer.Option("--max-restores", min=1, help="Do nothing if there are more.")]


def apply(
    plan: Plan,
    max_restores: MaxRestores = DEFAULTS.most,
    canary: Canary = DEFAULTS.canary,
    max_failure_rate: MaxFailureRate = DEFAULTS.max_failure_rate,
    because: Because = "",
    yes: Yes = False,
    detach: Detach = False,
    json_: Json = False,
) -> None:
    """Create the links of an undo plan that are not there, and nothing else. It is a run: `bulk status` shows it too.

    Example: unlinker undo apply undo.plan.jsonl --max-restores 1200 --because "ticket 4711: wrong file"
    """
    order = _order(plan, Brakes(most=max_restores, canary=canary, max_failure_rate=max_failure_rate), because)
    carry_out(order, yes=yes, detach=detach, json_=json_)


def undo_run(
    run: RunId,
    out: Annotated[Path | None, typer.Option("--out", help="The undo plan's file. [RUN.undo.plan.jsonl]")] = None,
    max_restores: MaxRestores = DEFAULTS.most,
    only_certain: OnlyCertain = False,
    because: Because = "",
    yes: Yes = False,
    detach: Detach = False,
    json_: Json = False,
) -> None:
    """Bring back what a run deleted: `undo plan --run RUN` and `undo apply` in one. Says first what cannot come back.

    Example: unlinker bulk undo 0b7c6a3e-... --because "ticket 4711: wrong file" --max-restores 1200
    """
    was = found_run(open_doors(load_settings()).runs, run)
    if not was.is_over:
        raise CommandError(
            Exit.BAD_INPUT, f"run {run} is {was.state}, and could go on deleting; `unlinker bulk cancel {run}` first"
        )
    if was.fields["action"] != Action.UNLINK:
        raise CommandError(Exit.BAD_INPUT, f"run {run} brought links back; there is nothing of it to undo")
    terms = UndoTerms(out=out or Path(f"{run}.undo.plan.jsonl"), because=because, only_certain=only_certain)
    planned = plan_undo(Wanted(run=run), terms)
    tell(planned, table=not json_)
    if planned.made.head is None:
        raise typer.Exit(Exit.NOT_ALL_SUCCEEDED)
    carry_out(_order(planned.path, Brakes(most=max_restores), because), yes=yes, detach=detach, json_=json_)


def _order(plan: Path, brakes: Brakes, because: str) -> Order:
    return Order(path=plan, action=Action.RESTORE, brakes=brakes, by=operator.name(), because=because)
