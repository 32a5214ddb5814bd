"""The command line: `unlinker`. Every expected failure ends in one line on stderr and an exit code of the contract."""

import sys

import redis
import typer
from typer.exceptions import TyperException

from config.errors import ConfigurationError
from gateway.commands import (
    accounts,
    bulk_plan,
    bulk_report,
    bulk_run,
    dead,
    doctor,
    history,
    jobs,
    processes,
    reconcile,
    reconcile_status,
    rejected,
    undo_plan,
    undo_run,
)
from gateway.exits import CommandError, Exit
from gateway.output import note
from worker.stores.nights import NightLost
from worker.stores.refusals import explain
from worker.unlinking.plan import PlanRefused

INTERRUPTED = 130  # what Typer makes of Ctrl-C

app = typer.Typer(
    help="Deletes relations in onOffice enterprise: no job lost, no outcome guessed, no limit exceeded.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(jobs.unlink)
app.command()(jobs.job)
app.command()(jobs.cancel)
app.add_typer(dead.app, name="dead")
app.add_typer(rejected.app, name="rejected")
app.add_typer(history.journal, name="journal")
app.command()(history.audit)
app.add_typer(accounts.app, name="accounts")
bulk = typer.Typer(
    help="""Bulk clean-ups: planned, braked, resumable, undoable.

    In this order: plan FILE looks at every link and writes a plan; apply PLAN deletes what it says; status RUN --follow
    joins it again; report RUN says what became of every row; undo RUN brings back what was deleted.

    Example: unlinker bulk plan links.csv --because "ticket 4711" && unlinker bulk apply links.csv.plan.jsonl
    """,
    no_args_is_help=True,
)
bulk.command()(bulk_plan.plan)
for command in (bulk_run.apply, bulk_run.status, bulk_run.pause, bulk_run.resume, bulk_run.cancel):
    bulk.command()(command)
bulk.command()(bulk_report.report)
bulk.command("undo")(undo_run.undo_run)
app.add_typer(bulk, name="bulk")
undo = typer.Typer(help="Bring deleted links back, as far as onOffice allows.", no_args_is_help=True)
undo.command()(undo_plan.plan)
undo.command()(undo_run.apply)
app.add_typer(undo, name="undo")
reconcile.app.command()(reconcile_status.status)
app.add_typer(reconcile.app, name="reconcile")
app.command()(doctor.doctor)
app.command()(processes.worker)
app.command()(processes.scheduler)
app.command()(processes.sandbox)


def main() -> None:
    """Entry point of the `unlinker` command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    try:
        ended = int(app(arguments, standalone_mode=False) or Exit.DONE)
        return _stopped() if ended == INTERRUPTED else ended
    except TyperException as error:
        note(error.format_message() + _help_hint(error))
        return Exit.BAD_INPUT
    except typer.Abort:
        return _stopped()
    except ConfigurationError as error:
        for fault in error.faults:
            note(fault)
        return Exit.BAD_INPUT
    except PlanRefused as refused:
        note(str(refused))
        return Exit.BAD_INPUT
    except CommandError as error:
        note(str(error))
        return error.code
    except NightLost as error:
        note(f"{error}; `unlinker reconcile status` tells how it stands")
        return Exit.NOT_ALL_SUCCEEDED
    except redis.exceptions.RedisError as error:
        note(f"{explain(error)} (`unlinker doctor` tells more)")
        return Exit.UNREACHABLE


def _stopped() -> int:
    note("stopped")
    return Exit.NOT_ALL_SUCCEEDED


def _help_hint(error: TyperException) -> str:
    context = getattr(error, "ctx", None)  # usage errors have one
    return f" (`{context.command_path} --help` tells more)" if context is not None else ""


if __name__ == "__main__":
    main()
