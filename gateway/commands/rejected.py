"""`unlinker rejected`: messages that were in the queue and are no jobs."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, TypeVar

import typer

from config.settings import load_settings
from gateway import operator
from gateway.composition import Doors, open_doors
from gateway.exits import CommandError, Exit
from gateway.expanding import expanding
from gateway.filters import Json
from gateway.misdirected import Misdirected
from gateway.moving import Order, read_order
from gateway.output import ago, note, print_json, print_table
from worker.stores.audit import Act
from worker.stores.deliveries import MOST_REJECTED
from worker.stores.rejected import RejectedMessage, RejectedMessages

app = typer.Typer(help="Rejected messages: what was in the queue and is no job.", no_args_is_help=True)
COLUMNS = ("number", "came", "queue", "task", "id", "bytes", "why")
SHOWN = 2000  # bytes of a message
AT_ONCE = 100
NUMBER = re.compile(r"\d+-\d+")

Numbers = Annotated[
    list[str] | None, typer.Argument(metavar="[NUMBER]...", help="These messages, as `list` names them.")
]
T = TypeVar("T")


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Messages shown.")] = 50, json_: Json = False
) -> None:
    """Rejected messages, newest first, with their number and why.

    Example: unlinker rejected list
    """
    rejected = open_doors(load_settings()).rejected
    found, totals = rejected.newest(limit), rejected.totals()
    documents = [each.document() for each in found]
    if json_:
        print_json({"totals": totals, "messages": documents})
        return
    now = time.time()
    rows = [[ago(each["at"], now) if name == "came" else each[name] for name in COLUMNS] for each in documents]
    print_table(None, COLUMNS, rows)
    note(f"{len(found)} of {totals['kept']}; {totals['dropped']} older ones were dropped")


@app.command()
def show(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="As `list` names it.")], json_: Json = False
) -> None:
    """One rejected message, and what can be done about it.

    Example: unlinker rejected show 1764085123456-0
    """
    (message,) = _named(open_doors(load_settings()).rejected, [number])
    document = message.document() | {
        "message": message.message[:SHOWN].decode(errors="replace"),
        "advice": _advice(message),
    }
    if json_:
        print_json(document)
        return
    lines = [(name, value) for name, value in document.items() if value not in (None, "", False)]
    print_table(None, ("", ""), [[name, value] for name, value in lines])


def _advice(message: RejectedMessage) -> str:
    if message.cut:
        return "Only its ends are kept: send it again in smaller parts, then `unlinker rejected discard` it."
    return (
        "Mend the sender and send it again, then `unlinker rejected discard` it; or, if newer workers can read it, "
        "`unlinker rejected requeue` it once they run."
    )


@app.command()
@expanding("order", read_order)
def requeue(
    order: Order,
    numbers: Numbers = None,
    from_queue: Annotated[
        str | None, typer.Option("--from-queue", help="Instead: our tasks out of a queue that no worker of ours reads.")
    ] = None,
    json_: Json = False,
) -> None:
    """Put messages back into their queues, each exactly once: once workers were updated, or out of the queue `celery`.

    Example: unlinker rejected requeue --because "workers updated"
    """
    doors = open_doors(load_settings())
    if from_queue is None:
        _move(
            doors,
            "requeue",
            doors.rejected.requeue,
            [m.number for m in _chosen(doors, numbers) if not m.cut],
            order,
            json_,
        )
        return
    if numbers:
        raise CommandError(Exit.BAD_INPUT, "--from-queue takes its own messages: leave the numbers out")
    misdirected = Misdirected(doors.queue, from_queue)
    _move(doors, f"requeue from {from_queue}", misdirected.move, misdirected.find(), order, json_)


@app.command()
@expanding("order", read_order)
def discard(order: Order, numbers: Numbers = None, json_: Json = False) -> None:
    """Give rejected messages up. Their producers have been told already, if their ids could be read.

    Example: unlinker rejected discard 1764085123456-0 --because "sender mended"
    """
    doors = open_doors(load_settings())
    _move(doors, "discard", doors.rejected.discard, [m.number for m in _chosen(doors, numbers)], order, json_)


def _chosen(doors: Doors, numbers: list[str] | None) -> list[RejectedMessage]:
    return _named(doors.rejected, numbers) if numbers else doors.rejected.newest(MOST_REJECTED)


def _named(rejected: RejectedMessages, numbers: Sequence[str]) -> list[RejectedMessage]:
    found = [rejected.get(number) if NUMBER.fullmatch(number) else None for number in numbers]
    missing = [repr(number) for number, message in zip(numbers, found, strict=True) if message is None]
    if missing:
        raise CommandError(Exit.BAD_INPUT, f"no rejected message {', '.join(missing)}; see `unlinker rejected list`")
    return [message for message in found if message is not None]


def _move(
    doors: Doors,
    action: str,
    step: Callable[[Sequence[T]], Sequence[T]],
    chosen: Sequence[T],
    order: Order,
    json_: bool,  # the options of two commands
) -> None:
    """Move what was chosen; the audit knows of it before, and again how many it were."""
    moved = 0
    if chosen and not order.dry_run:
        because = order.check(action, len(chosen), "messages")
        act = Act(action=f"rejected {action}", by=operator.name(), because=because, wanted={"messages": len(chosen)})
        doors.audit.note(act)
        for start in range(0, len(chosen), AT_ONCE):
            moved += len(step(chosen[start : start + AT_ONCE]))
        doors.audit.note(replace(act, count=moved))
    if json_:
        print_json({"action": action, "count": len(chosen), "moved": moved})
    else:
        note(f"{action}: {moved} of {len(chosen)} messages")
