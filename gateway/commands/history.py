"""`unlinker journal` and `unlinker audit`: what was done to links, and what operators did."""

import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from config.settings import load_settings
from gateway.composition import open_doors
from gateway.expanding import expanding
from gateway.export import Format, Sink, write_documents
from gateway.filters import Json, Since, moment, read_wanted
from gateway.output import ago, note, print_json, print_table
from worker.stores.journal import Deed, Wanted
from worker.stores.journal_format import Intended
from worker.unlinking.job import Relation

journal = typer.Typer(help="What was sent to be deleted or restored, and how it ended.", no_args_is_help=True)
BOUNDS = {"since", "before", "job", "run"}  # what keeps a look at the journal short
DAY = 86400  # seconds
COLUMNS = (
    *("job", "sent", "action", "relationtype", "parentid", "childid", "account", "outcome", "by"),
    *("requested_by", "run"),
)


@journal.command("list")
@expanding("wanted", read_wanted)
def list_(
    wanted: Wanted,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The last so many.")] = 50,
    json_: Json = False,
) -> None:
    """Deletions, in the order in which they ended; what has no known end comes last. Of the last 24 hours, unless said.

    Example: unlinker journal list --since 12h --type calendar:address
    """
    if not BOUNDS & set(wanted.document()):
        wanted = replace(wanted, since=time.time() - DAY)
    numbered = enumerate(open_doors(load_settings()).journal.deeds(wanted), start=1)
    found = deque(numbered, maxlen=limit)
    documents = [deed.document() for _, deed in found]
    if json_:
        print_json(documents)
    else:
        now = time.time()
        rows = [[ago(each["sent_at"], now) if name == "sent" else each[name] for name in COLUMNS] for each in documents]
        print_table(None, COLUMNS, rows)
    number = found[-1][0] if found else 0
    if number > limit:
        note(f"the last {limit} of {number}; --limit shows more, `unlinker journal export` all")


@journal.command()
@expanding("wanted", read_wanted)
def export(
    wanted: Wanted,
    out: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Where to; standard output if left out.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.JSONL,
) -> None:
    """Write deletions to a file, always with the same columns.

    Example: unlinker journal export night.csv --format csv --since 24h
    """
    deeds = open_doors(load_settings()).journal.deeds(wanted)
    count = write_documents(Sink(out, format_), _columns(), (deed.document() for deed in deeds))
    note(f"{count} deletions" + (f" in {out}" if out else ""))


def _columns() -> list[str]:
    nothing = Intended(id="", at=0, account="", relation=Relation("", 0, 0))
    return list(Deed(intended=nothing).document())


def audit(
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The last so many.")] = 100,
    json_: Json = False,
) -> None:
    """What operators did: who, when, to what, how many, and why.

    Example: unlinker audit --since 7d
    """
    after = moment("--since", since, time.time())
    acts = [act.document() for act in open_doors(load_settings()).audit.acts(after, limit)]
    if json_:
        print_json(acts)
        return
    now = time.time()
    rows = [
        [ago(each["at"], now), each["by"], each["action"], each["filter"], each["count"], each["because"]]
        for each in acts
    ]
    print_table(None, ("when", "who", "what", "which", "count", "because"), rows)
