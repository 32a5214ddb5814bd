"""Which column of a file is which. Pure."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.planning.rows import NEEDED
from worker.unlinking.relation_types import PREFIX, RELATION_TYPES

# the API's names, short forms, and German ones; `kind` is none: it is a child in German and a type in English
ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("relationtype", "type", "reltype", "relation", "typ", "relationstyp", "beziehungstyp"), NEEDED[0]),
    **dict.fromkeys(("parentid", "parent", "elternid", "elterndatensatz"), NEEDED[1]),
    **dict.fromkeys(("childid", "child", "kindid", "kinddatensatz"), NEEDED[2]),
}
_GLUE = re.compile(r"[\s_\-.]+")


class HeaderError(Exception):
    """The header does not name what is needed; the text says what it lacks and what it has."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where to find what."""

    names: tuple[str, ...]  # of all columns, as they came
    places: Mapping[str, int]  # of NEEDED; without the relation type when one is given for all

    @property
    def order(self) -> tuple[int | None, int, int]:
        """Places of relation type, parent, child."""
        return self.places.get(NEEDED[0]), self.places[NEEDED[1]], self.places[NEEDED[2]]


def meaning(name: str) -> str | None:
    """Which of NEEDED a column's name means."""
    return ALIASES.get(_GLUE.sub("", name).casefold())


def understood(names: Sequence[str]) -> int:
    """How many of NEEDED the names mean; tells a right delimiter from a wrong one."""
    return len({meaning(name) for name in names} - {None})


def read_header(names: Sequence[str], one_type: bool) -> Columns:
    """`one_type`: the relation type is given for all rows, by --type. Raises HeaderError."""
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        what = meaning(name)
        if what in places:
            raise HeaderError(f"the columns {names[places[what]]!r} and {name!r} both mean {what}; rename one")
        if what:
            places[what] = place
    needed = NEEDED[1:] if one_type else NEEDED
    missing = [name for name in needed if name not in places]
    if missing:
        raise HeaderError(_complaint(names, missing))
    if one_type and NEEDED[0] in places:
        raise HeaderError(f"the column {names[places[NEEDED[0]]]!r} names relation types; leave --type out")
    return Columns(tuple(names), places)


def _complaint(names: Sequence[str], missing: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:20]) or "nothing"
    if any(name.strip().isdigit() or name.strip().removeprefix(PREFIX) in RELATION_TYPES for name in names):
        return f"line 1 looks like data, not like a header ({shown}); put a line before it that names the columns"
    text = f"no column means {' or '.join(missing)}; the header has {shown}"
    for lacking in missing:
        near = _nearest(names, lacking)
        if near:
            text += f"; is {near!r} {lacking}? Then rename it"
    if missing == [NEEDED[0]]:
        text += "; or give the relation type of all rows with --type"
    return text


def _nearest(names: Sequence[str], lacking: str) -> str | None:
    known = [alias for alias, what in ALIASES.items() if what == lacking]
    for name in names:
        if meaning(name) is None and difflib.get_close_matches(_GLUE.sub("", name).casefold(), known, 1, 0.75):
            return name
    return None
