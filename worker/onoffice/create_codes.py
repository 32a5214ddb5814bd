"""What an answer to a create means, where that is not what the same code means for a delete.

Nobody documents the codes of a create either, nor what creating a link that exists answers (API facts 6.2 [U]), so
after a code that says "not created" the link is looked for, and only one that is not there is refused.
"""

from collections.abc import Mapping

from worker.onoffice.codes import CodeRule, Reason, Verdict, rule_for
from worker.onoffice.replies import Answer
from worker.onoffice.vendor_codes import TEXTS

# 78, 173: not created; 178, 179: cache or relationinfo; 77, 144, 252: a value of the relationinfo
_NOT_CREATED = (77, 78, 144, 173, 178, 179, 252)
_NOTHING_ABOUT_CREATING = (168, 180, 181, 182)  # of delete and modify: again, twice at the most

_CHANGED: Mapping[int, CodeRule] = {
    **{code: CodeRule(code, TEXTS[code], Verdict.UNKNOWN, Reason.NOT_RESTORABLE) for code in _NOT_CREATED},
    **{code: CodeRule(code, TEXTS[code], Verdict.AGAIN, Reason.UNKNOWN_CODE, 2) for code in _NOTHING_ABOUT_CREATING},
}


def create_rule_for(code: int) -> CodeRule:
    """The rule of a code that a create was answered with."""
    return _CHANGED.get(code) or rule_for(code)


def judge_create(answer: Answer) -> tuple[Verdict, CodeRule | None]:
    """What the answer to a create means, and the rule if a code was given.

    Code 0 is success if the success element says so or is left out, as clients were seen to take it (API facts 6.2).
    """
    if answer.errorcode == 0:
        return (Verdict.MADE if answer.success in (None, "success") else Verdict.UNKNOWN), None
    rule = create_rule_for(answer.errorcode)
    return rule.verdict, rule
