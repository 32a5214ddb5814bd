"""From one answer to one decision. Pure: the table of codes decides, this file only reads it.

Rule 1: only a clear "success" is success. Whatever is unclear becomes a Look, never a guess.
Rule 2: a link that is absent was removed by us only if a request of ours may have removed it (`in_doubt`);
        an answer that names an error did nothing, as far as anybody knows.
Rule 3: absence counts as proven only if this account was seen to see links of that type (API facts 7.4).
"""

from dataclasses import dataclass
from enum import Enum

from worker.onoffice.codes import CodeRule, Verdict, judge_delete, rule_for
from worker.onoffice.replies import Answer, Missing
from worker.unlinking.decisions import Again, Ask, Decision, End, Look, Park, Snooze, Ticket
from worker.unlinking.outcome import Evidence, Kind, Outcome, dead

SLOW_DOWN_SECONDS = 1.0  # the limiter knows better how long; this only spreads the jobs


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator chose."""

    max_attempts: int = 5
    verify_always: bool = False
    require_proof: bool = False
    keep_confirmation: bool = False  # save the status of an appointment's participant before unlinking it


class Sight(Enum):
    """What a read-back showed of one link."""

    PRESENT = "present"
    ABSENT = "absent"  # and this account has been seen to see such links
    NOT_SEEN = "not_seen"  # absent, or invisible to this account


def judge_answer(ticket: Ticket, answer: Answer | Missing, policy: Policy) -> Decision | Look:
    """What the answer to a delete means for its job."""
    if isinstance(answer, Missing):
        return Look(in_doubt=True, why=f"no answer for this action: {answer.why}")
    verdict, rule = judge_delete(answer)
    if verdict is Verdict.GONE:
        if policy.verify_always:
            return Look(in_doubt=True, why="answered success; VERIFY=always looks")
        return End(Outcome(kind=Kind.UNLINKED, evidence=Evidence.ANSWERED))
    if rule is None:
        return Look(in_doubt=True, why=f"error code 0, yet success is {answer.success!r}")
    return judge_rule(ticket, rule, answer.message, policy)


def judge_rule(ticket: Ticket, rule: CodeRule, message: str, policy: Policy) -> Decision | Look:
    """What an error code means for one job."""
    text = message or rule.text
    if rule.verdict is Verdict.AGAIN:
        return _judge_again(ticket, rule, text, policy)
    return _judge_final(rule.verdict, ticket, rule, text)


def _judge_again(ticket: Ticket, rule: CodeRule, text: str, policy: Policy) -> Decision | Look:
    in_doubt = ticket.in_doubt or rule.then is not Verdict.HALT_ACCOUNT  # a bad signature surely did nothing
    if rule.max_tries is not None and ticket.tries.get(rule.code, 0) + 1 >= rule.max_tries:
        if rule.then is Verdict.REFUSED and in_doubt:
            return Look(in_doubt=in_doubt, reason=rule.reason or "UnknownCode", code=rule.code, why=text)
        return _judge_final(rule.then, ticket, rule, text)
    return again(ticket, policy, Again(why=text, code=rule.code, in_doubt=in_doubt))


def _judge_final(verdict: Verdict, ticket: Ticket, rule: CodeRule, text: str) -> Decision | Look:
    match verdict:
        case Verdict.HALT_ACCOUNT:
            return Park(why=text, code=rule.code, in_doubt=ticket.in_doubt)
        case Verdict.SLOW_DOWN:
            return Snooze(seconds=SLOW_DOWN_SECONDS, why=text, in_doubt=ticket.in_doubt)
        case Verdict.REFUSED:
            return End(dead(rule.reason or "UnknownCode", rule.code, text, Evidence.ANSWERED))
        case _:
            return Look(in_doubt=ticket.in_doubt, reason=rule.reason, code=rule.code, why=text)


def again(ticket: Ticket, policy: Policy, wish: Again) -> Again | Look:
    """`wish`, or a last look when all attempts are spent."""
    if ticket.attempts + 1 < policy.max_attempts:
        return wish
    return Look(in_doubt=wish.in_doubt, reason="Exhausted", code=wish.code, why=wish.why)


def settle(ticket: Ticket, look: Look, sight: Sight, policy: Policy) -> Decision:
    """What a job becomes once the link was looked at."""
    if sight is Sight.PRESENT:
        return _settle_present(ticket, look, policy)
    proven = sight is Sight.ABSENT
    if not proven and policy.require_proof:
        return End(dead("Unverified", look.code, f"not seen, but not proven absent; {look.why}", Evidence.READ_BACK))
    kind = Kind.UNLINKED if look.in_doubt else Kind.ALREADY_ABSENT
    return End(Outcome(kind=kind, evidence=Evidence.READ_BACK, proven=proven, code=look.code, message=look.why))


def _settle_present(ticket: Ticket, look: Look, policy: Policy) -> Decision:
    if look.reason is not None:
        if contradicts(ticket, look) and ticket.attempts + 1 < policy.max_attempts:
            return Again(why=f"the link is there; {look.why}", code=look.code, in_doubt=look.in_doubt)
        return End(dead(look.reason, look.code, look.why, Evidence.READ_BACK))
    # the doubt stays: a request given up on may be carried out late, and a read may lag behind a delete
    why = f"the link is still there; {look.why}"
    wish = again(ticket, policy, Again(why=why, code=look.code, in_doubt=look.in_doubt))
    if isinstance(wish, Look):
        return End(dead("Exhausted", look.code, why, Evidence.READ_BACK))
    return wish


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
        return Park(why=text, code=rule.code, in_doubt=look.in_doubt, question=True)
    if rule.verdict is not Verdict.REFUSED:
        return ask_again(ticket, look, policy, text, rule)
    return End(dead(rule.reason or look.reason or "Unverified", rule.code, f"reading back: {text}", Evidence.READ_BACK))


def ask_again(ticket: Ticket, look: Look, policy: Policy, why: str, rule: CodeRule | None = None) -> Decision:
    """The API did answer, and nothing can be learnt from it: read back later, so often and no more."""
    if ticket.attempts + 1 >= policy.max_attempts:
        # a code that names what is wrong, again and again, is the reason; everything else leaves the question open
        reason = (rule.reason if rule is not None and rule.verdict is Verdict.UNKNOWN else None) or "Unverified"
        code = rule.code if rule is not None else None
        return End(dead(reason, code, f"cannot be read back: {why}", Evidence.READ_BACK))
    return Ask(why=why, in_doubt=look.in_doubt, spend=True)
