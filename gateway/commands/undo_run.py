"""`unlinker undo apply`: what an undo plan says, on its way."""

from typing import Annotated

import typer

from gateway import operator
from gateway.commands.bulk_run import DEFAULTS, Because, Canary, Detach, MaxFailureRate, Plan, Yes, carry_out
from gateway.filters import Json
from gateway.running import Order
from worker.unlinking.brakes import Brakes
from worker.unlinking.plan import Action


def apply(
    plan: Plan,
    max_restores: Annotated[int, typer.Option("--max-restores", min=1, help="Do nothing if there are more.")] = (
        DEFAULTS.most
    ),
    canary: Canary = DEFAULTS.canary,
    max_failure_rate: MaxFailureRate = DEFAULTS.max_failure_rate,
    because: Because = "",
    yes: Yes = False,
    detach: Detach = False,
    json_: Json = False,
) -> None:
    """Create the links of an undo plan that are not there, and nothing else. It is a run: `bulk status` shows it too.

    Example: unlinker undo apply undo.plan --max-restores 1200 --because "ticket 4711: wrong file"
    """
    brakes = Brakes(most=max_restores, max_share=1.0, canary=canary, max_failure_rate=max_failure_rate)
    order = Order(path=plan, action=Action.RESTORE, brakes=brakes, by=operator.name(), because=because)
    carry_out(order, yes=yes, detach=detach, json_=json_)
