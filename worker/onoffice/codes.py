"""What an answer means: a table from the vendor's error codes to a verdict, and two small readers of it.

The classes are API facts 3, all of them inferred [I]: nobody documents which code a delete answers with.

    T  transient            again, then dead
    U  unknown error        again, twice at the most
    S  signature            sign anew once, then halt the account
    A  account              halt the account, keep its jobs
    P  permanent            refused: dead letter
    B  bad request          refused: our fault, dead letter
    V  verify               unknown: read back, then decide
    X  says nothing about deleting a relation: again, twice at the most (as codes not in the table)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum

from worker.onoffice.replies import Answer
from worker.onoffice.vendor_codes import TEXTS


class Verdict(StrEnum):
    """What one answer means for one job."""

    GONE = "gone"  # the link was deleted
    MADE = "made"  # the link was created
    ALREADY_GONE = "already_gone"  # there was none
    AGAIN = "again"  # try again, up to `max_tries`
    SLOW_DOWN = "slow_down"  # try again later, at no cost
    REFUSED = "refused"  # it will not work; dead letter
    HALT_ACCOUNT = "halt_account"  # nothing works for this account
    UNKNOWN = "unknown"  # read back, then decide


class Reason(StrEnum):
    """Why a job is dead. The value is the name of the public exception, in worker.unlinking.errors."""

    NOT_DELETABLE = "NotDeletable"  # the link is there, and onOffice keeps it
    NOT_RESTORABLE = "NotRestorable"  # the link is gone, and onOffice does not make it anew
    UNKNOWN_RELATION_TYPE = "UnknownRelationType"
    MISSING_RIGHT = "MissingRight"
    UNKNOWN_RECORD = "UnknownRecord"  # parent or child, for this API user
    BAD_REQUEST = "BadRequest"  # our fault
    UNKNOWN_CODE = "UnknownCode"  # says nothing about deleting a relation
    NOT_SUPPORTED = "NotSupported"
    EXHAUSTED = "Exhausted"  # transient, but it did not pass


@dataclass(frozen=True, slots=True)
class CodeRule:
    """What a code means."""

    code: int
    text: str  # the vendor's
    verdict: Verdict
    reason: Reason | None = None  # what the job dies of, if it does
    max_tries: int | None = None  # of AGAIN, and of UNKNOWN with the link seen; None: as many as any job has, and one
    then: Verdict = Verdict.REFUSED  # what AGAIN becomes when the tries are used up


@dataclass(frozen=True, slots=True)
class _Class:
    verdict: Verdict
    reason: Reason | None = None
    max_tries: int | None = None
    then: Verdict = Verdict.REFUSED


_T = _Class(Verdict.AGAIN, Reason.EXHAUSTED)
_U = _Class(Verdict.AGAIN, Reason.EXHAUSTED, 2)
_S = _Class(Verdict.AGAIN, None, 2, Verdict.HALT_ACCOUNT)
_A = _Class(Verdict.HALT_ACCOUNT)
_B = _Class(Verdict.REFUSED, Reason.BAD_REQUEST)
_RIGHT = _Class(Verdict.REFUSED, Reason.MISSING_RIGHT)
_NOT_SUPPORTED = _Class(Verdict.REFUSED, Reason.NOT_SUPPORTED)
_REFUSED = _Class(Verdict.REFUSED, Reason.NOT_DELETABLE)
_NOT_DELETABLE = _Class(Verdict.UNKNOWN, Reason.NOT_DELETABLE)
# they deny what a look shows if the link was made meanwhile, by an undo for one: then a second try works
_UNKNOWN_RECORD = _Class(Verdict.UNKNOWN, Reason.UNKNOWN_RECORD, 2)
_UNKNOWN_TYPE = _Class(Verdict.UNKNOWN, Reason.UNKNOWN_RELATION_TYPE, 2)
_X = _Class(Verdict.AGAIN, Reason.UNKNOWN_CODE, 2)

_CLASSES: tuple[tuple[_Class, tuple[int, ...]], ...] = (
    # 9: the body may have been lost on the way (proxy); if it is our fault, it runs out of attempts
    (_T, (1, 9, 26, 27, 175, 176, 303)),
    (_U, (8,)),
    # 136: a second time means a wrong clock; 137, 243: a second time means a wrong secret
    (_S, (136, 137, 243)),
    # 13: no token arrived, so no action of this account can work
    # 240: what a Marketplace user may call is a matter of the user, not of one link; so halt, and keep the jobs
    # 28-32, 34-39, 50 and the like are of the calls that manage clients and tokens, which we never make: class X
    (_A, (13, 22, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 104, 134, 150, 153, 158, 184, 193, 201, 240, 248, 286)),
    (_B, (3, 4, 5, 6, 7, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 247)),
    (_B, (73, 74, 79, 96, 110, 167, 185, 186, 187, 194, 215, 219, 227, 228, 229, 236, 254, 255, 270, 282, 294, 302)),
    (_RIGHT, (149, 155, 156, 170, 174, 183, 253, 261, 262)),
    (_NOT_SUPPORTED, (199, 216, 217, 218)),
    (_REFUSED, (173, 178, 179, 180, 181, 182)),
    # 0: the code alone is no success, judge_delete looks at the success element too
    # 97 names no cause; the action's own status does, and without one only a look tells
    (_Class(Verdict.UNKNOWN), (0, 97)),
    (_NOT_DELETABLE, (168,)),
    (_UNKNOWN_RECORD, (80, 117, 121, 169, 235, 251, 292, 293)),
    # a candidate for "there is no such link" too, so look first; the read then says 132 for a wrong type
    (_UNKNOWN_TYPE, (132,)),
)
_BY_CODE: Mapping[int, _Class] = {code: kind for kind, codes in _CLASSES for code in codes}


def _rule(code: int, text: str) -> CodeRule:
    kind = _BY_CODE.get(code, _X)
    return CodeRule(code, text, kind.verdict, kind.reason, kind.max_tries, kind.then)


CODES: Mapping[int, CodeRule] = {code: _rule(code, text) for code, text in TEXTS.items()}


def rule_for(code: int) -> CodeRule:
    """The rule of a code; codes nobody has listed are tried twice, then dead."""
    return CODES.get(code) or _rule(code, f"unknown error code {code}")


def judge_delete(answer: Answer) -> tuple[Verdict, CodeRule | None]:
    """What the answer to a delete means, and the rule if a code was given (API facts 2.2).

    Code 0 is success if the success element says so or is left out; anything else is unknown.
    """
    if answer.errorcode == 0:
        return (Verdict.GONE if answer.success in (None, "success") else Verdict.UNKNOWN), None
    rule = rule_for(answer.errorcode)
    return rule.verdict, rule


def judge_http(status: int, headers: Mapping[str, str]) -> Verdict | None:
    """What an HTTP status means; None: read the body. The API itself answers 200 (API facts 2.4 [I])."""
    if status in (429, 503):
        return Verdict.SLOW_DOWN
    if 200 <= status < 300:
        return None
    if status in (401, 403, 404) or 300 <= status < 400:
        return Verdict.HALT_ACCOUNT  # the web tier: wrong address, or not let in
    return Verdict.UNKNOWN


SHORTEST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 300.0  # seconds; nobody shall be able to stop us for a year
_SECONDS = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")  # float() would take "nan", "inf" and "1_0" too


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait from a Retry-After header, within sane bounds; None when there is none, or it is garbage.

    `now`: Unix seconds. The header is documented nowhere for onOffice; this is defence (API facts 3).
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if _SECONDS.fullmatch(value):
        seconds = float(value)
    else:
        try:
            date = parsedate_to_datetime(value)
            # HTTP dates are GMT; without a known zone Python would take this machine's
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, SHORTEST_PAUSE), LONGEST_PAUSE)
