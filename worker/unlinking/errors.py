"""Why a job is dead. The class name is the reason that producers see; `explain` says what happened and what to do.

UnlinkError
├── BadArguments          the job itself is wrong
├── IdReused
├── UnknownRelationType
├── UnknownAccount
├── NotDeletable          onOffice keeps the link
├── NotRestorable         onOffice does not make the link anew
├── NotSaved              what was to be saved before could not be read
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
    happened_restoring: ClassVar[str] = ""  # the same of a job that was to bring a link back; "": no other words needed
    advice_restoring: ClassVar[str] = ""
    replay: ClassVar[Replay] = Replay.MENDED

    def __init__(self, reason: str, code: int | None = None, text: str = "") -> None:
        self.reason = reason
        self.code = code
        self.text = text
        super().__init__(reason, code, text)

    @classmethod
    def explain(cls, *, restore: bool = False) -> tuple[str, str]:
        """What happened and what to do. `restore`: the job was to bring a link back."""
        if not restore:
            return cls.happened, cls.advice
        return cls.happened_restoring or cls.happened, cls.advice_restoring or cls.advice


class BadArguments(UnlinkError):
    """The job itself is wrong."""

    happened = "The job's arguments are wrong; no request was sent."
    advice = "Mend the sender; the text names the argument. Then discard the letter."
    replay = Replay.USELESS


class IdReused(UnlinkError):
    """Its id names another job."""

    happened = "The job came under an id that another job had before; it was not carried out."
    advice = "Mend the sender: an id names one relation. If this letter's relation is still to go, replay it."


class UnknownRelationType(UnlinkError):
    """No such relation type, or one that is read only."""

    happened = "There is no such relation type, or it is read only."
    advice = "Mend the sender; the text names the nearest type. Then discard the letter."
    happened_restoring = "There is no such relation type, or its links cannot be created through the API."
    advice_restoring = "Make the link by hand in onOffice, then discard the letter."
    replay = Replay.USELESS


class UnknownAccount(UnlinkError):
    """No credentials for this account."""

    happened = "The workers have no credentials for this account; no request was sent."
    advice = "Add the account to the accounts file, restart the workers, replay."


class NotDeletable(UnlinkError):
    """onOffice keeps the link."""

    happened = "onOffice refuses to delete this link."
    advice = "Unlink it by hand, or leave it, then discard the letter. Replay once something changed in onOffice."


class NotRestorable(UnlinkError):
    """onOffice does not make the link anew."""

    happened = "onOffice refuses to create this link, and it is not there."
    advice = (
        "Make the link by hand, then discard the letter. If the text speaks of its confirmation status, plan the undo "
        "again with --without-confirmation. Replay once something changed in onOffice."
    )


class NotSaved(UnlinkError):
    """The confirmation status, which was to be saved first, cannot be read."""

    happened = (
        "UNLINKER_KEEP_CONFIRMATION wants the participant's confirmation status saved before the link is deleted; it "
        "cannot be read, so nothing was deleted."
    )
    advice = (
        "Grant the API user the right to read this appointment, or set UNLINKER_KEEP_CONFIRMATION=false, then replay."
    )


class UnknownRecord(UnlinkError):
    """Parent or child is unknown to this API user."""

    happened = "onOffice does not know parent or child for this API user."
    advice = "Check the API user's rights on both records, then replay."
    happened_restoring = "onOffice does not know parent or child for this API user, so the link cannot be made anew."
    advice_restoring = (
        "If one of them was deleted, the link cannot come back: discard the letter. Else check the API user's rights "
        "on both, then replay."
    )


class MissingRight(UnlinkError):
    """The API user lacks a right."""

    happened = "The API user lacks a right that this deletion needs."
    advice = "Grant the right in onOffice, then replay."
    happened_restoring = "The API user lacks a right that making or reading this link needs."


class NotSupported(UnlinkError):
    """The API does not offer this call here."""

    happened = "The API does not offer this call for this customer or module."
    advice = "Unlink it by hand, or have the module activated and replay."


class BadRequest(UnlinkError):
    """Our request was wrong."""

    happened = "onOffice says that our request is wrong. If the link is still there, this is a fault of unlinker."
    advice = "Look at the link in onOffice. If it is there, report it with code and text, and replay after an update."


class UnknownCode(UnlinkError):
    """Nobody knows what the answer means."""

    happened = "onOffice answered twice with a code that says nothing about deleting."
    advice = "Read the vendor's text below, look at the record in onOffice, then replay."
    happened_restoring = (
        "onOffice answered twice with a code that says nothing about creating, and the link is not there."
    )


class Exhausted(UnlinkError):
    """The link is still there after all attempts."""

    happened = "The link is not deleted after all attempts; each met a passing trouble."
    advice = "Read the attempts below. Replay when the API is well again; redrive does it by itself."
    happened_restoring = "The link is not back after all attempts; each met a passing trouble."
    advice_restoring = "Read the attempts below. Replay when the API is well again: the link is looked for first."
    replay = Replay.TRANSIENT


class Unverified(UnlinkError):
    """Nobody can vouch that the link is gone."""

    happened = "Nobody can vouch that the link is gone: it could not be read back, or the API user may not see it."
    advice = "Look at it in onOffice, or check the API user's right to read both records, then replay."
    happened_restoring = (
        "Nobody can vouch whether the link is there: it could not be read back, or the API user may not see it. No "
        "create was repeated blindly."
    )


class Expired(UnlinkError):
    """It came too late."""

    happened = "The deadline passed before the job could run; the link may have been made anew since."
    advice = "Make sure that the link is still to go, then replay; the new job gets a new deadline."
    happened_restoring = "The deadline passed before the link could be made anew."
    advice_restoring = "Make sure that the link is still to come back, then replay; the new job gets a new deadline."


class Poison(UnlinkError):
    """It killed its worker."""

    happened = "Workers died while they ran this job alone."
    advice = "Report it. Discard it, or replay after an update."


class RejectedMessage(Exception):
    """The message was no job: what its producer gets. `args` is (reason, code, text), as of a dead job."""


REASONS: dict[str, type[UnlinkError]] = {error.__name__: error for error in UnlinkError.__subclasses__()}


USELESS, TRANSIENT = (
    frozenset(name for name, error in REASONS.items() if error.replay is replay)
    for replay in (Replay.USELESS, Replay.TRANSIENT)
)


def error_for(reason: str, code: int | None, text: str) -> UnlinkError:
    """The exception of a reason. Raises KeyError for a reason that is not in the tree above."""
    return REASONS[reason](reason, code, text)
