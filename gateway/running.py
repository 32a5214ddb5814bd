"""Starting a run from a plan: what is checked before anything is sent, and how its rows reach the workers."""

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from config.accounts import Account
from config.settings import Settings
from gateway.exits import CommandError, Exit
from gateway.plan_file import read_head, rows
from worker.stores.audit import Act, Audit
from worker.stores.nights import NightLost
from worker.stores.runs import Lease, Row, Runs, RunTerms, row_of
from worker.unlinking.brakes import Brakes, count_going, excesses
from worker.unlinking.plan import Action, PlanHead, PlanRefused, PlanRow, Standing, is_sent
from worker.unlinking.runs import Layout, RunState
from worker.unlinking.type_rules import TypeRules

TEXT = 500  # characters of who and why; as long as a job's
STARTED = (RunState.RUNNING, RunState.PAUSED, RunState.STOPPED, RunState.CANCELLED, RunState.DONE)


def target(settings: Settings, account: Account) -> str:
    """Fingerprint of where an account's plans belong: the API's address and the API user. Tells no secret."""
    named = f"{settings.onoffice_url}\n{account.token.get_secret_value()}"
    return hashlib.sha256(named.encode()).hexdigest()[:16]


class AccountTaken(CommandError):
    """Another run has the account; later it may be free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A plan that somebody wants carried out."""

    path: Path
    action: Action
    brakes: Brakes
    by: str
    because: str = ""  # "": as the plan says


@dataclass(frozen=True, slots=True)
class Launch:
    """Carries orders out, with its parts."""

    runs: Runs
    audit: Audit
    rules: TypeRules
    clock: Callable[[], float]  # Unix seconds

    def was_started(self, head: PlanHead) -> bool:
        """Whether this plan was applied before: a plan is one run, and applying it twice does nothing."""
        run = self.runs.get(head.id)
        return run is not None and run.state in STARTED

    def check(self, order: Order, head: PlanHead, here: str | None) -> None:
        """Raises CommandError when the plan may not be applied: what is wrong, and what would allow it.

        `here`: the fingerprint of the plan's account on this machine; None for an account that is not set.
        """
        if head.action is not order.action:
            other = "`unlinker undo apply`" if head.action is Action.RESTORE else "`unlinker bulk apply`"
            raise CommandError(Exit.BAD_INPUT, f"{order.path} is a plan to {head.action}; use {other}")
        if here is None:
            raise CommandError(Exit.BAD_INPUT, f"{order.path}: its account {head.account!r} is not set here")
        if head.target != here:
            raise CommandError(
                Exit.BAD_INPUT,
                f"{order.path} was made for another API address or API user than account {head.account!r} is here; "
                "plan again",
            )
        if self.clock() > head.expires_at:
            hours = (self.clock() - head.made_at) / 3600
            raise CommandError(
                Exit.BAD_INPUT, f"{order.path} is stale: made {hours:.0f} h ago, and links may be new since; plan again"
            )
        if not (order.because or head.because):
            raise CommandError(Exit.BAD_INPUT, "say why with --because TEXT; it is kept with every deletion")
        self._check_types(order, head)
        self._check_brakes(order, head)

    def _check_types(self, order: Order, head: PlanHead) -> None:
        """What is protected may have been so only since the plan was made; bringing links back is never refused."""
        for kind, counts in head.counts.items():
            going = any(count and is_sent(head.action, standing) for standing, count in counts.items())
            refusal = self.rules.refusal(kind) if going and head.action is Action.UNLINK else None
            if refusal is not None:
                raise CommandError(
                    Exit.BRAKE, f"{order.path}: stopped before anything was sent: links of {kind} are {refusal}"
                )

    def _check_brakes(self, order: Order, head: PlanHead) -> None:
        going = count_going(head, _checked(order.path, head))
        over = excesses(head, going, order.brakes)
        if over:
            raise CommandError(
                Exit.BRAKE,
                "stopped before anything was sent: "
                + "; ".join(each.why for each in over)
                + ". If that is meant, allow it with "
                + " ".join(f"{each.option} {each.value}" for each in over),
            )

    def load(self, order: Order, head: PlanHead) -> Iterator[int]:
        """Store the plan's rows; yields how many are stored. Nothing is sent before `start`. Raises CommandError."""
        checked = _checked(order.path, head)
        yield from self.runs.load(self._terms(order, head), (_row(row) for row in itertools.islice(checked, head.rows)))
        for _ in checked:  # to its end, where an edit since the check would show
            pass

    def start(self, order: Order, head: PlanHead, lease: Lease | None = None) -> str:
        """Let the workers begin; the run's id. Raises CommandError, and NightLost when `lease` is no longer ours."""
        terms = self._terms(order, head)
        word = self.runs.open(terms, lease)
        if word == "lost":
            raise NightLost(f"nothing was started: the {head.source} is looked after by somebody else")
        if word == "missing":
            raise CommandError(Exit.UNREACHABLE, "the run's rows were lost on the way to Redis; apply the plan again")
        if word not in ("started", "exists"):
            raise AccountTaken(
                Exit.BRAKE,
                f"run {word} has account {head.account!r}, and there is one run an account at a time; wait for it "
                f"(`unlinker bulk status {word} --follow`), or `unlinker bulk cancel {word}`",
            )
        if word == "started":
            wanted: dict[str, object] = {"run": head.id, "account": head.account, "source": head.source}
            act = Act(action=f"{head.action} run", by=order.by, because=terms.because, wanted=wanted, count=head.rows)
            self.audit.note(act)
        return head.id

    def _terms(self, order: Order, head: PlanHead) -> RunTerms:
        return RunTerms(
            id=head.id,
            account=head.account,
            action=str(head.action),
            layout=Layout(head.rows, order.brakes.canary),
            max_failure_rate=order.brakes.max_failure_rate,
            by=order.by[:TEXT],
            because=(order.because or head.because)[:TEXT],
            source=head.source,
            plan=str(order.path.resolve()),
            plan_sha256=head.sha256,
        )


def open_plan(path: Path) -> PlanHead:
    """The head of a plan. Raises CommandError."""
    try:
        return read_head(path)
    except PlanRefused as refused:
        raise CommandError(Exit.BAD_INPUT, f"{refused}") from None


def _checked(path: Path, head: PlanHead) -> Iterator[PlanRow]:
    """The rows of this very plan. Raises CommandError."""
    try:
        yield from rows(path, head)
    except PlanRefused as refused:
        raise CommandError(Exit.BAD_INPUT, f"{refused}") from None


def _row(row: PlanRow) -> Row:
    found = row_of(row.relation, seen=row.standing is Standing.PRESENT)
    return found if row.confirmation is None else [*found, row.confirmation]


def now() -> float:
    """Unix seconds."""
    return time.time()
