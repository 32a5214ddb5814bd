"""Which dead letters a command is about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.exits import CommandError, Exit
from worker.stores.dead_letters import DeadLetters
from worker.stores.letter import Filter, Letter
from worker.stores.wishes import Wishes

MOVED = ("replayed_as", "discarded_at", "dropped_at")  # of a job whose letter somebody took out


@dataclass(frozen=True, slots=True)
class Named:
    """Letters named by their ids."""

    letters: tuple[Letter, ...]
    gone: int  # were letters before; somebody replayed or discarded them


@dataclass(frozen=True, slots=True)
class Choice:
    """Letters a command is about: named ones, or those that fit a filter."""

    letters: DeadLetters
    wanted: Filter
    named: Named | None
    leave_out: frozenset[str]  # reasons
    begin: str  # cursor: what ended later is not meant, so that no more is moved than was counted

    def document(self) -> dict[str, object]:
        """For the audit."""
        if self.named is None:
            return self.wanted.document()
        return {"ids": [letter.id for letter in self.named.letters]}

    def count(self) -> tuple[int, int]:
        """How many it is about, and how many are left out."""
        if self.named is not None:
            out = sum(letter.reason in self.leave_out for letter in self.named.letters)
            return len(self.named.letters) - out, out
        reasons = self.leave_out if self.wanted.reason is None else self.leave_out & {self.wanted.reason}
        out = sum(self.letters.count(replace(self.wanted, reason=name), self.begin) for name in reasons)
        return self.letters.count(self.wanted, self.begin) - out, out

    def walk(self) -> Iterator[Sequence[Letter]]:
        """The letters in portions."""
        if self.named is not None:
            yield [letter for letter in self.named.letters if letter.reason not in self.leave_out]
            return
        for wanted in self._filters():
            yield from self.letters.walk(wanted, self.begin)

    def _filters(self) -> list[Filter]:
        """By reason, so that what is left out need not be read."""
        if not self.leave_out:
            return [self.wanted]
        there = self.letters.totals().get("reason", {})
        reasons = [name for name in there if name not in self.leave_out and self.wanted.reason in (None, name)]
        return [replace(self.wanted, reason=name) for name in sorted(reasons)]


def name_letters(letters: DeadLetters, wishes: Wishes, ids: Sequence[str]) -> Named:
    """Letters by their ids. Raises CommandError for an id that never was a letter's, before anything is done."""
    found: list[Letter] = []
    gone, unknown = 0, []
    for letter_id in dict.fromkeys(ids):
        letter = letters.letter(letter_id)
        if letter is not None:
            found.append(letter)
        elif any(name in (wishes.document(letter_id) or {}) for name in MOVED):
            gone += 1
        else:
            unknown.append(letter_id)
    if unknown:
        raise CommandError(Exit.BAD_INPUT, f"no dead letters: {', '.join(map(repr, unknown))}; nothing was done")
    return Named(tuple(found), gone)


def choose(
    letters: DeadLetters, wishes: Wishes, wanted: Filter, ids: Sequence[str] | None, leave_out: frozenset[str]
) -> Choice:
    """From a command's arguments. Raises CommandError."""
    if ids and wanted.document():
        raise CommandError(Exit.BAD_INPUT, "name letters or give a filter, not both")
    named = name_letters(letters, wishes, ids) if ids else None
    return Choice(letters, wanted, named, leave_out, letters.now())
