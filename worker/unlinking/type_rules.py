"""Which relation types an installation lets bulk work delete. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from worker.unlinking.relation_types import Deletable, parse_relationtype


@dataclass(frozen=True, slots=True)
class TypeRules:
    """Short relation types. What is protected is protected, even if it is allowed too."""

    allowed: frozenset[str] = frozenset()  # empty: all
    protected: frozenset[str] = frozenset()

    @classmethod
    def of(cls, allowed: Iterable[str], protected: Iterable[str]) -> "TypeRules":
        """From short forms or URNs. Raises RelationTypeError."""
        return cls(
            frozenset(parse_relationtype(name).short for name in allowed),
            frozenset(parse_relationtype(name).short for name in protected),
        )

    def refusal(self, relationtype: str) -> str | None:
        """Why links of a type (short form) are left alone; None if they are not."""
        if parse_relationtype(relationtype).deletable is Deletable.READ_ONLY:
            return "read only in onOffice"
        if relationtype in self.protected:
            return "protected by UNLINKER_PROTECTED_TYPES"
        if self.allowed and relationtype not in self.allowed:
            return "not in UNLINKER_ALLOWED_TYPES"
        return None
