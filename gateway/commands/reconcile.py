"""`unlinker reconcile`: policies that say which links should not exist, and the nights that carry them out."""

import os
from pathlib import Path
from typing import Annotated

import typer

from config.accounts import load_accounts
from config.settings import Settings, load_settings
from gateway.exits import CommandError, Exit
from gateway.filters import Json
from gateway.output import note, print_json
from gateway.reconciling.faults import Fault, PolicyFileError
from gateway.reconciling.policy_file import examine_policies
from gateway.reconciling.surroundings import check_surroundings

app = typer.Typer(help="Nightly reconciliation: what should be gone is gone, and nothing else.", no_args_is_help=True)


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
    names, faults = _examine(path, settings)
    if json_:
        document = [{"line": fault.line, "key": fault.key, "text": fault.text} for fault in faults]
        print_json({"file": str(path), "fine": not faults, "policies": names, "faults": document})
    for fault in faults:
        note(fault.sentence(path))
    if faults:
        raise CommandError(Exit.BAD_INPUT, f"{len(faults)} faults; docs/reconcile.md has every key")
    note(f"{path}: fine; {len(names)} policies: {', '.join(names)}")


def _examine(path: Path, settings: Settings) -> tuple[list[str], list[Fault]]:
    """The policies that can be read, and all faults, by line."""
    try:
        policies, faults = examine_policies(path)
    except PolicyFileError as error:
        return [], list(error.faults)
    check_surroundings(policies, faults, list(load_accounts(settings)), os.environ)
    return list(policies.by_name), PolicyFileError(path, faults.found).faults


def policies_file(settings: Settings) -> Path:
    """Raises CommandError when none is set."""
    if settings.policies_file is None:
        raise CommandError(Exit.BAD_INPUT, "no policies file: name it, or set UNLINKER_POLICIES_FILE")
    return settings.policies_file
