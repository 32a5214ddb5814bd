"""A job: one wish that a relation be gone, or be there again, as it came from a producer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from worker.onoffice.appointments import CONFIRMATIONS
from worker.unlinking.errors import BadArguments, UnknownRelationType, UnlinkError
from worker.unlinking.relation_types import (
    PARTICIPANT,
    RelationType,
    RelationTypeError,
    parse_relationtype,
    require_creatable,
    require_deletable,
)
from worker.unlinking.sent import as_sent, as_sent_text

DEFAULT_ACCOUNT = "default"
MAX_ID = 2**63 - 1
FAULTY_SHOWN = 100  # characters of a faulty wish's texts
MAX_TEXT = 500  # characters of requested_by and reason
REQUIRED = ("relationtype", "parentid", "childid")
OPTIONAL = ("account", "requested_by", "reason", "not_after")


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """What the API names a link by; it has no other id (API facts 5.3)."""

    relationtype: str  # short form, `calendar:address`
    parentid: int
    childid: int

    @property
    def urn(self) -> str:
        """The relation type as the API wants it."""
        return parse_relationtype(self.relationtype).urn


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTerms:
    """What a producer may say besides the relation."""

    account: str = DEFAULT_ACCOUNT
    requested_by: str | None = None
    reason: str | None = None
    not_after: float | None = None  # Unix seconds

    def as_arguments(self) -> dict[str, object]:
        """As kwargs of a task; what is unset is left out."""
        optional = {"requested_by": self.requested_by, "reason": self.reason, "not_after": self.not_after}
        return {"account": self.account} | {name: value for name, value in optional.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One wish. `id` is its Celery task id."""

    id: str
    relation: Relation
    terms: JobTerms = JobTerms()
    restore: bool = False  # the link shall be there again, rather than be gone
    confirmation: str | None = None  # of a link to be restored: the status it shall have, one of CONFIRMATIONS
    seen: bool = False  # whoever planned its deletion saw it there

    @property
    def account(self) -> str:
        """Whose relation it is."""
        return self.terms.account

    @classmethod
    def from_arguments(cls, job_id: str, arguments: Mapping[str, object]) -> "Job":
        """Read the task's kwargs. Raises BadArguments or UnknownRelationType with a sentence that names the fault."""
        unknown = sorted(set(arguments) - set(REQUIRED) - set(OPTIONAL))
        missing = [name for name in REQUIRED if name not in arguments]
        if unknown or missing:
            raise bad_arguments(
                ", ".join([f"{name} is missing" for name in missing] + [f"{name!r} is no argument" for name in unknown])
                + f"; allowed: {', '.join(REQUIRED + OPTIONAL)}"
            )
        relation = read_relation(arguments["relationtype"], arguments["parentid"], arguments["childid"])
        return cls(id=job_id, relation=relation, terms=read_terms(arguments))

    def as_arguments(self) -> dict[str, object]:
        """The task's kwargs; what is unset is left out."""
        relation = {
            "relationtype": self.relation.relationtype,
            "parentid": self.relation.parentid,
            "childid": self.relation.childid,
        }
        return relation | self.terms.as_arguments()


def as_given(relationtype: object, parentid: object, childid: object) -> Relation:
    """What a faulty wish names, as far as it can be told, so that its letter is found; it reaches no request.

    What cannot be told is "" or 0, which no relation has.
    """
    kind = as_sent_text(relationtype)[:FAULTY_SHOWN] if isinstance(relationtype, str) else ""
    return Relation(kind, _number(parentid), _number(childid))


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_ID else 0


def read_relation(relationtype: object, parentid: object, childid: object) -> Relation:
    """A relation as it came, to be deleted. Raises BadArguments or UnknownRelationType."""
    return _relation(_relationtype(relationtype, require_deletable), parentid, childid)


def read_restorable(relationtype: object, parentid: object, childid: object) -> Relation:
    """A relation as it came, to be created again. Raises BadArguments or UnknownRelationType."""
    return _relation(_relationtype(relationtype, require_creatable), parentid, childid)


def read_confirmation(relation: Relation, value: object) -> str | None:
    """The status a restored link shall have; None to leave it to onOffice. Raises BadArguments."""
    if value is None:
        return None
    if relation.relationtype != PARTICIPANT:
        raise bad_arguments(f"only links of {PARTICIPANT} have a confirmation status")
    if not isinstance(value, str) or value not in CONFIRMATIONS:
        raise bad_arguments(f"the confirmation status must be one of {', '.join(CONFIRMATIONS)}, or null")
    return value


def _relation(relationtype: str, parentid: object, childid: object) -> Relation:
    return Relation(relationtype, _record_id("parentid", parentid), _record_id("childid", childid))


def read_terms(arguments: Mapping[str, object]) -> JobTerms:
    """The optional kwargs. Raises BadArguments."""
    return JobTerms(
        account=_text("account", arguments.get("account")) or DEFAULT_ACCOUNT,
        requested_by=_text("requested_by", arguments.get("requested_by")),
        reason=_text("reason", arguments.get("reason")),
        not_after=_moment("not_after", arguments.get("not_after")),
    )


def bad_arguments(text: str) -> UnlinkError:
    """The error of a message whose arguments cannot be read."""
    return BadArguments(BadArguments.__name__, None, text[:MAX_TEXT])


def _relationtype(value: object, require: Callable[[RelationType], None]) -> str:
    if not isinstance(value, str):
        raise bad_arguments(f"relationtype must be text, not {type(value).__name__}")
    try:
        relationtype = parse_relationtype(value)
        require(relationtype)
    except RelationTypeError as error:
        raise UnknownRelationType(UnknownRelationType.__name__, None, str(error)) from None
    return relationtype.short


def _record_id(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad_arguments(f"{name} must be an integer, not {type(value).__name__} {as_sent(value)[:FAULTY_SHOWN]}")
    if not 0 < value <= MAX_ID:
        raise bad_arguments(f"{name} must be a positive record id, not {as_sent(value)[:FAULTY_SHOWN]}")
    return value


def _text(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise bad_arguments(f"{name} must be text of at most {MAX_TEXT} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise bad_arguments(f"{name} must be text that UTF-8 can hold") from None
    return value


def _moment(name: str, value: object) -> float | None:
    if value is None:
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value).astimezone().timestamp()
        moment = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        raise bad_arguments(f"{name} must be Unix seconds or an ISO 8601 time, not {str(value)[:40]!r}") from None
    if moment.tzinfo is None:
        raise bad_arguments(f"{name} needs a time zone, for example 2026-01-31T18:00:00+01:00")
    return moment.timestamp()
