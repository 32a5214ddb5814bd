"""`unlinker bulk report`: what became of every row of a run, as files, a summary and a picture."""

import re
from pathlib import Path
from typing import Annotated

import typer

from config.accounts import load_accounts
from config.settings import Settings, load_settings
from gateway.composition import open_doors
from gateway.exits import CommandError, Exit
from gateway.filters import Json
from gateway.following import Capacity, found_run
from gateway.output import note, print_json
from gateway.report.making import Maker
from gateway.report.terminal import show
from worker.stores.runs import Run

LOCAL = None  # times are told in the time zone of this machine
SAFE_NAME = re.compile(r"[0-9A-Za-z][\w.-]{0,99}")  # of a run that may name a folder


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write to; RUN-report if left out.")] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="The run's plan, if it is not where it was applied from.")
    ] = None,
    json_: Json = False,
) -> None:
    """What became of every row of a run: a file each for what succeeded, was already so, failed, or is unprocessed.

    With a summary and a picture, and at any time, also while it runs. Exit code 1: some failed or are unprocessed.

    Example: unlinker bulk report 0b7c6a3e-... --out spring-clean-up
    """
    settings = load_settings()
    doors = open_doors(settings)
    found = found_run(doors.runs, run)
    folder = out or _default(found)
    summary = Maker(doors.client, doors.runs, LOCAL).make(found, folder, plan, _capacity(settings, found))
    if json_:
        print_json(summary.document() | {"folder": str(folder)})
    else:
        show(summary, LOCAL)
        note(f"the report is in {folder}; report.html is its picture")
    if not summary.succeeded:
        raise typer.Exit(Exit.NOT_ALL_SUCCEEDED)


def _default(run: Run) -> Path:
    if not SAFE_NAME.fullmatch(run.id):
        raise CommandError(Exit.BAD_INPUT, f"run {run.id!r} cannot name a folder; name one with --out")
    return Path(f"{run.id}-report")


def _capacity(settings: Settings, run: Run) -> Capacity | None:
    account = load_accounts(settings).get(run.fields["account"])
    return None if account is None else Capacity(account.requests_per_second * account.actions_per_request)
