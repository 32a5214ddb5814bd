"""`python -m gateway.reasons_page`: writes the table of docs/dead-letters.md anew, from the code's own tables."""

import sys
from collections.abc import Iterable
from pathlib import Path

from worker.onoffice.codes import CODES, Reason
from worker.onoffice.create_codes import create_rule_for
from worker.unlinking.errors import REASONS, UnlinkError

PAGE = Path("docs/dead-letters.md")
BEGIN, END = "<!-- reasons: written by python -m gateway.reasons_page -->", "<!-- end of reasons -->"
HEAD = "| reason | codes | what happened | what to do | replay |\n|---|---|---|---|---|\n"


def table() -> str:
    """One line per reason."""
    return HEAD + "".join(_line(name, error) for name, error in REASONS.items())


def _line(name: str, error: type[UnlinkError]) -> str:
    cells = (
        f"`{name}`",
        _codes(name),
        *map(_with_undo, error.explain(), error.explain(restore=True)),
        str(error.replay),
    )
    return f"| {' | '.join(cells)} |\n"


def _codes(reason: str) -> str:
    """Of deletes; of creates, for a reason that only those have."""
    if reason == Reason.UNKNOWN_CODE:
        return "every other that halts no account"
    found = spans(code for code, rule in CODES.items() if rule.reason == reason)
    return found or spans(code for code in CODES if create_rule_for(code).reason == reason)


def _with_undo(plain: str, restoring: str) -> str:
    return plain if plain == restoring else f"{plain} In an undo: {restoring}"


def spans(numbers: Iterable[int]) -> str:
    """Rising numbers for people: "3 to 7, 9"."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][-1] == number - 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(f"{span[0]} to {span[-1]}" if len(span) > 1 else str(span[0]) for span in found)


def renewed(page: str) -> str:
    """The page with the table as it is now. Raises ValueError if a mark is missing."""
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:begin]}\n\n{table()}\n{page[end:]}"


def main() -> None:
    """Write it, in the folder of the repository."""
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n")


if __name__ == "__main__":
    main()
