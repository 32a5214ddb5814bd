"""The relation types of onOffice enterprise: what they link, and what is known about their links (API facts 5)."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

PREFIX = "urn:onoffice-de-ns:smart:2.5:relationTypes:"


class Deletable(Enum):
    """What the vendor says about deleting links of a type."""

    DOCUMENTED = "documented"  # named on the delete page
    UNVERIFIED = "unverified"  # listed elsewhere; nobody says whether it can be deleted
    READ_ONLY = "read_only"  # documented as read only


class RelationTypeError(ValueError):
    """No such relation type. `suggestion` is the nearest one there is, in short form."""

    def __init__(self, message: str, suggestion: str | None = None) -> None:
        self.suggestion = suggestion
        super().__init__(message)


class ReadOnlyRelationType(RelationTypeError):
    """Links of this type cannot be deleted through the API."""


class NotCreatable(RelationTypeError):
    """Links of this type cannot be created through the API, as far as its vendor says."""


@dataclass(frozen=True, slots=True)
class RelationType:
    """One type. Parent comes first in its name."""

    short: str  # what follows the prefix: parent:child[:description]
    deletable: Deletable = Deletable.UNVERIFIED
    creatable: bool = False  # named on the create page
    meaning: str = ""  # what a link of this type says; empty where the vendor does not
    note: str = ""  # what to know before deleting one

    @property
    def parent(self) -> str:
        """The kind of record that parentid names."""
        return _ENDS.get(self.short, self.short.split(":"))[0]

    @property
    def child(self) -> str:
        """The kind of record that childid names."""
        return _ENDS.get(self.short, self.short.split(":"))[1]

    @property
    def urn(self) -> str:
        """The full name, as the API wants it."""
        return PREFIX + self.short


# names that do not read parent:child[:description] (API facts 5.1, 5.2); of estate:allFiles inferred
_ENDS: Mapping[str, Sequence[str]] = {
    "estate:estateUnit": ("estate", "estate"),
    "complex:estate:units": ("estate", "estate"),
    "address:contact:address": ("address", "address"),
    "estate:allFiles": ("estate", "file"),
}
_COMPUTED = "a computed view; probably cannot be deleted"

_TYPES = (
    RelationType("estate:address:interested", Deletable.DOCUMENTED, True, "interested party"),
    RelationType("estate:address:buyer", Deletable.DOCUMENTED, True, "buyer"),
    RelationType(
        "estate:address:renter", Deletable.DOCUMENTED, True, "tenant", "estate:address:tenant is another type"
    ),
    RelationType("estate:address:owner", Deletable.DOCUMENTED, True, "owner"),
    RelationType(
        "estate:address:contactPerson",
        Deletable.DOCUMENTED,
        True,
        "contact person",
        "brokers only; the same link may be in contactPersonAll",
    ),
    RelationType(
        "estate:address:contactPersonAll",
        Deletable.DOCUMENTED,
        True,
        "contact person",
        "every one, not just brokers; may be the same link as contactPerson",
    ),
    RelationType(
        "estate:estateUnit", Deletable.DOCUMENTED, True, "unit of a base object", "complex:estate:units does the same"
    ),
    RelationType("calendar:address", Deletable.DOCUMENTED, True, "participant", "the confirmation status is lost"),
    RelationType("calendar:estate", Deletable.DOCUMENTED, True, "estate of an appointment"),
    RelationType("agentsLog:file:attachment", Deletable.DOCUMENTED, True, "attachment of an agents log entry"),
    RelationType("address:user:sync", Deletable.DOCUMENTED, True, "onOffice sync checkmark of a user"),
    RelationType("agentsLog:address", creatable=True),
    RelationType("agentsLog:estate", creatable=True),
    RelationType("address:contact:address", creatable=True, meaning="second-level contact of a main contact"),
    RelationType("user:messengerUser:is", Deletable.READ_ONLY, note="read only"),
    RelationType("complex:estate:units", meaning="unit of a base object", note="does the same as estate:estateUnit"),
    RelationType("estate:address:tenant"),
    RelationType("estate:address:matching", note=_COMPUTED),
    RelationType("estate:user:officer"),
    RelationType("estate:user:assignment"),
    RelationType("estate:allFiles", note=_COMPUTED),
    RelationType("estate:file:titelbild"),
    RelationType("estate:file:grundriss"),
    RelationType("estate:file:foto"),
    RelationType("estate:file:allpictures", note=_COMPUTED),
    RelationType("estate:file:alllinks", note=_COMPUTED),
    RelationType("estate:file:allpicturesExceptTitelbild", note=_COMPUTED),
    RelationType("estate:mail"),
    RelationType("estateTracking:estate"),
    RelationType("address:address:isTippgeberOf"),
    RelationType("address:customer", note="known from an old list of somebody else only"),
    RelationType("address:estate:tipp"),
    RelationType("address:estate:offer"),
    RelationType("address:estate:contacted"),
    RelationType("address:estate:offerByAgentsLog", note=_COMPUTED),
    RelationType("address:estate:matching", note=_COMPUTED),
    RelationType("address:user:officer"),
    RelationType("address:user:additionalOfficers"),
    RelationType("address:user:strangeNameRelation", note=_COMPUTED),
    RelationType("address:file:attachment"),
    RelationType("address:searchcriteria"),
    RelationType("address:process"),
    RelationType("address:resubmission"),
    RelationType("address:mail"),
    RelationType("agentsLog:attachment:download"),
    RelationType("agentsLogMail:address"),
    RelationType("agentsLogMail:estate"),
    RelationType("billing:estate"),
    RelationType("calendar:file:attachment"),
    RelationType("customer:address:contact"),
    RelationType("job:estate"),
    RelationType("project:address"),
    RelationType("project:estate"),
    RelationType("project:calendar"),
    RelationType("project:agentslog"),
    RelationType("project:task:customer"),
    RelationType("project:file:attachment"),
    RelationType("task:address"),
    RelationType("task:estate"),
    RelationType("task:file:attachment"),
    RelationType("templateManagement:email:attachment"),
    RelationType("templateManagement:email:documentAttributes"),
    RelationType("user:address"),
    RelationType("user:address:birthday", note=_COMPUTED),
)

PARTICIPANT = "calendar:address"  # the one type whose links carry something of their own, the confirmation status

RELATION_TYPES: Mapping[str, RelationType] = {kind.short: kind for kind in _TYPES}
_PREFIX_LIKE = re.compile(r".*relation-?_?types?\s*:", re.IGNORECASE | re.DOTALL)
_FOLDED: Mapping[str, str] = {short.casefold(): short for short in RELATION_TYPES}


def parse_relationtype(text: str) -> RelationType:
    """A type by its short form or full URN, to the letter. Raises RelationTypeError, with the nearest type if any."""
    kind = RELATION_TYPES.get(text.removeprefix(PREFIX))
    if kind is not None:
        return kind
    suggestion = _suggest(text[:200])
    hint = f"; did you mean {suggestion}?" if suggestion else ""
    raise RelationTypeError(f"unknown relation type {text[:100]!r}{hint}", suggestion)


def require_deletable(kind: RelationType) -> None:
    """Raises ReadOnlyRelationType for a type that is documented as read only."""
    if kind.deletable is Deletable.READ_ONLY:
        raise ReadOnlyRelationType(f"relation type {kind.short} is read only; its links cannot be deleted")


def require_creatable(kind: RelationType) -> None:
    """Raises NotCreatable for a type that the create page does not name."""
    if not kind.creatable:
        raise NotCreatable(f"links of relation type {kind.short} cannot be created through the API")


def _suggest(text: str) -> str | None:
    """Slips seen in the wild: a misspelt prefix, another version, case, order, white space, a letter too many."""
    short = _PREFIX_LIKE.sub("", text.strip()).strip()
    if short.casefold() in _FOLDED:
        return _FOLDED[short.casefold()]
    parent, _, rest = short.partition(":")
    child, colon, description = rest.partition(":")
    swapped = f"{child}:{parent}{colon}{description}".casefold()
    if swapped in _FOLDED:
        return _FOLDED[swapped]
    near = difflib.get_close_matches(short.casefold(), _FOLDED, n=1, cutoff=0.75)
    return _FOLDED[near[0]] if near else None
