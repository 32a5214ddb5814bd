"""`unlinker accounts`: list, check, halt, resume."""

import asyncio
import time
from typing import Annotated, Any

import typer

from config.accounts import load_accounts
from config.settings import load_settings
from gateway import operator
from gateway.api_checks import check_credentials
from gateway.composition import connect, desk_options, find_urls, open_doors
from gateway.exits import CommandError, Exit
from gateway.interrupting import uninterrupted
from gateway.output import note, print_json, print_table
from worker.stores import keys
from worker.stores.audit import Act, Audit
from worker.stores.halts import ALL, Halt, HaltedBy, decode, encode

app = typer.Typer(help="Accounts: who may send, and who must wait.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")]
Name = Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="Name of the account.")]
All = Annotated[bool, typer.Option("--all", help="Every account.")]


@app.command("list")
def list_(json_: Json = False) -> None:
    """Every account with its limits, what is parked, and whether it is halted and why.

    Example: unlinker accounts list
    """
    settings = load_settings()
    accounts = load_accounts(settings)
    doors = open_doors(settings)
    stored: Any = doors.client.hgetall(keys.HALTS)
    halts = {name.decode(): decode(value) for name, value in stored.items()}
    documents = [
        {
            "account": name,
            "requests_per_second": account.requests_per_second,
            "actions_per_request": account.actions_per_request,
            "max_in_flight": account.max_in_flight,
            "parked": doors.queue.llen(keys.parked(name)),
            "halted": _halt_document(halts.get(name) or halts.get(ALL)),
        }
        for name, account in accounts.items()
    ]
    if json_:
        print_json(documents)
        return
    columns = ("account", "requests_per_second", "actions_per_request", "max_in_flight", "parked", "halted")
    rows = [[*list(document.values())[:-1], _halt_text(document["halted"])] for document in documents]
    print_table(None, columns, rows)
    if not accounts:
        note("no account is set; set UNLINKER_ONOFFICE_TOKEN and UNLINKER_ONOFFICE_SECRET, or UNLINKER_ACCOUNTS_FILE")


def _halt_document(halt: Halt | None) -> dict[str, object] | None:
    if halt is None:
        return None
    return {"by": str(halt.by), "why": halt.why, "code": halt.code, "since": halt.since}


def _halt_text(document: object) -> str:
    return f"{document['by']}: {document['why']}" if isinstance(document, dict) else "no"


@app.command()
def check(account: Name = None, json_: Json = False) -> None:
    """Try the credentials of one account, or of all, with a harmless read.

    Example: unlinker accounts check default
    """
    settings = load_settings()
    accounts = load_accounts(settings)
    chosen = _chosen(account, list(accounts))
    urls = find_urls(settings)
    found = [asyncio.run(check_credentials(desk_options(settings, urls, accounts[name]))) for name in chosen]
    if json_:
        print_json([finding.document() for finding in found])
    else:
        print_table(None, ("account", "result", "what to do"), [[f.name, f.text, f.advice] for f in found])
    if not all(finding.fine for finding in found):
        raise typer.Exit(Exit.NOT_ALL_SUCCEEDED)


@app.command()
def halt(
    account: Name = None,
    all_: All = False,
    reason: Annotated[str, typer.Option(help="Why; shown to whoever waits.")] = "halted by an operator",
) -> None:
    """Send nothing more for an account; jobs wait, none is lost. --all stops every deletion within a second.

    Example: unlinker accounts halt --all --reason "wrong import"
    """
    name = _one(account, all_=all_)
    client = connect(find_urls(load_settings()).records)
    with uninterrupted():
        client.hset(keys.HALTS, name, encode(Halt(by=HaltedBy.OPERATOR, why=reason, since=time.time())))
        Audit(client).note(Act(action="halt", by=operator.name(), because=reason, wanted={"account": name}, count=1))
        note(f"{'every account' if all_ else f'account {name}'} is halted; release with `unlinker accounts resume`")


@app.command()
def resume(
    account: Name = None,
    all_: All = False,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit.")] = "",
) -> None:
    """Lift a halt, whoever made it. Parked jobs come back in portions. --all lifts every halt.

    Example: unlinker accounts resume default
    """
    name = _one(account, all_=all_)
    client = connect(find_urls(load_settings()).records)
    with uninterrupted():
        if all_:
            client.delete(keys.HALTS)
        elif not client.hdel(keys.HALTS, name):
            note(f"account {name} was not halted by its own name" + _hint_all(client.hexists(keys.HALTS, ALL)))
            return
        Audit(client).note(Act(action="resume", by=operator.name(), because=reason, wanted={"account": name}, count=1))
        note("resumed")


def _hint_all(all_halted: object) -> str:
    return "; every account is: use --all" if all_halted else ""


def _one(account: str | None, *, all_: bool) -> str:
    if (account is None) == (not all_):
        raise CommandError(Exit.BAD_INPUT, "name one account, or say --all")
    return ALL if account is None else account


def _chosen(account: str | None, known: list[str]) -> list[str]:
    if account is None:
        return known
    if account not in known:
        raise CommandError(Exit.BAD_INPUT, f"account {account!r} is not set; known: {', '.join(known) or 'none'}")
    return [account]
