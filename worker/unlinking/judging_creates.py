"""From one answer to a create to one decision. Pure; the counterpart of judging.py for links that shall be there again.

Rule 1: what is there is left alone. Once a create of ours may have been done (no answer, or none that clearly says that
        nothing was done), a link that is there is `restored`; else it is `already_present`.
Rule 2: no create is repeated blindly. Each one follows a look at its own link; a create of ours that may have been done
        is followed by another one only if the absence is proven, that is, if this account was seen to see such links.
Rule 3: a link that is not seen and that no create of ours may have made is taken for absent, as with deletes (API facts
        7.4); REQUIRE_PROOF makes a dead letter of it, and nothing is sent.
"""

from worker.onoffice.codes import CodeRule, Verdict
from worker.onoffice.create_codes import judge_create
from worker.onoffice.replies import Answer, Missing
from worker.unlinking.attribution import Known
from worker.unlinking.decisions import Again, Ask, Decision, End, Look, Ticket
from worker.unlinking.giving_up import given_up
from worker.unlinking.judging import Policy, Sight, again, judge_rule
from worker.unlinking.outcome import Evidence, Kind, Looked, Outcome, dead

MADE = Outcome(kind=Kind.RESTORED, evidence=Evidence.ANSWERED)
UNSURE = "a create may have been done, and this account has not been seen to see links of this type"
UNPROVEN = "not seen, but not proven absent; nothing was sent"


def before_create(ticket: Ticket, sight: Sight, policy: Policy, now: float) -> Decision | None:
    """What the look before a create comes to; None: the link is to be created."""
    if sight is Sight.PRESENT:
        return _present(in_doubt=ticket.known.in_doubt, now=now)
    unsure = sight is Sight.NOT_SEEN and ticket.known.in_doubt
    if ticket.give_up is not None:
        return End(_unverified(UNSURE, now) if unsure else given_up(ticket.known, ticket.give_up))
    if unsure:
        return _ask(ticket, ticket.known, policy, now)
    if sight is Sight.NOT_SEEN and policy.require_proof:
        return End(_unverified(UNPROVEN, now))
    return None


def judge_create_answer(ticket: Ticket, answer: Answer | Missing, policy: Policy, now: float) -> Decision | Look:
    """What the answer to a create means for its job. `now`: Unix seconds."""
    lost = ticket.known.after_loss(now)
    if isinstance(answer, Missing):
        return Look(known=lost, why=f"no answer for this action: {answer.why}")
    verdict, rule = judge_create(answer)
    if verdict is Verdict.MADE:
        return Look(known=lost, why="answered success; VERIFY=always looks") if policy.verify_always else End(MADE)
    if rule is None:
        return Look(known=lost, why=f"error code 0, yet success is {answer.success!r}")
    return judge_create_rule(ticket, rule, answer.message, policy, now)


def judge_create_rule(ticket: Ticket, rule: CodeRule, message: str, policy: Policy, now: float) -> Decision | Look:
    """What an error code means for a job that creates; unless it refuses, it leaves a doubt."""
    text = message or rule.text
    if rule.verdict is Verdict.REFUSED and not ticket.known.in_doubt:
        return End(dead(rule.reason or "UnknownCode", rule.code, text, Evidence.ANSWERED))
    return judge_rule(ticket, rule, message, policy, ticket.known.after_loss(now))


def after_create(ticket: Ticket, look: Look, sight: Sight, policy: Policy, now: float) -> Decision:
    """What a job becomes once the link was looked for after a create that did not clearly succeed."""
    if sight is Sight.PRESENT:
        return _present(in_doubt=look.known.in_doubt, now=now)
    if look.reason is not None:
        return End(dead(look.reason, look.code, look.why, Evidence.READ_BACK, looked=Looked(now, sight)))
    if sight is Sight.NOT_SEEN and look.known.in_doubt:
        return _ask(ticket, look.known, policy, now)
    why = f"the link is not there; {look.why}"
    wish = again(ticket, policy, Again(why=why, code=look.code, known=look.known))
    if isinstance(wish, Look):
        return End(dead("Exhausted", look.code, why, Evidence.READ_BACK, looked=Looked(now, sight)))
    return wish


def _present(*, in_doubt: bool, now: float) -> End:
    kind = Kind.RESTORED if in_doubt else Kind.ALREADY_PRESENT
    return End(Outcome(kind=kind, evidence=Evidence.READ_BACK, looked=Looked(now, Sight.PRESENT)))


def _ask(ticket: Ticket, known: Known, policy: Policy, now: float) -> Decision:
    """Other links of the type may be seen meanwhile, which proves the absence of this one; or it shows up."""
    if ticket.attempts + 1 >= policy.max_attempts:
        return End(_unverified(UNSURE, now))
    return Ask(why=UNSURE, known=known, spend=True)


def _unverified(why: str, now: float) -> Outcome:
    return dead("Unverified", None, why, Evidence.READ_BACK, looked=Looked(now, Sight.NOT_SEEN))
