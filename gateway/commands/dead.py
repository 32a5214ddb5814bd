"""`unlinker dead`: list, show, replay, discard, export dead letters."""

import shlex
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from config.settings import load_settings
from gateway.commands import dead_moves
from gateway.composition import Doors, open_doors
from gateway.exits import CommandError, Exit
from gateway.expanding import expanding
from gateway.export import Format, Sink, write_documents
from gateway.filters import Json, read_filter
from gateway.output import ago, note, print_json, print_table
from worker.stores.letter import Filter, Letter
from worker.unlinking.errors import REASONS, Replay
from worker.unlinking.redriving import RedrivePolicy

app = typer.Typer(help="Dead letters: jobs that could not be done, kept until you say.", no_args_is_help=True)
RELATION = ("relationtype", "parentid", "childid", "account")
COLUMNS = ("id", "ended", "action", "reason", "code", *RELATION, "run", "message")
MESSAGE_SHOWN = 60  # characters, in a table


@app.command("list")
@expanding("wanted", read_filter)
def list_(
    wanted: Filter,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Letters on one page.")] = 50,
    cursor: Annotated[str, typer.Option("--cursor", help="Go on where the page before ended.")] = "",
    json_: Json = False,
) -> None:
    """Dead letters, newest first, with their number.

    Example: unlinker dead list --reason NotDeletable --older-than 7d
    """
    if cursor and not cursor.isdigit():
        raise CommandError(Exit.BAD_INPUT, f"--cursor {cursor!r}: give what the page before printed")
    letters = open_doors(load_settings()).dead_letters
    page, count = letters.page(wanted, cursor, limit), letters.count(wanted)
    documents = [letter.document() for letter in page.letters]
    if json_:
        print_json({"count": count, "cursor": page.cursor, "letters": documents, "totals": letters.totals()})
        return
    _note_totals(letters.totals())
    now = time.time()
    print_table(None, COLUMNS, [[_cell(document, name, now) for name in COLUMNS] for document in documents])
    note(f"{len(documents)} of {count}" + (f"; more: --cursor {page.cursor}" if page.cursor else ""))


def _note_totals(totals: dict[str, dict[str, int]]) -> None:
    counts = sorted(totals.get("reason", {}).items(), key=lambda pair: -pair[1])
    if counts:
        note("all letters: " + ", ".join(f"{name} {count}" for name, count in counts))


def _cell(document: dict[str, object], name: str, now: float) -> object:
    if name == "ended":
        return ago(document["ended_at"], now)
    if name == "message":
        return str(document["message"])[:MESSAGE_SHOWN]
    return document[name]


@app.command()
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the dead letter, which is the job's.")],
    json_: Json = False,
) -> None:
    """What happened to one job, and what to do, in plain words.

    Example: unlinker dead show 0b7c6a3e-...
    """
    letter = _found(open_doors(load_settings()), letter_id)
    document = letter.document() | explanation(letter.reason, restore=letter.restore)
    if json_:
        print_json(document)
        return
    now = time.time()
    print_table(None, ("", ""), [[name, value] for name, value in _told(letter, document, now)])
    attempts: Any = document["attempts"]
    if attempts:
        rows = [
            [
                ago(each["at"], now),
                each["verdict"],
                each["code"],
                f"{each['seconds']:.2f} s",
                each["request"],
                each["text"],
            ]
            for each in attempts
        ]
        print_table("attempts", ("when", "verdict", "code", "took", "request", "text"), rows)


