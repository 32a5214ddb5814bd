"""`unlinker dead replay`, `discard`, `redrive`: what moves dead letters."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated

import redis
import typer

from config.settings import load_settings
from gateway import operator
from gateway.choosing import Choice, choose
from gateway.composition import Doors, open_doors
from gateway.exits import CommandError, Exit
from gateway.expanding import expanding
from gateway.filters import Json, read_filter
from gateway.interrupting import uninterrupted
from gateway.moving import FASTEST_STEP, Means, Moved, Order, move, read_order
from gateway.output import note, print_json
from tasks.redriving import BECAUSE
from worker.stores.audit import Act, Audit
from worker.stores.letter import Filter, Letter
from worker.stores.refusals import explain
from worker.unlinking.errors import USELESS

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="These letters; else those the filter fits.")]
Rate = Annotated[float, typer.Option("--rate", min=0.1, help="Letters a second.")]


@expanding("wanted", read_filter)
@expanding("order", read_order)
def replay(
    wanted: Filter,
    order: Order,
    ids: Ids = None,
    rate: Rate = 200.0,
    force: Annotated[bool, typer.Option("--force", help="Those too that cannot succeed as they are.")] = False,
    json_: Json = False,
) -> None:
    """Send dead letters again as new jobs, each exactly once, however often this is stopped and run again.

    Example: unlinker dead replay --reason MissingRight --because "right granted" --all
    """
    doors = open_doors(load_settings())
    chosen = choose(doors.dead_letters, doors.wishes, wanted, ids, frozenset() if force else USELESS)
    _carry_out(doors, "replay", chosen, order, Means(doors.replayer.replay, _names_relation, rate, json=json_))


@expanding("wanted", read_filter)
@expanding("order", read_order)
def discard(
    wanted: Filter,
    order: Order,
    ids: Ids = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.1, help="Letters a second; else as fast as it goes.")
    ] = None,
    json_: Json = False,
) -> None:
    """Give dead letters up: they leave the list; their jobs stay known for eight days.

    Example: unlinker dead discard --reason UnknownRelationType --because "sender mended" --all
    """
    doors = open_doors(load_settings())
    chosen = choose(doors.dead_letters, doors.wishes, wanted, ids, frozenset())

    def step(some: Sequence[Letter]) -> list[str]:
        return doors.dead_letters.discard([letter.id for letter in some])

    _carry_out(doors, "discard", chosen, order, Means(step, lambda _: True, rate, json=json_))


def redrive(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")] = False,
    rate: Rate = 50.0,
    json_: Json = False,
) -> None:
    """Try letters again whose reasons may have passed, as the scheduler does: three times, 1, 4 and 16 h after the end.

    Example: unlinker dead redrive --dry-run
    """
    doors = open_doors(load_settings())
    count = sum(len(some) for some in doors.redriver.due())
    means = Means(doors.redriver.move, _names_relation, rate, json=json_)
    if dry_run or count == 0:
        _answer("redrive", Moved(), count, means)
        return
    act = Act(action="dead redrive", by=operator.name(), because=BECAUSE)
    moved = _move_noted(doors.audit, act, doors.redriver.due(), means, count)
    _answer("redrive", moved, count, means)


def _names_relation(letter: Letter) -> bool:
    return letter.names_relation


def _carry_out(doors: Doors, action: str, chosen: Choice, order: Order, means: Means) -> None:
    count, left_out = chosen.count()
    gone = chosen.named.gone if chosen.named else 0
    if left_out:
        note(f"{left_out} letters are left out: they cannot succeed as they are (--force takes them too)")
    if order.dry_run or count == 0:
        _answer(action, Moved(gone=gone, left_out=left_out), count, means)
        return
    because = order.check(action, count)
    act = Act(action=f"dead {action}", by=operator.name(), because=because, wanted=chosen.document())
    moved = _move_noted(doors.audit, act, chosen.walk(), means, count)
    moved.gone += gone
    moved.left_out += left_out
    _answer(action, moved, count, means)


def _move_noted(audit: Audit, act: Act, portions: Iterable[Sequence[Letter]], means: Means, count: int) -> Moved:
    """The audit knows of it before anything is moved, and again how many it were."""
    audit.note(act)
    moved = move(portions, means, count)
    try:
        with uninterrupted():
            audit.note(replace(act, count=moved.count))
    except KeyboardInterrupt:
        moved.stopped = True
    except redis.exceptions.RedisError as error:
        moved.failed = moved.failed or str(explain(error))
    return moved


def _answer(action: str, moved: Moved, count: int, means: Means) -> None:
    if means.json:
        found = {"action": action, "count": count, "moved": moved.count, "gone": moved.gone, "left_out": moved.left_out}
        print_json(found)
    else:
        gone = f", {moved.gone} were gone already" if moved.gone else ""
        note(f"{action}: {moved.count} of {count} letters{gone}")
    if moved.failed:
        raise CommandError(
            Exit.UNREACHABLE,
            f"Redis failed after {moved.count} letters, and of the next {FASTEST_STEP} some may have been moved: "
            f"{moved.failed}; the same command goes on with the rest",
        )
    if moved.stopped:
        note("stopped; the same command goes on with the rest")
        raise typer.Exit(Exit.NOT_ALL_SUCCEEDED)
