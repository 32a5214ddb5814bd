"""The lines of a report's files: the input's cells as they came, then what became of them. Pure."""

from collections.abc import Sequence

from gateway.export import cell
from worker.unlinking.plan import PlanRow
from worker.unlinking.report import RowEnd

COLUMNS = (
    "row",  # within the run, from 0, as dead letters and the journal have it; "" for one that was left out of the plan
    "source",  # line of the input
    "relationtype",
    "parentid",
    "childid",
    "outcome",
    "proven",
    "by",  # who removed the link: us, unknown, not_us
    "seen_when_planned",  # yes: its plan saw it, and there was nothing to unlink when its turn came
    "evidence",
    "reason",
    "code",
    "message",
    "letter",  # what became of the dead letter: waits, replayed, discarded, forgotten
    "replayed_as",
)
INPUT_MARK = "input_"  # before a column of the input that is named like one of ours


def header(columns: Sequence[str]) -> list[str]:
    """The names of all columns, each once."""
    taken = set(COLUMNS)
    names = []
    for name in columns:
        unique = str(cell(name))
        while unique.strip().casefold() in taken:
            unique = INPUT_MARK + unique
        taken.add(unique.strip().casefold())
        names.append(unique)
    return [*names, *COLUMNS]


def line(width: int, number: int | None, row: PlanRow, end: RowEnd) -> list[object]:
    """One row. `width`: how many columns the input has; `number`: within the run, None for one that was left out."""
    given = [*row.input[:width], *[""] * (width - len(row.input))]
    relation = row.relation
    own = (number, row.source, relation.relationtype, relation.parentid, relation.childid, *_told(end))
    return [cell(value) for value in (*given, *own)]


def _told(end: RowEnd) -> tuple[object, ...]:
    proven = "" if end.proven is None else "yes" if end.proven else "no"
    return (
        end.outcome,
        proven,
        end.by,
        "yes" if end.seen_when_planned else "",
        end.evidence,
        end.reason,
        end.code,
        end.message,
        end.letter,
        end.replayed_as,
    )
