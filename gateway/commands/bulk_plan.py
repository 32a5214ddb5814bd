"""`unlinker bulk plan`: what a clean-up would delete, in a file, with what is there of it. Touches nothing."""

import asyncio
import time
import uuid
from pathlib import Path
from typing import Annotated

import redis
import typer

from config.accounts import DEFAULT
from config.settings import Settings, load_settings
from gateway import operator
from gateway.composition import account_named, desk_options, find_urls, open_doors, type_rules
from gateway.exits import CommandError, Exit
from gateway.expanding import expanding
from gateway.filters import Json, duration
from gateway.output import note, print_json, print_table
from gateway.planning.csv_source import read_delimiter
from gateway.planning.making import Made, PlanMaker, Reading, Wish, notes_on
from gateway.planning.rules import Rule, Where, read_type, rule_of_ids, rule_of_records
from gateway.planning.text import STDIN
from gateway.running import target
from worker.stores.audit import Act
from worker.stores.refusals import explain
from worker.unlinking.plan import Action, PlanDraft, PlanHead, Standing

LONGEST_LIFE = 31 * 86_400.0  # seconds
SHOWN = (
    Standing.PRESENT,
    Standing.UNCHECKED,
    Standing.UNKNOWN,
    Standing.ABSENT,
    Standing.NOT_SEEN,
    Standing.REFUSED,
)


def read_reading(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="CSV or JSON lines, .gz too; - for standard input.")
    ] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Relation type of a rule, or of all rows.")] = None,
    parents: Annotated[
        str | None, typer.Option("--parents", metavar="IDS|FILE", help="Rule: all links below these records.")
    ] = None,
    children: Annotated[
        str | None, typer.Option("--children", metavar="IDS|FILE", help="Rule: all links above these records.")
    ] = None,
    estates: Annotated[
        Where | None,
        typer.Option("--estates-where", metavar="FIELD OP VALUE", help="Rule: all links of the estates that fit."),
    ] = None,
    addresses: Annotated[
        Where | None,
        typer.Option("--addresses-where", metavar="FIELD OP VALUE", help="Rule: all links of the addresses that fit."),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", help="Of the CSV: a character, tab or pipe. Else it is guessed.")
    ] = None,
    encoding: Annotated[str | None, typer.Option("--encoding", help="Of the file: utf-8, cp1252, ...")] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Plan the good rows although there are bad ones.")
    ] = False,
    bad_rows: Annotated[
        Path | None, typer.Option("--bad-rows", metavar="FILE", help="Where bad rows are listed. [FILE.bad.csv]")
    ] = None,
) -> Reading:
    """The options that say what to plan. Raises CommandError."""
    rules = _rules(type_, {"--parents": parents, "--children": children}, {"estate": estates, "address": addresses})
    if (file is not None) + len(rules) != 1:
        raise CommandError(
            Exit.BAD_INPUT,
            "give one thing to plan: a FILE, or --type with one of --parents, --children, --estates-where, "
            "--addresses-where",
        )
    return Reading(
        file=file,
        rule=rules[0] if rules else None,
        one_type=read_type(type_).short if file is not None and type_ else None,
        delimiter=read_delimiter(delimiter),
        encoding=encoding,
        skip_bad_rows=skip_bad_rows,
        bad_rows=bad_rows,
    )


def _rules(type_: str | None, ids: dict[str, str | None], wheres: dict[str, Where | None]) -> list[Rule]:
    found = [rule_of_ids(read_type(type_), option, value) for option, value in ids.items() if value is not None]
    return found + [rule_of_records(read_type(type_), resource, where) for resource, where in wheres.items() if where]


