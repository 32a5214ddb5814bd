"""The options that choose dead letters or deeds, and how their values are read."""

import re
import time
from datetime import datetime
from typing import Annotated

import typer

from gateway.exits import CommandError, Exit
from worker.stores.journal import Wanted
from worker.stores.letter import Filter
from worker.unlinking.errors import REASONS
from worker.unlinking.relation_types import RelationTypeError, parse_relationtype

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")]
ReasonFilter = Annotated[str | None, typer.Option("--reason", help="Reason, for example NotDeletable.")]
CodeFilter = Annotated[int | None, typer.Option("--code", help="The API's error code.")]
TypeFilter = Annotated[str | None, typer.Option("--type", help="Relation type, short form or URN.")]
AccountFilter = Annotated[str | None, typer.Option("--account", help="Name of the account.")]
RunFilter = Annotated[str | None, typer.Option("--run", help="Name of the bulk run.")]
ParentFilter = Annotated[int | None, typer.Option("--parent", help="Record id of the parent.")]
ChildFilter = Annotated[int | None, typer.Option("--child", help="Record id of the child.")]
OlderThan = Annotated[str | None, typer.Option("--older-than", help="Ended before: 30m, 12h, 7d, or an ISO time.")]
NewerThan = Annotated[str | None, typer.Option("--newer-than", help="Ended since: 30m, 12h, 7d, or an ISO time.")]
Since = Annotated[str | None, typer.Option("--since", help="Sent since: 30m, 12h, 7d ago, or an ISO time.")]
Before = Annotated[str | None, typer.Option("--before", help="Sent before: 30m, 12h, 7d ago, or an ISO time.")]


def moment(option: str, value: str | None, now: float) -> float | None:
    """Unix seconds of an age or an ISO time. Raises CommandError."""
    if value is None:
        return None
    age = _AGE.fullmatch(value.strip())
    if age:
        return now - float(age[1]) * UNITS[age[2]]
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise CommandError(
            Exit.BAD_INPUT, f"{option} {value!r}: give an age (30m, 12h, 7d) or a time like 2026-01-31T18:00:00+01:00"
        ) from None
    return found.astimezone().timestamp()


def duration(option: str, value: str, most: float) -> float:
    """Seconds of a text like 30m, 12h, 7d. Raises CommandError, for more than `most` too."""
    age = _AGE.fullmatch(value.strip())
    seconds = float(age[1]) * UNITS[age[2]] if age else 0.0
    if not 0 < seconds <= most:
        raise CommandError(Exit.BAD_INPUT, f"{option} {value!r}: give 30m, 12h or 7d, up to {most / UNITS['d']:.0f}d")
    return seconds


def _reason(value: str | None) -> str | None:
    """One of the reasons there are. Raises CommandError."""
    if value is None or value in REASONS:
        return value
    nearest = next((name for name in REASONS if name.lower() == value.lower()), None)
    if nearest is None:
        raise CommandError(Exit.BAD_INPUT, f"--reason {value!r}: there are {', '.join(REASONS)}")
    return nearest


def _relationtype(value: str | None) -> str | None:
    """The short form. Raises CommandError."""
    if value is None:
        return None
    try:
        return parse_relationtype(value).short
    except RelationTypeError as error:
        raise CommandError(Exit.BAD_INPUT, f"--type: {error}") from None


def read_filter(
    reason: ReasonFilter = None,
    code: CodeFilter = None,
    type_: TypeFilter = None,
    account: AccountFilter = None,
    run: RunFilter = None,
    parent: ParentFilter = None,
    child: ChildFilter = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
) -> Filter:
    """Which dead letters. Raises CommandError."""
    now = time.time()
    return Filter(
        reason=_reason(reason),
        code=code,
        relationtype=_relationtype(type_),
        account=account,
        run=run,
        parentid=parent,
        childid=child,
        before=moment("--older-than", older_than, now),
        since=moment("--newer-than", newer_than, now),
    )


def read_wanted(
    job: Annotated[str | None, typer.Option("--job", help="Id of one job, or of one chunk.")] = None,
    run: RunFilter = None,
    type_: TypeFilter = None,
    account: AccountFilter = None,
    parent: ParentFilter = None,
    child: ChildFilter = None,
    since: Since = None,
    before: Before = None,
) -> Wanted:
    """Which deeds of the journal. Raises CommandError."""
    now = time.time()
    return Wanted(
        job=job,
        run=run,
        relationtype=_relationtype(type_),
        account=account,
        parentid=parent,
        childid=child,
        since=moment("--since", since, now),
        before=moment("--before", before, now),
    )
