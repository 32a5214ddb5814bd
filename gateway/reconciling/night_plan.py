"""The plan of a night, as a file while it is used and in Redis while it waits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.plan_file import rows, write_plan
from gateway.reconciling.finding import Findings
from worker.unlinking.diffing import Pair
from worker.unlinking.night import Night
from worker.unlinking.plan import LIFE, Action, PlanDraft, PlanHead, PlanRow, Standing
from worker.unlinking.policies import ReconcilePolicy

NAME = "night.plan.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a plan comes from."""

    night: Night
    policy: ReconcilePolicy
    made_at: float  # Unix seconds
    made_by: str
    target: str  # fingerprint of API and account
    run: str  # id of the run that comes of it


@contextmanager
def written(origin: Origin, findings: Findings, planned: Sequence[Pair]) -> Iterator[tuple[Path, PlanHead]]:
    """The plan's file, which is gone afterwards. Raises CommandError when it cannot be written."""
    draft = PlanDraft(
        id=origin.run,
        action=Action.UNLINK,
        account=origin.policy.account,
        made_at=origin.made_at,
        expires_at=origin.made_at + LIFE,
        made_by=origin.made_by,
        because=origin.policy.because,
        source=f"night {origin.night.id}",
        target=origin.target,
    )
    with TemporaryDirectory(prefix="unlinker-night-") as folder:
        path = Path(folder) / NAME
        made = (PlanRow(relation, Standing.PRESENT) for relation in findings.relations(planned))
        yield path, write_plan(path, draft, made, findings.seen)


def planned_pairs(plan: bytes) -> frozenset[Pair]:
    """What a plan that was kept says. Raises PlanRefused."""
    with TemporaryDirectory(prefix="unlinker-night-") as folder:
        path = Path(folder) / NAME
        path.write_bytes(plan)
        return frozenset((row.relation.parentid, row.relation.childid) for row in rows(path))
