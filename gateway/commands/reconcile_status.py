"""`unlinker reconcile status`: what the nights came to, and what waits for somebody."""

import time
from pathlib import Path
from typing import Annotated

import typer

from config.settings import load_settings
from config.visible import tame
from gateway.composition import open_doors
from gateway.exits import CommandError, Exit
from gateway.filters import Json
from gateway.output import ago, note, print_json, print_table
from gateway.reconciling.page import render
from gateway.reconciling.report import Report, approval_command, text
from worker.stores.nights import Nights
from worker.stores.private_files import write_private
from worker.unlinking.night import Night, NightStatus

SHOWN = 20  # nights in a list
COLUMNS = ("night", "status", "found", "planned", "unlinked", "failed", "resurrected", "began", "why")

NightId = Annotated[str | None, typer.Option("--night", metavar="ID", help="One night, with all there is to it.")]


def status(
    night: NightId = None,
    policy: Annotated[str | None, typer.Option("--policy", help="Nights of this policy only.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the night's report as one HTML page.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Nights in the list.")] = SHOWN,
    json_: Json = False,
) -> None:
    """The last nights, or the report of one.

    Example: unlinker reconcile status --night sold-estates@20260131T013000Z --html night.html
    """
    nights = Nights(open_doors(load_settings()).client)
    if night is None:
        if html is not None:
            raise CommandError(Exit.BAD_INPUT, "--html needs --night ID")
        _list(_newest(nights, policy, limit), json_=json_)
        return
    found = nights.get(night)
    if found is None:
        raise CommandError(Exit.BAD_INPUT, f"no night {night!r} is known; `unlinker reconcile status` lists them")
    report = Report(found, nights.of_policy(found.policy))
    if html is not None:
        _write(html, render(report))
    if json_:
        print_json(report.document())
    elif html is None:
        typer.echo(text(report), nl=False)


def _newest(nights: Nights, policy: str | None, limit: int) -> list[Night]:
    names = nights.policies() if policy is None else [policy]
    found = [each for name in names for each in nights.of_policy(name, limit)]
    return sorted(found, key=lambda each: each.started_at, reverse=True)[:limit]


def _list(found: list[Night], *, json_: bool) -> None:
    if json_:
        print_json([each.document() for each in found])
        return
    now = time.time()
    print_table(None, COLUMNS, [_row(each, now) for each in found])
    for each in found:
        if each.status is NightStatus.WAITING:
            note(f"waits for approval: {approval_command(each)}")


def _row(night: Night, now: float) -> list[object]:
    counts = [night.counts.get(name) for name in COLUMNS[2:7]]
    return [night.id, str(night.status), *counts, ago(night.started_at, now), night.why]


def _write(path: Path, page: str) -> None:
    part = path.with_name(path.name + ".part")
    try:
        write_private(part, tame(page))
        part.replace(path)
    except OSError as error:
        raise CommandError(Exit.BAD_INPUT, f"{path} cannot be written: {error.strerror or error}") from None
    note(f"report in {path}")
