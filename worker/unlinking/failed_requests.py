"""What becomes of jobs whose request failed as a whole, and of those whose read did. Pure; for any action."""

from worker.onoffice.codes import CodeRule, Verdict
from worker.onoffice.errors import (
    AccountRefused,
    MalformedAppointment,
    MalformedRelatedIds,
    OnOfficeError,
    RequestNotSent,
    Throttled,
)
from worker.unlinking.decisions import Ask, Decision, Look, Park, Snooze, Ticket
from worker.unlinking.judging import Policy, ask_again, judge_failed_read
from worker.unlinking.viewer import Unread


def blames_account(rule: CodeRule) -> bool:
    """Whether an error answer to a whole request is about the account, and not about one of its actions."""
    return Verdict.HALT_ACCOUNT in (rule.verdict, rule.then) or rule.verdict is Verdict.SLOW_DOWN


def after_failure(ticket: Ticket, error: OnOfficeError, now: float) -> Decision | Look:
    """A request that changes something failed before any answer could be read.

    Whoever answered spoke for the server only: 429, 503 and 403 too may come from a proxy, after the work was done.
    """
    lost = ticket.known.after_loss(now)
    match error:
        case Throttled():
            return Snooze(seconds=error.seconds, why=str(error), known=lost)
        case AccountRefused():
            return Park(why=str(error), new=error.by_api, known=lost if error.by_api else ticket.known)
        case RequestNotSent():
            return Park(why=str(error), outage=True, known=ticket.known)
        case _:
            return Look(known=lost, why=str(error))


def after_unread(ticket: Ticket, look: Look, unread: Unread, policy: Policy) -> Decision:
    """A read failed: the question waits, and takes along whether we may have changed something."""
    if unread.answer is not None:
        return judge_failed_read(ticket, look, unread.answer, policy)
    match unread.error:
        case Throttled() as error:
            return Ask(why=str(error), known=look.known, seconds=error.seconds)
        case AccountRefused() as error:
            return Park(why=str(error), new=error.by_api, known=look.known, question=True)
        case RequestNotSent() as error:
            return Park(why=str(error), outage=True, known=look.known, question=True)
        case MalformedRelatedIds() | MalformedAppointment() as error:  # it may be so for ever
            return ask_again(ticket, look, policy, str(error))
        case error:  # silence and error pages pass
            return Ask(why=str(error), known=look.known)