def _told(letter: Letter, document: dict[str, object], now: float) -> list[tuple[str, object]]:
    code, message = document["code"], document["message"]
    names = f"{document['relationtype']} {document['parentid']} -> {document['childid']}"
    lines = [
        ("relation", names if letter.names_relation else "none that could be read"),
        ("wanted", "to be there again (an undo)" if letter.restore else "to be gone"),
        ("account", document["account"]),
        ("reason", document["reason"]),
        ("what happened", document["happened"]),
        ("read back", _read_back(document, now)),
        ("removed by", REMOVED_BY.get(str(document["by"]))),
        ("what to do", document["advice"]),
        ("sent", document["sent"]),
        ("its id had before", document["reused_of"]),
        ("text", message if code is None else f"{code}: {message}"),
        ("ended", ago(document["ended_at"], now)),
        ("asked for by", document["requested_by"]),
        ("because", document["wish_reason"]),
        ("run", document["run"]),
        ("row", document["row"]),
        ("workers that died with it", document["deaths"] or None),
        ("replay of", document["replay_of"]),
        ("by itself", _next_redrive(letter, now)),
        ("command", f'unlinker dead {_command(letter)} {shlex.quote(letter.id)} --because "..."'),
    ]
    return [(name, value) for name, value in lines if value not in (None, "")]


REMOVED_BY = {"unknown": "nobody knows; if it is gone, an earlier request of ours may have done it, and undo covers it"}
SHOWED = {
    "present": "it was there",
    "absent": "it was not there",
    "not_seen": "it was not to be seen, which proves nothing",
}


def _read_back(document: dict[str, object], now: float) -> str:
    """Whether the link was looked at before the job was called dead, and what that showed."""
    if not document["read_back"]:
        return "no: nobody looked whether the link is there"
    return f"yes, {ago(document['read_back_at'], now)}: {SHOWED[str(document['read_back_showed'])]}"


def _command(letter: Letter) -> str:
    return "discard" if letter.replay is Replay.USELESS or not letter.names_relation else "replay"


def _next_redrive(letter: Letter, now: float) -> str | None:
    if letter.replay is not Replay.TRANSIENT:
        return None
    at = RedrivePolicy().next_at(letter.ended_at, letter.redrives)
    if at is None or letter.deadline <= max(at, now):
        return f"tried {letter.redrives} times; not again"
    return f"tried {letter.redrives} times; again {'now' if at <= now else f'in {(at - now) / 60:.0f} min'}"


def explanation(reason: str, *, restore: bool = False) -> dict[str, object]:
    """What a reason means, in plain words. `restore`: the job was to bring a link back."""
    error = REASONS.get(reason)
    if error is None:
        return {"happened": "No reason was kept.", "advice": "Look at the attempts.", "replay": str(Replay.MENDED)}
    happened, advice = error.explain(restore=restore)
    return {"happened": happened, "advice": advice, "replay": str(error.replay)}


@app.command()
@expanding("wanted", read_filter)
def export(
    wanted: Filter,
    out: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Where to; standard output if left out.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.JSONL,
) -> None:
    """Write dead letters to a file, always with the same columns.

    Example: unlinker dead export letters.csv --format csv --reason NotDeletable
    """
    letters = open_doors(load_settings()).dead_letters
    documents = (letter.document() for some in letters.walk(wanted) for letter in some)
    count = write_documents(Sink(out, format_), list(Letter("", {}).document()), documents)
    note(f"{count} letters" + (f" in {out}" if out else ""))


def _found(doors: Doors, letter_id: str) -> Letter:
    letter = doors.dead_letters.letter(letter_id)
    if letter is not None:
        return letter
    job = doors.wishes.document(letter_id) or {}
    if "replayed_as" in job:
        raise CommandError(
            Exit.BAD_INPUT, f"{letter_id!r} was replayed: see `unlinker job {shlex.quote(str(job['replayed_as']))}`"
        )
    if "discarded_at" in job:
        raise CommandError(Exit.BAD_INPUT, f"{letter_id!r} was discarded; `unlinker audit` tells by whom and why")
    if "dropped_at" in job:
        raise CommandError(Exit.BAD_INPUT, f"{letter_id!r} was dropped as too old; `unlinker audit` tells of a file")
    raise CommandError(
        Exit.BAD_INPUT, f"no dead letter {letter_id!r}; `unlinker job {shlex.quote(letter_id)}` may tell more"
    )


app.command()(dead_moves.replay)
app.command()(dead_moves.discard)
app.command()(dead_moves.redrive)
