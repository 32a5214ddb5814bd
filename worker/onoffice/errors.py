"""What can go wrong on the way to onOffice and back, split by what the caller does next.

OnOfficeError
├── RequestNotSent        surely nothing happened: try again
├── Throttled             the server spoke, perhaps after it was done: read back after `seconds`
├── AccountRefused        nothing will work for this account until somebody mends it
├── RequestUnanswered     it may have been done: read back
│   ├── Overloaded        and slow down
│   └── ReplyTooLarge
└── UnreadableReply       it may have been done: read back
    ├── EmptyReply
    ├── NotJson
    ├── WrongShape
    ├── MalformedRelatedIds
    └── MalformedAppointment
"""


class OnOfficeError(Exception):
    """Base of everything that the API, or the way to it, can do to a request."""


class RequestNotSent(OnOfficeError):
    """The API could not be reached (refused, DNS, TLS, connect time-out). Nothing happened; try again."""


class Throttled(OnOfficeError):
    """The server asked to slow down; a proxy may say so after the work was done. Read back after `seconds`."""

    def __init__(self, message: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(message)


class AccountRefused(OnOfficeError):
    """The web tier refused this account or address. Stop the account, keep its jobs, tell somebody."""

    by_api = True  # False: nobody asked the API, the account was halted before


class RequestUnanswered(OnOfficeError):
    """Sent, but not answered (time-out, reset, server error). It may have been done: read back."""


class Overloaded(RequestUnanswered):
    """No answer in time, or a server error. It may have been done: read back, and send less."""


class ReplyTooLarge(RequestUnanswered):
    """The answer is larger than any honest one. It may have been done: read back."""


class UnreadableReply(OnOfficeError):
    """An answer that is none of onOffice's. It may have been done: read back."""


class EmptyReply(UnreadableReply):
    """The body is empty."""


class NotJson(UnreadableReply):
    """The body is not JSON: an error page, or a truncated answer."""


class WrongShape(UnreadableReply):
    """The body is JSON, but not an object."""


class MalformedRelatedIds(UnreadableReply):
    """The ids of a read-back cannot be understood, so nothing can be said about what is absent."""


class MalformedAppointment(UnreadableReply):
    """An appointment cannot be understood, so nothing can be said about its participants."""
