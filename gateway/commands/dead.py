"""`unlinker dead`: list, show, replay, discard, export dead letters."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from config.settings import load_settings
from gateway import operator
from gateway.composition import open_doors
from gateway.exits import CommandError, Exit
from gateway.expanding import expanding
from gateway.export import Format, Sink, write_documents
from gateway.filters import Json, read_filter
from gateway.moving import Moved, Order, Step, move, read_order
from gateway.output import ago, note, print_json, print_table
from worker.stores.audit import Act
from worker.stores.dead_letters import DeadLetters, Filter, Letter
from worker.unlinking.errors import REASONS, Replay

app = typer.Typer(help="Dead letters: jobs that could not be done, kept until you say.", no_args_is_help=True)
COLUMNS = ("id", "ended", "reason", "code", "relationtype", "parentid", "childid", "account", "run", "message")
MESSAGE_SHOWN = 60  # characters, in a table
USELESS = frozenset(name for name, error in REASONS.items() if error.replay is Replay.USELESS)

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="These letters; else those the filter fits.")]


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
    letter = _found(open_doors(load_settings()).dead_letters, letter_id)
    document = letter.document() | explanation(letter.reason)
    if json_:
        print_json(document)
        return
    now = time.time()
    print_table(None, ("", ""), [[name, value] for name, value in _told(document, now)])
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


def _told(document: dict[str, object], now: float) -> list[tuple[str, object]]:
    code, message = document["code"], document["message"]
    lines = [
        ("relation", f"{document['relationtype']} {document['parentid']} -> {document['childid']}"),
        ("account", document["account"]),
        ("reason", document["reason"]),
        ("what happened", document["happened"]),
        ("what to do", document["advice"]),
        ("text", message if code is None else f"{code}: {message}"),
        ("ended", ago(document["ended_at"], now)),
        ("asked for by", document["requested_by"]),
        ("because", document["wish_reason"]),
        ("run", document["run"]),
        ("row", document["row"]),
        ("workers that died with it", document["deaths"] or None),
        ("replay of", document["replay_of"]),
    ]
    return [(name, value) for name, value in lines if value not in (None, "")]


def explanation(reason: str) -> dict[str, object]:
    """What a reason means, in plain words."""
    error = REASONS.get(reason)
    if error is None:
        return {"happened": "No reason was kept.", "advice": "Look at the attempts.", "replay": str(Replay.MENDED)}
    return {"happened": error.happened, "advice": error.advice, "replay": str(error.replay)}


@app.command()
@expanding("wanted", read_filter)
@expanding("order", read_order)
def replay(
    wanted: Filter,
    order: Order,
    ids: Ids = None,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="Letters a second.")] = 200.0,
    force: Annotated[bool, typer.Option("--force", help="Those too that cannot succeed as they are.")] = False,
    json_: Json = False,
) -> None:
    """Send dead letters again as new jobs, each exactly once, however often this is stopped and run again.

    Example: unlinker dead replay --reason MissingRight --because "right granted" --all
    """
    doors = open_doors(load_settings())
    chosen = Choice(doors.dead_letters, wanted, ids, frozenset() if force else USELESS)
    _carry_out("replay", chosen, order, Means(doors.replayer.replay, rate, json=json_))


@app.command()
@expanding("wanted", read_filter)
@expanding("order", read_order)
def discard(wanted: Filter, order: Order, ids: Ids = None, json_: Json = False) -> None:
    """Give dead letters up: they leave the list; their jobs stay known for eight days.

    Example: unlinker dead discard --reason UnknownRelationType --because "sender mended" --all
    """
    letters = open_doors(load_settings()).dead_letters
    chosen = Choice(letters, wanted, ids, frozenset())
    _carry_out("discard", chosen, order, Means(lambda some: letters.discard([x.id for x in some]), None, json=json_))


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


@dataclass(frozen=True, slots=True)
class Choice:
    """The letters a command is about."""

    letters: DeadLetters
    wanted: Filter
    ids: list[str] | None
    leave_out: frozenset[str]  # reasons

    def __post_init__(self) -> None:
        if self.ids and self.wanted.document():
            raise CommandError(Exit.BAD_INPUT, "name letters or give a filter, not both")

    def document(self) -> dict[str, object]:
        """For the audit."""
        return {"ids": self.ids} if self.ids else self.wanted.document()

    def count(self) -> tuple[int, int]:
        """How many it is about, and how many are left out."""
        if self.ids:
            out = sum(letter.reason in self.leave_out for letter in self._named())
            return len(self.ids) - out, out
        reasons = self.leave_out if self.wanted.reason is None else self.leave_out & {self.wanted.reason}
        out = sum(self.letters.count(replace(self.wanted, reason=name)) for name in reasons)
        return self.letters.count(self.wanted) - out, out

    def walk(self) -> Iterator[Sequence[Letter]]:
        """The letters in portions."""
        for some in [self._named()] if self.ids else self.letters.walk(self.wanted):
            yield [letter for letter in some if letter.reason not in self.leave_out]

    def _named(self) -> list[Letter]:
        return [_found(self.letters, letter_id) for letter_id in self.ids or ()]


@dataclass(frozen=True, slots=True)
class Means:
    """How a command moves letters, and tells of it."""

    step: Step
    rate: float | None
    json: bool


def _carry_out(action: str, chosen: Choice, order: Order, means: Means) -> None:
    count, left_out = chosen.count()
    if left_out:
        note(f"{left_out} letters are left out: they cannot succeed as they are (--force takes them too)")
    if order.dry_run:
        _answer(action, Moved(skipped=left_out), count, means)
        return
    because = order.check(action, count)
    audit = open_doors(load_settings()).audit
    act = Act(action=f"dead {action}", by=operator.name(), because=because, wanted=chosen.document())
    audit.note(act)
    moved = move(chosen.walk(), means.step, means.rate, count)
    moved.skipped = left_out
    audit.note(replace(act, count=moved.count))
    _answer(action, moved, count, means)
    if moved.stopped:
        note("stopped; the same command goes on with the rest")
        raise typer.Exit(Exit.NOT_ALL_SUCCEEDED)


def _answer(action: str, moved: Moved, count: int, means: Means) -> None:
    if means.json:
        print_json(
            {"action": action, "count": count, "moved": moved.count, "gone": moved.gone, "left_out": moved.skipped}
        )
        return
    gone = f", {moved.gone} were gone already" if moved.gone else ""
    note(f"{action}: {moved.count} of {count} letters{gone}")


def _found(letters: DeadLetters, letter_id: str) -> Letter:
    letter = letters.letter(letter_id)
    if letter is None:
        raise CommandError(Exit.BAD_INPUT, f"no dead letter {letter_id!r}; `unlinker job {letter_id}` tells more")
    return letter
