"""From one answer to one decision. Pure: the table of codes decides, this file only reads it.

Rule 1: only a clear "success" is success, and it stays one whatever is seen later. Whatever is unclear becomes a Look,
        never a guess; so does every refusal, since a letter that says "it is still there" must have looked.
Rule 2: a link that is absent was unlinked by the job if a request may have removed it before any answer named an error;
        who removed it is another question, and attribution.py answers it.
Rule 3: absence counts as proven only if this account was seen to see links of that type (API facts 7.4).
Rule 4: reads may lag behind deletes: while a request may have done its work, a link that is still shown proves nothing
        before READ_LAG has passed.

`now` is Unix seconds on the server's clock, which all workers share.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from worker.onoffice.codes import CodeRule, Reason, Verdict, judge_delete, rule_for
from worker.onoffice.replies import UNREADABLE_CODE, Answer, Missing
from worker.unlinking.attribution import By, Known, lag_left
from worker.unlinking.decisions import Again, Ask, Decision, End, Look, Park, Snooze, Ticket
from worker.unlinking.giving_up import given_up
from worker.unlinking.outcome import Evidence, Kind, Looked, Outcome, attributed, dead

SLOW_DOWN_SECONDS = 1.0  # the limiter knows better how long; this only spreads the jobs


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator chose."""

    max_attempts: int = 5
    verify_always: bool = False
    require_proof: bool = False
    keep_confirmation: bool = False  # save the status of an appointment's participant before unlinking it
    read_lag: float = 60.0  # seconds that reads may go on showing a deleted link
    look_first: bool = False  # look at every link before it is deleted


class Sight(StrEnum):
    """What a read-back showed of one link."""

    PRESENT = "present"
    ABSENT = "absent"  # and this account has been seen to see such links
    NOT_SEEN = "not_seen"  # absent, or invisible to this account


GONE = End(Outcome(kind=Kind.UNLINKED, evidence=Evidence.ANSWERED, by=By.US))


def judge_answer(ticket: Ticket, answer: Answer | Missing, policy: Policy, now: float) -> Decision | Look:
    """What the answer to a delete means for its job."""
    known = ticket.known
    if isinstance(answer, Missing):
        return Look(known=known.after_loss(now), why=f"no answer for this action: {answer.why}")
    verdict, rule = judge_delete(answer)
    if verdict is Verdict.GONE:
        if policy.verify_always:
            return Look(known=known.after_success(now), why="answered success; VERIFY=always looks")
        return GONE
    if rule is None:
        return Look(known=known.after_loss(now), why=f"error code 0, yet success is {answer.success!r}")
    if rule.code == UNREADABLE_CODE:
        return Look(known=known.after_loss(now), why=f"the error code cannot be read; {answer.message}")
    return judge_rule(ticket, rule, answer.message, policy, known.after_error())


def judge_rule(ticket: Ticket, rule: CodeRule, message: str, policy: Policy, known: Known) -> Decision | Look:
    """What an error code means for one job. `known`: with this answer, if it is about the link."""
    text = message or rule.text
    match rule.verdict:
        case Verdict.AGAIN:
            return _judge_again(ticket, rule, text, policy, known)
        case Verdict.HALT_ACCOUNT:
            return Park(why=text, code=rule.code, known=ticket.known)
        case Verdict.SLOW_DOWN:
            return Snooze(seconds=SLOW_DOWN_SECONDS, why=text, known=ticket.known)
        case _:
            return Look(known=known, reason=rule.reason, code=rule.code, why=text)


def _judge_again(ticket: Ticket, rule: CodeRule, text: str, policy: Policy, known: Known) -> Decision | Look:
    blames_account = rule.then is Verdict.HALT_ACCOUNT  # a bad signature surely did nothing
    known = ticket.known if blames_account else known
    if rule.max_tries is not None and ticket.tries.get(rule.code, 0) + 1 >= rule.max_tries:
        if blames_account:
            return Park(why=text, code=rule.code, known=known)
        return Look(known=known, reason=rule.reason or "UnknownCode", code=rule.code, why=text)
    return again(ticket, policy, Again(why=text, code=rule.code, known=known))


def again(ticket: Ticket, policy: Policy, wish: Again) -> Again | Look:
    """`wish`, or a last look when all attempts are spent."""
    if not _is_last(ticket, policy):
        return wish
    return Look(known=wish.known, reason="Exhausted", code=wish.code, why=wish.why)


def _is_last(ticket: Ticket, policy: Policy) -> bool:
    return ticket.attempts + 1 >= policy.max_attempts


def settle(ticket: Ticket, look: Look, sight: Sight, policy: Policy, now: float) -> Decision:
    """What a job becomes once the link was looked at."""
    if sight is Sight.PRESENT:
        return _settle_present(ticket, look, policy, now)
    known, proven, looked = look.known, sight is Sight.ABSENT, Looked(now, sight)
    if not proven and known.success_at is None:
        if policy.require_proof:
            why = f"not seen, but not proven absent; {look.why}"
            return End(_dead("Unverified", look, why, known, looked))
        if look.reason == Reason.MISSING_RIGHT:  # who lacks rights may not see it either
            why = f"{look.why}; not seen, but not proven absent"
            return End(_dead(look.reason, look, why, known, looked))
    return End(
        Outcome(
            kind=Kind.UNLINKED if known.counts_as_unlinked else Kind.ALREADY_ABSENT,
            evidence=Evidence.READ_BACK,
            proven=proven,
            by=known.by,
            code=look.code,
            message=look.why,
            looked=looked,
        )
    )


