"""Relations by a rule: all links of some records. Which records, and what they have, is read from onOffice."""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.exits import CommandError, Exit
from gateway.planning.columns import meaning
from gateway.planning.rows import SHOWN, Fault, Given, Rejected, is_id, why_no_id
from gateway.planning.text import STDIN, BadLine, opened
from worker.engine.polite_api import ReadFailed
from worker.engine.reading_desk import ReadingDesk, RelatedUnread
from worker.onoffice.pages import LIST_OPERATORS, OPERATORS, Condition
from worker.unlinking.job import Relation
from worker.unlinking.relation_types import RelationType, RelationTypeError, parse_relationtype

AT_ONCE = 10_000  # records looked at together
BAD_QUERY = frozenset({75, 76, 77, 232, 237, 257})  # the API's codes for an unknown field or a filter it cannot read
_IDS = re.compile(r"\s*[0-9]+(\s*,\s*[0-9]+)*\s*")
_BETWEEN = re.compile(r"[\s,;]+")
Where = tuple[str, str, str]  # field, operator, value


@dataclass(frozen=True, slots=True)
class Rule:
    """All links of one type of some records."""

    kind: RelationType
    by_parents: bool  # which side the records are on
    words: str  # for people
    resource: str = ""  # estate or address, when the records are found by conditions
    conditions: tuple[Condition, ...] = ()
    ids: str = ""  # else: ids, or the file that has them


def read_type(value: str | None) -> RelationType:
    """Of --type. Raises CommandError."""
    if value is None:
        raise CommandError(Exit.BAD_INPUT, "a rule needs --type TYPE: the relation type whose links shall go")
    try:
        return parse_relationtype(value)
    except RelationTypeError as error:
        raise CommandError(Exit.BAD_INPUT, f"--type: {error}") from None


def rule_of_ids(kind: RelationType, option: str, value: str) -> Rule:
    """`option`: --parents or --children; `value`: ids, or a file of them. Raises CommandError."""
    if not _IDS.fullmatch(value) and value != STDIN and not Path(value).exists():
        raise CommandError(Exit.BAD_INPUT, f"{option} {value!r}: give record ids (1,2,3) or a file of them")
    side = option.removeprefix("--")
    return Rule(kind, side == "parents", f"all {kind.short} of {side} {value[:SHOWN]}", ids=value)


def rule_of_records(kind: RelationType, resource: str, where: Where) -> Rule:
    """All links of the estates or addresses that fit. Raises CommandError."""
    if resource not in (kind.parent, kind.child):
        raise CommandError(
            Exit.BAD_INPUT,
            f"links of {kind.short} are between {kind.parent} and {kind.child}: no {resource} to look for",
        )
    return Rule(
        kind,
        by_parents=kind.parent == resource,
        words=f"all {kind.short} of each {resource} where {' '.join(where)}",
        resource=resource,
        conditions=(_condition(resource, where),),
    )


def _condition(resource: str, where: Where) -> Condition:
    name, operator, value = where
    known = operator.casefold()
    if known not in OPERATORS:
        option = f"--{'estates' if resource == 'estate' else 'addresses'}-where"
        raise CommandError(Exit.BAD_INPUT, f"{option} {name} {operator!r}: the operators are {', '.join(OPERATORS)}")
    if known in LIST_OPERATORS:
        return Condition(name, known, [_value(part.strip()) for part in value.split(",")])
    return Condition(name, known, _value(value))


def _value(text: str) -> object:
    """A number if it is written as one; the API takes both."""
    return int(text) if text.isascii() and text.isdigit() and str(int(text[:18])) == text else text


def read_ids(value: str, encoding: str | None) -> Iterator[int | Rejected]:
    """The ids of a rule: in the value itself, or from its file, separated by commas, spaces or line ends."""
    if _IDS.fullmatch(value):
        yield from _ids_of("", value)
        return
    with opened(value, encoding) as text:
        while True:
            try:
                line = next(text.lines)
            except StopIteration:
                return
            except BadLine as error:
                yield Rejected(str(text.lines.number), (Fault("", "", f"the line {error}"),))
                continue
            if text.lines.number > 1 or not _is_header(line):
                yield from _ids_of(str(text.lines.number), line)


def _is_header(line: str) -> bool:
    return meaning(line.strip().strip('"')) is not None or line.strip().strip('"').casefold() == "id"


def _ids_of(source: str, text: str) -> Iterator[int | Rejected]:
    for word in _BETWEEN.split(text.strip()):
        bare = word.strip('"')
        if is_id(bare):
            yield int(bare)
        elif bare:
            yield Rejected(source, (Fault("id", bare[:SHOWN], why_no_id(bare)),))


@dataclass(slots=True)
class Finder:
    """Finds the links of a rule."""

    desk: ReadingDesk
    rule: Rule
    records: int = 0  # looked at
    unread: dict[int, str] = field(default_factory=dict)  # record id -> why its links could not be read

    async def record_ids(self) -> list[int]:
        """Of the records that fit the rule's conditions. Raises CommandError for a bad one, and ReadFailed."""
        try:
            pages = self.desk.records(self.rule.resource, self.rule.conditions)
            return [record.id async for page in pages for record in page]
        except ReadFailed as error:
            if error.code in BAD_QUERY:
                raise CommandError(Exit.BAD_INPUT, f"{self.rule.words}: {error}") from None
            raise

    async def links(self, ids: Sequence[int], advance: Callable[[int], None]) -> AsyncIterator[Given]:
        """All links of these records. Raises ReadFailed."""
        look = self.desk.children if self.rule.by_parents else self.desk.parents
        kind = self.rule.kind.short
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            try:
                related = await look(kind, some)
            except RelatedUnread as error:
                self.unread |= error.unread
                related = error.related
            for one in some:
                for other in sorted(related.get(one, ())):
                    yield Given("", Relation(kind, one, other) if self.rule.by_parents else Relation(kind, other, one))
            self.records += len(some)
            advance(len(some))
