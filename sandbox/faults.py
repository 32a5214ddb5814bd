"""Faults on demand: rules that spoil the requests they match, for so many times, with some probability."""

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sandbox.actions import ACTION_PREFIX, kind_of

KINDS: Mapping[str, str] = {
    "throttle_429": "HTTP 429; params: retry_after (text, left out if absent), done, done_after",
    "unavailable_503": "HTTP 503; params: retry_after, done, done_after",
    "bad_gateway_502": "HTTP 502 with an HTML page; params: done (the work is done all the same), done_after (so many"
    " seconds after the answer)",
    "doubled": "a proxy delivers the request twice: the work is done twice, the second answer is sent",
    "html_200": "an HTML page with HTTP 200",
    "hang_before": "no answer for params.seconds, nothing done, then the connection is closed",
    "hang_after": "the work is done, no answer for params.seconds, then the connection is closed",
    "reset_before": "connection reset, nothing done; params: done_after",
    "reset_after": "connection reset, the work is done",
    "cut_body": "the work is done, the answer ends after params.bytes",
    "drop_results": "the work is done, the last params.count results are missing",
    "swap_results": "the work is done, the first two results are swapped",
    "foreign_identifier": "the work is done, the first result carries another identifier",
    "drop_records": "the last params.count records of each result are missing; the count of all is right",
    "repeat_records": "each result begins with the record that ended the page before",
    "wrong_count": "the count of all records is off by params.by",
    "action_code": "matching actions answer params.code and params.text; params.done: they are done all the same",
    "request_code": "the whole request answers params.code with no results; params.done: the work is done all the same",
    "lie_ok": "matching deletes and creates answer success and are not done",
    "lie_error": "matching deletes and creates are done and answer 168 or 78",
    "slow": "params.seconds more",
    "empty_body": "the work is done, the answer is empty",
    "truncated_json": "the work is done, the answer is cut but complete for HTTP",
    "gzip_bomb": "params.megabytes of spaces, compressed",
    "wrong_shape": "the work is done, the answer has none of the documented shapes",
    "redirect_302": "HTTP 302 to another address",
    "forbidden_403": "HTTP 403 from the web tier",
    "echo": "the answer repeats the request: params.what, params.writing, params.where, params.code (sandbox/echo.py)",
}
MATCHES = ("relationtype", "parentid", "childid", "action", "account")


class BadRule(ValueError):
    """A rule that cannot be; the text names the field."""


@dataclass(slots=True)
class Rule:
    """One fault."""

    kind: str
    times: int | None = 1  # None: always
    probability: float = 1.0
    match: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    lasts: float | None = None  # seconds that it is in force, from when it was added; None: for ever

    @classmethod
    def from_document(cls, document: object) -> "Rule":
        """From JSON. Raises BadRule."""
        if not isinstance(document, dict):
            raise BadRule("a rule must be an object")
        unknown = set(document) - {"kind", "times", "probability", "match", "params", "lasts"}
        if unknown:
            raise BadRule(f"{sorted(unknown)[0]!r} is no field of a rule")
        kind, times = document.get("kind"), document.get("times", 1)
        if kind not in KINDS:
            raise BadRule(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
            raise BadRule("times must be a whole number from 1, or null for always")
        probability, match = document.get("probability", 1.0), document.get("match", {})
        if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise BadRule("probability must be a number from 0 to 1")
        if not isinstance(match, dict) or set(match) - set(MATCHES):
            raise BadRule(f"match may hold {', '.join(MATCHES)}")
        params = document.get("params", {})
        if not isinstance(params, dict):
            raise BadRule("params must be an object")
        lasts = document.get("lasts")
        if lasts is not None and (isinstance(lasts, bool) or not isinstance(lasts, int | float) or lasts <= 0):
            raise BadRule("lasts must be seconds above 0, or null for ever")
        return cls(str(kind), times, float(probability), match, params, lasts)

    def matches(self, action: Mapping[str, Any], account: str | None) -> bool:
        """Whether an action of an account is meant."""
        raw = action.get("parameters")
        parameters = raw if isinstance(raw, dict) else {}
        seen = {
            "relationtype": kind_of(parameters),
            "parentid": parameters.get("parentid", _number(action.get("resourceid"))),
            "childid": parameters.get("childid"),
            "action": str(action.get("actionid", "")).removeprefix(ACTION_PREFIX),
            "account": account,
        }
        return all(seen[name] == wanted for name, wanted in self.match.items())


def _number(resourceid: object) -> int | None:
    """Of a read by id."""
    return int(resourceid) if isinstance(resourceid, str) and resourceid.isascii() and resourceid.isdigit() else None


class Faults:
    """The rules in force, in the order they came; the first that matches is the one."""

    def __init__(self, seed: int = 0) -> None:
        self._rules: list[Rule] = []
        self._ends: dict[int, float] = {}  # id() of a rule that lasts -> when it ends, on the monotonic clock
        self._random = random.Random(seed)  # noqa: S311  # faults are to be repeatable, not secret

    def add(self, rules: Iterable[Rule]) -> None:
        """Put rules at the end."""
        for rule in rules:
            self._rules.append(rule)
            if rule.lasts is not None:
                self._ends[id(rule)] = time.monotonic() + rule.lasts

    def clear(self) -> None:
        """No more faults."""
        self._rules.clear()
        self._ends.clear()

    def documents(self) -> list[dict[str, Any]]:
        """The rules for people."""
        return [asdict(rule) for rule in self._rules]

    def draw(self, actions: Sequence[Mapping[str, Any]], account: str | None) -> Rule | None:
        """The fault of this request, if any; uses up one of its times."""
        for rule in self._in_force():
            if not any(rule.matches(action, account) for action in actions):
                continue
            if rule.probability < 1 and self._random.random() >= rule.probability:
                continue
            if rule.times is not None:
                rule.times -= 1
                if rule.times == 0:
                    self._forget(rule)
            return rule
        return None

    def _in_force(self) -> list[Rule]:
        now = time.monotonic()
        for rule in [rule for rule in self._rules if self._ends.get(id(rule), now) < now]:
            self._forget(rule)
        return list(self._rules)

    def _forget(self, rule: Rule) -> None:
        self._rules = [each for each in self._rules if each is not rule]
        self._ends.pop(id(rule), None)