@expanding("reading", read_reading)
def plan(
    reading: Reading,
    out: Annotated[Path | None, typer.Option("--out", help="The plan's file; .gz packs it. [FILE.plan.jsonl]")] = None,
    account: Annotated[str, typer.Option("--account", help="Whose links.")] = DEFAULT,
    because: Annotated[str, typer.Option("--because", help="Why; kept with the plan.")] = "",
    expires_in: Annotated[str, typer.Option("--expires-in", help="How long it may be applied: 30m, 12h, 7d.")] = "24h",
    check: Annotated[bool, typer.Option("--check/--no-check", help="Look at each link in onOffice.")] = True,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Plan links too that could not be looked at.")
    ] = False,
    json_: Json = False,
) -> None:
    """Say what a clean-up would delete, and write it down for `bulk apply`. Deletes nothing.

    Example: unlinker bulk plan links.csv --because "ticket 4711"
    """
    settings = load_settings()
    chosen = account_named(settings, account)
    made_at = time.time()
    path = out or _place(reading, made_at)
    draft = PlanDraft(
        id=str(uuid.uuid4()),
        action=Action.UNLINK,
        account=account,
        made_at=made_at,
        expires_at=made_at + duration("--expires-in", expires_in, LONGEST_LIFE),
        made_by=operator.name(),
        because=because,
        source=reading.rule.words if reading.rule else str(reading.file),
        target=target(settings, chosen),
    )
    wish = Wish(
        out=path,
        draft=draft,
        reading=reading,
        desk=desk_options(settings, find_urls(settings), chosen),
        rules=type_rules(settings),
        check=check,
        allow_unknown=allow_unknown,
    )
    made = asyncio.run(PlanMaker(wish).make())
    _tell(made, path, json_=json_)
    if made.head is None:
        raise typer.Exit(Exit.BAD_INPUT)
    keep_record(settings, "bulk plan", made.head, path)


def _place(reading: Reading, now: float) -> Path:
    if reading.file is None or reading.file == STDIN:
        return Path(time.strftime("unlinker-%Y%m%d-%H%M%S.plan.jsonl", time.localtime(now)))
    return Path(f"{reading.file}.plan.jsonl")


def keep_record(settings: Settings, action: str, head: PlanHead, path: Path) -> None:
    """In the audit. A plan is good without it."""
    wanted: dict[str, object] = {
        "plan": head.id,
        "file": str(path.resolve()),
        "account": head.account,
        "source": head.source,
    }
    act = Act(action=action, by=head.made_by, because=head.because, wanted=wanted, count=head.rows)
    try:
        open_doors(settings).audit.note(act)
    except redis.exceptions.RedisError as error:
        note(f"the plan is not in the audit: {explain(error)}")


def _tell(made: Made, path: Path, *, json_: bool) -> None:
    head = made.head
    if json_:
        print_json(_document(made, path))
    elif head is not None:
        _print_counts(head)
    for line in _lines(made):
        note(line)
    if head is not None:
        note(f"{head.rows} links would be deleted, {head.left_out} rows are left out; nothing was touched")
        note(f"next: unlinker bulk apply {path}")


def _lines(made: Made) -> list[str]:
    lines = list(made.notes)
    if made.bad_rows:
        then = "left out" if made.head else "nothing is planned; mend them, or plan the rest with --skip-bad-rows"
        lines += [f"{made.bad_rows} bad rows, all of them in {made.bad_rows_file}: {then}"]
        lines += [f"  {each}" for each in made.first_bad]
    if made.repeats.count:
        lines.append(f"{made.repeats.count} rows repeat others and count once ({made.repeats.example})")
    lines += [f"{kind}: left alone, {why}" for kind, why in made.refused.items()]
    lines += [f"WARNING: {each}" for each in made.unread]
    if made.head:
        lines += notes_on(kind for kind in made.head.counts if kind not in made.refused)
    return lines


def _print_counts(head: PlanHead) -> None:
    shown = [each for each in SHOWN if any(counts.get(each) for counts in head.counts.values())]
    rows = [
        [kind, *(counts.get(each, 0) for each in shown), sum(counts.values())] for kind, counts in head.counts.items()
    ]
    print_table(None, ("relationtype", *(each.value for each in shown), "rows"), rows)


def _document(made: Made, path: Path) -> dict[str, object]:
    head = made.head
    found: dict[str, object] = {
        "plan": None if head is None else str(path),
        "bad_rows": made.bad_rows,
        "bad_rows_file": made.bad_rows_file and str(made.bad_rows_file),
        "duplicates": made.repeats.count,
        "refused": made.refused,
        "unread": made.unread,
        "notes": made.notes,
    }
    if head is not None:
        found |= {
            name: getattr(head, name)
            for name in ("id", "account", "source", "because", "made_at", "expires_at", "rows", "left_out", "counts")
        }
        found |= {"existing": head.existing, "sha256": head.sha256}
    return found
