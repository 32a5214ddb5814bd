"""Why a job is dead. The class name is the reason that producers see; the docstring says what to do.

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


class UnlinkError(Exception):
    """Base of all reasons. `args` is (reason, code, text): Celery's JSON keeps nothing else of an exception."""

    def __init__(self, reason: str, code: int | None = None, text: str = "") -> None:
        self.reason = reason
        self.code = code
        self.text = text
        super().__init__(reason, code, text)


class BadArguments(UnlinkError):
    """The job's arguments are wrong. Mend the sender; the text names the argument."""


class UnknownRelationType(UnlinkError):
    """No such relation type, or one that is read only. Mend the sender; the text names the nearest type."""


class UnknownAccount(UnlinkError):
    """No credentials for this account. Add it to the accounts file, restart the workers, replay."""


class NotDeletable(UnlinkError):
    """onOffice refuses to delete this link and it is still there. Unlink it by hand, or leave it."""


class UnknownRecord(UnlinkError):
    """Parent or child is unknown to this API user, yet the link is there. Check the user's rights, then replay."""


class MissingRight(UnlinkError):
    """The API user lacks a right. Grant it in onOffice, then replay."""


class NotSupported(UnlinkError):
    """The API does not offer this call here. Unlink it by hand."""


class BadRequest(UnlinkError):
    """onOffice could not read our request. This is a fault of unlinker: report it with code and text, then replay."""


class UnknownCode(UnlinkError):
    """onOffice answered twice with a code that says nothing about deleting. Look at the text, then replay."""


class Exhausted(UnlinkError):
    """The link is still there after all attempts. Look at the text of the last one, then replay."""


class Unverified(UnlinkError):
    """Nobody can vouch that the link is gone. Look at it in onOffice, or check the user's rights, then replay."""


class Expired(UnlinkError):
    """The deadline passed before the job could run; the link may have been made anew. Enqueue it again if meant."""


class Poison(UnlinkError):
    """Workers died while running this job alone. Report it, discard it, or replay after an update."""


REASONS: dict[str, type[UnlinkError]] = {error.__name__: error for error in UnlinkError.__subclasses__()}


def error_for(reason: str, code: int | None, text: str) -> UnlinkError:
    """The exception of a reason. Raises KeyError for a reason that is not in the tree above."""
    return REASONS[reason](reason, code, text)
