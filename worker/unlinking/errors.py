"""Why a job is dead. The class name is the reason that producers see; `happened` and `advice` say what to do.

UnlinkError
├── BadArguments          the job itself is wrong
├── UnknownRelationType
├── UnknownAccount
├── NotDeletable          onOffice keeps the link
├── UnknownRecord
├── MissingRight
├── NotSupported
├── BadRequest            our request was wrong
├── UnknownCode           nobody knows what the answer means
├── Exhausted
├── Unverified
├── Expired               it came too late
└── Poison                it killed its worker
"""

from enum import StrEnum
from typing import ClassVar


class Replay(StrEnum):
    """What sending a dead letter again may bring."""

    USELESS = "useless"  # it fails again, whatever anybody does in onOffice
    MENDED = "mended"  # it works once somebody has mended what the reason names
    TRANSIENT = "transient"  # it may work by itself; `redrive` tries it again on a schedule


class UnlinkError(Exception):
    """Base of all reasons. `args` is (reason, code, text): Celery's JSON keeps nothing else of an exception."""

    happened: ClassVar[str]  # in plain words
    advice: ClassVar[str]  # what to do
    replay: ClassVar[Replay] = Replay.MENDED

    def __init__(self, reason: str, code: int | None = None, text: str = "") -> None:
        self.reason = reason
        self.code = code
        self.text = text
        super().__init__(reason, code, text)


class BadArguments(UnlinkError):
    """The job itself is wrong."""

    happened = "The job's arguments are wrong; no request was sent."
    advice = "Mend the sender; the text names the argument. Then discard the letter."
    replay = Replay.USELESS


class UnknownRelationType(UnlinkError):
    """No such relation type, or one that is read only."""

    happened = "There is no such relation type, or it is read only."
    advice = "Mend the sender; the text names the nearest type. Then discard the letter."
    replay = Replay.USELESS


class UnknownAccount(UnlinkError):
    """No credentials for this account."""

    happened = "The workers have no credentials for this account; no request was sent."
    advice = "Add the account to the accounts file, restart the workers, replay."


class NotDeletable(UnlinkError):
    """onOffice keeps the link."""

    happened = "onOffice refuses to delete this link, and it is still there."
    advice = "Unlink it by hand, or leave it, then discard the letter. Replay once something changed in onOffice."


class UnknownRecord(UnlinkError):
    """Parent or child is unknown to this API user."""

    happened = "onOffice does not know parent or child for this API user, yet the link is there."
    advice = "Check the API user's rights on both records, then replay."


class MissingRight(UnlinkError):
    """The API user lacks a right."""

    happened = "The API user lacks a right that this deletion needs."
    advice = "Grant the right in onOffice, then replay."


class NotSupported(UnlinkError):
    """The API does not offer this call here."""

    happened = "The API does not offer this call for this customer or module."
    advice = "Unlink it by hand, or have the module activated and replay."


class BadRequest(UnlinkError):
    """Our request was wrong."""

    happened = "onOffice could not read our request. This is a fault of unlinker."
    advice = "Report it with code and text; replay after an update."


class UnknownCode(UnlinkError):
    """Nobody knows what the answer means."""

    happened = "onOffice answered twice with a code that says nothing about deleting, and the link is still there."
    advice = "Read the vendor's text below, look at the record in onOffice, then replay."


class Exhausted(UnlinkError):
    """The link is still there after all attempts."""

    happened = "The link is still there after all attempts; each met a passing trouble."
    advice = "Read the attempts below. Replay when the API is well again; redrive does it by itself."
    replay = Replay.TRANSIENT


class Unverified(UnlinkError):
    """Nobody can vouch that the link is gone."""

    happened = "Nobody can vouch that the link is gone: it could not be read back, or the API user may not see it."
    advice = "Look at it in onOffice, or check the API user's right to read both records, then replay."


class Expired(UnlinkError):
    """It came too late."""

    happened = "The deadline passed before the job could run; the link may have been made anew since."
    advice = "Make sure that the link is still to go, then replay; the new job gets a new deadline."


class Poison(UnlinkError):
    """It killed its worker."""

    happened = "Workers died while they ran this job alone."
    advice = "Report it. Discard it, or replay after an update."


REASONS: dict[str, type[UnlinkError]] = {error.__name__: error for error in UnlinkError.__subclasses__()}


USELESS, TRANSIENT = (
    frozenset(name for name, error in REASONS.items() if error.replay is replay)
    for replay in (Replay.USELESS, Replay.TRANSIENT)
)


def error_for(reason: str, code: int | None, text: str) -> UnlinkError:
    """The exception of a reason. Raises KeyError for a reason that is not in the tree above."""
    return REASONS[reason](reason, code, text)
