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
from worker.unlinking.decisions import Again, Ask, Decision, End, Look, Ticket
from worker.unlinking.giving_up import given_up
from worker.unlinking.judging import Policy, Sight, again, judge_rule
from worker.unlinking.outcome import Evidence, Kind, Outcome, dead

MADE = Outcome(kind=Kind.RESTORED, evidence=Evidence.ANSWERED)
UNSURE = "a create may have been done, and this account has not been seen to see links of this type"
UNPROVEN = "not seen, but not proven absent; nothing was sent"


def before_create(ticket: Ticket, sight: Sight, policy: Policy) -> Decision | None:
    """What the look before a create comes to; None: the link is to be created."""
    if sight is Sight.PRESENT:
        return _present(in_doubt=ticket.in_doubt)
    unsure = sight is Sight.NOT_SEEN and ticket.in_doubt
    if ticket.give_up is not None:
        return End(_unverified(UNSURE) if unsure else given_up(ticket, ticket.give_up))
    if unsure:
        return _ask(ticket, policy)
    if sight is Sight.NOT_SEEN and policy.require_proof:
        return End(_unverified(UNPROVEN))
    return None


def judge_create_answer(ticket: Ticket, answer: Answer | Missing, policy: Policy) -> Decision | Look:
    """What the answer to a create means for its job."""
    if isinstance(answer, Missing):
        return Look(in_doubt=True, why=f"no answer for this action: {answer.why}")
    verdict, rule = judge_create(answer)
    if verdict is Verdict.MADE:
        return Look(in_doubt=True, why="answered success; VERIFY=always looks") if policy.verify_always else End(MADE)
    if rule is None:
        return Look(in_doubt=True, why=f"error code 0, yet success is {answer.success!r}")
    return judge_create_rule(ticket, rule, answer.message, policy)


def judge_create_rule(ticket: Ticket, rule: CodeRule, message: str, policy: Policy) -> Decision | Look:
    """What an error code means for a job that creates."""
    refused_in_doubt = rule.verdict is Verdict.REFUSED and ticket.in_doubt  # an earlier create was done after all?
    if rule.verdict is Verdict.UNKNOWN or refused_in_doubt:
        return Look(in_doubt=True, reason=rule.reason, code=rule.code, why=message or rule.text)
    return judge_rule(ticket, rule, message, policy)


def after_create(ticket: Ticket, look: Look, sight: Sight, policy: Policy) -> Decision:
    """What a job becomes once the link was looked for after a create that did not clearly succeed."""
    if sight is Sight.PRESENT:
        return _present(in_doubt=look.in_doubt)
    if look.reason is not None:
        return End(dead(look.reason, look.code, look.why, Evidence.READ_BACK))
    if sight is Sight.NOT_SEEN and look.in_doubt:
        return _ask(ticket, policy)
    why = f"the link is not there; {look.why}"
    wish = again(ticket, policy, Again(why=why, code=look.code, in_doubt=look.in_doubt))
    if isinstance(wish, Look):
        return End(dead("Exhausted", look.code, why, Evidence.READ_BACK))
    return wish


def _present(*, in_doubt: bool) -> End:
    kind = Kind.RESTORED if in_doubt else Kind.ALREADY_PRESENT
    return End(Outcome(kind=kind, evidence=Evidence.READ_BACK))


def _ask(ticket: Ticket, policy: Policy) -> Decision:
    """Other links of the type may be seen meanwhile, which proves the absence of this one; or it shows up."""
    if ticket.attempts + 1 >= policy.max_attempts:
        return End(_unverified(UNSURE))
    return Ask(why=UNSURE, in_doubt=True, spend=True)


def _unverified(why: str) -> Outcome:
    return dead("Unverified", None, why, Evidence.READ_BACK)
