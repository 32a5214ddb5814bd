"""`unlinker undo plan`: which deleted links an undo would bring back, in a file. Touches nothing."""

import asyncio
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from config.settings import Settings, load_settings
from gateway import operator
from gateway.commands.bulk_plan import LONGEST_LIFE, keep_record
from gateway.composition import account_named, desk_options, find_urls, open_doors
from gateway.exits import CommandError, Exit
from gateway.expanding import expanding
from gateway.filters import Json, duration, read_wanted
from gateway.output import note, print_json
from gateway.planning.link_table import LinkTable, tabling
from gateway.planning.undo_making import UndoMade, UndoWish, make_undo_plan, read_deeds
from gateway.planning.undo_telling import document, lines, others_of, print_totals
from gateway.running import target
from worker.stores.journal import Wanted
from worker.unlinking.plan import LIFE, Action, PlanDraft
from worker.unlinking.undoing import Undoing

OnlyCertain = Annotated[
    bool, typer.Option("--only-certain", help="Leave out links of which nobody knows whether unlinker removed them.")
]


@expanding("wanted", read_wanted)
def plan(
    wanted: Wanted,
    out: Annotated[
        Path | None, typer.Option("--out", help="The plan's file; .gz packs it. Else undo-DATE-TIME.plan.jsonl.")
    ] = None,
    because: Annotated[str, typer.Option("--because", help="Why; kept with the plan.")] = "",
    expires_in: Annotated[str, typer.Option("--expires-in", help="How long it may be applied: 30m, 12h, 7d.")] = "24h",
    without_confirmation: Annotated[
        bool, typer.Option("--without-confirmation", help="Do not set the participants' confirmation status.")
    ] = False,
    only_certain: OnlyCertain = False,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Look at each link in onOffice.")] = True,
    json_: Json = False,
) -> None:
    """Say which deleted links an undo would bring back, and what cannot be, for `undo apply`. Touches nothing.

    Example: unlinker undo plan --run 0b7c6a3e-... --because "wrong list"
    """
    _require_choice(wanted)
    life = duration("--expires-in", expires_in, LONGEST_LIFE)
    terms = UndoTerms(
        out=out,
        because=because,
        life=life,
        with_confirmation=not without_confirmation,
        only_certain=only_certain,
        check=check,
    )
    planned = plan_undo(wanted, terms)
    if json_:
        print_json(document(planned.made, planned.undoing, planned.path))
    tell(planned, table=not json_)
    if planned.made.head is None:
        raise typer.Exit(Exit.NOT_ALL_SUCCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoTerms:
    """How an undo is planned."""

    out: Path | None = None
    because: str = ""
    life: float = LIFE  # seconds the plan may be applied
    with_confirmation: bool = True
    only_certain: bool = False  # leave out what nobody knows us to have removed
    check: bool = True


@dataclass(frozen=True, slots=True)
class Planned:
    """What planning came to."""

    made: UndoMade
    undoing: Undoing
    path: Path


def plan_undo(wanted: Wanted, terms: UndoTerms) -> Planned:
    """Write the plan of an undo, and note it in the audit. Raises CommandError."""
    settings = load_settings()
    with tabling() as links:
        undoing = Undoing(links, with_confirmation=terms.with_confirmation, only_certain=terms.only_certain)
        read_deeds(open_doors(settings).journal, wanted, undoing)
        account = _one_account(links, undoing, wanted)
        now = time.time()
        draft = PlanDraft(
            id=str(uuid.uuid4()),
            action=Action.RESTORE,
            account=account,
            made_at=now,
            expires_at=now + terms.life,
            made_by=operator.name(),
            because=terms.because,
            source=_words(wanted),
        )
        path = terms.out or Path(time.strftime("undo-%Y%m%d-%H%M%S.plan.jsonl", time.localtime(now)))
        made = asyncio.run(make_undo_plan(links, _wish(settings, path, draft, check=terms.check)))
    if made.head is not None:
        keep_record(settings, "undo plan", made.head, path)
    return Planned(made, undoing, path)


def tell(planned: Planned, *, table: bool) -> None:
    """What comes back, and what does not."""
    if table:
        print_totals(planned.made)
    for line in lines(planned.made, planned.undoing, planned.path):
        note(line)


def _wish(settings: Settings, path: Path, draft: PlanDraft, *, check: bool) -> UndoWish:
    account = account_named(settings, draft.account)
    aimed = replace(draft, target=target(settings, account))
    return UndoWish(out=path, draft=aimed, desk=desk_options(settings, find_urls(settings), account), check=check)


def _require_choice(wanted: Wanted) -> None:
    if not set(wanted.document()) - {"account"}:
        raise CommandError(
            Exit.BAD_INPUT,
            "say which deletions, for example --run RUN or --since 2h; also --job, --before, --type, --parent, --child",
        )


def _one_account(links: LinkTable, undoing: Undoing, wanted: Wanted) -> str:
    accounts = links.accounts()
    if not accounts:
        others = others_of(undoing)
        fits = f"what fits removed nothing ({others})" if others else "no deletion in the journal fits"
        raise CommandError(Exit.BAD_INPUT, f"nothing to undo: {fits}; `unlinker journal list` shows what was done")
    if len(accounts) > 1:
        counts = ", ".join(f"{name} ({count})" for name, count in accounts.items())
        raise CommandError(
            Exit.BAD_INPUT,
            f"links of {len(accounts)} accounts fit: {counts}. A plan has one account: add --account {min(accounts)}",
        )
    return wanted.account or min(accounts)


def _words(wanted: Wanted) -> str:
    chosen = (f"{name} {value}" for name, value in wanted.document().items() if name != "account")
    return "undo of " + ", ".join(chosen)