def _settle_present(ticket: Ticket, look: Look, policy: Policy, now: float) -> Decision:
    known, looked = look.known.after_seen(), Looked(now, Sight.PRESENT)
    waiting = wait_for_reads(known, policy, now)
    if known.success_at is not None:
        return waiting or End(_unlinked_yet_seen(known, policy, now))
    why = f"the link is still there; {look.why}"
    if not _is_last(ticket, policy) and (look.reason is None or contradicts(ticket, look)):
        # the doubt stays: a request given up on may be carried out late
        return Again(why=why, code=look.code, known=replace(known, contradicted=False))
    if waiting is not None:
        return waiting
    if look.reason is None:
        return End(_dead("Exhausted", look, why, known, looked))
    return End(_dead(look.reason, look, look.why, known, looked))


def _dead(reason: str, look: Look, why: str, known: Known, looked: Looked) -> Outcome:
    return dead(reason, look.code, why, Evidence.READ_BACK, by=known.by, looked=looked)


def wait_for_reads(known: Known, policy: Policy, now: float) -> Ask | None:
    """The next look at a link that is shown although a request may have removed it; None: reads lag no longer."""
    pause = lag_left(known.changed_at, now, policy.read_lag)
    if pause is None:
        return None
    why = f"it is still shown; reads may lag up to {policy.read_lag:g} s"
    return Ask(why=why, known=replace(known, contradicted=True), seconds=pause)


def _unlinked_yet_seen(known: Known, policy: Policy, now: float) -> Outcome:
    age = now - (known.success_at or now)
    return Outcome(
        kind=Kind.UNLINKED,
        evidence=Evidence.ANSWERED,
        proven=False,
        by=By.US,
        message=f"answered success, yet a read still showed it {age:.0f} s later (READ_LAG is {policy.read_lag:g} s)",
        looked=Looked(now, Sight.PRESENT),
    )


def before_delete(ticket: Ticket, sight: Sight, policy: Policy, now: float) -> Decision | Ticket:
    """What the look before a delete comes to: the end, a pause, or the ticket with which the link is to be deleted."""
    look = Look(known=ticket.known, why=_why_looked(ticket))
    if sight is not Sight.PRESENT:
        untouched = not ticket.known.in_doubt and not ticket.question
        if sight is Sight.NOT_SEEN and untouched and ticket.give_up is None:
            return ticket  # only LOOK_FIRST asked, and this account may be unable to see it
        return settle(ticket, look, sight, policy, now)
    known = ticket.known.after_seen()
    if known.success_at is not None:
        return settle(ticket, look, sight, policy, now)
    waiting = wait_for_reads(known, policy, now)
    if waiting is not None and (known.contradicted or ticket.give_up is not None):
        return waiting
    if ticket.give_up is not None:
        outcome = attributed(given_up(known, ticket.give_up), known)
        return End(replace(outcome, evidence=Evidence.READ_BACK, looked=Looked(now, Sight.PRESENT)))
    if known.contradicted and _is_last(ticket, policy):
        return settle(ticket, look, sight, policy, now)
    return replace(ticket, question=False, known=replace(known, contradicted=False))


def _why_looked(ticket: Ticket) -> str:
    if ticket.known.in_doubt or ticket.question:
        return "an earlier request was never answered"
    return "it is looked at before it is deleted"


def contradicts(ticket: Ticket, look: Look) -> bool:
    """Whether a link that is seen denies the code, and the code may have been true when it was answered."""
    rule = rule_for(look.code) if look.code is not None else None
    if rule is None or rule.verdict is not Verdict.UNKNOWN or rule.max_tries is None:
        return False
    return ticket.tries.get(rule.code, 0) + 1 < rule.max_tries


def judge_failed_read(ticket: Ticket, look: Look, answer: Answer | Missing, policy: Policy) -> Decision:
    """A read-back that was answered with an error, or not at all."""
    if isinstance(answer, Missing):
        return ask_again(ticket, look, policy, answer.why)
    rule = rule_for(answer.errorcode)
    text = answer.message or rule.text
    if rule.verdict is Verdict.HALT_ACCOUNT:
        return Park(why=text, code=rule.code, known=look.known, question=True)
    if rule.verdict is not Verdict.REFUSED:
        return ask_again(ticket, look, policy, text, rule)
    return _end_unread(look, rule.reason or look.reason or "Unverified", rule.code, f"reading back: {text}")


def ask_again(ticket: Ticket, look: Look, policy: Policy, why: str, rule: CodeRule | None = None) -> Decision:
    """The API did answer, and nothing can be learnt from it: read back later, so often and no more."""
    if _is_last(ticket, policy):
        # a code that names what is wrong, again and again, is the reason; everything else leaves the question open
        reason = (rule.reason if rule is not None and rule.verdict is Verdict.UNKNOWN else None) or "Unverified"
        code = rule.code if rule is not None else None
        return _end_unread(look, reason, code, f"cannot be read back: {why}")
    return Ask(why=why, known=look.known, spend=True)


def _end_unread(look: Look, reason: str, code: int | None, why: str) -> End:
    text = f"{why}; {look.why}" if look.why else why
    evidence = Evidence.ANSWERED if look.code is not None else None
    return End(attributed(dead(reason, code, text, evidence), look.known))
