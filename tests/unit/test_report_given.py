"""Whether a plan's file is the one that a run was started from."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.plan_file import write_plan
from gateway.report.given import from_plan
from worker.stores.runs import Run
from worker.unlinking.job import Relation
from worker.unlinking.plan import Action, PlanDraft, PlanHead, PlanRefused, PlanRow, Standing
from worker.unlinking.plan_format import head_line

ROWS = [PlanRow(Relation("calendar:address", number, 5), Standing.PRESENT) for number in (1, 2)]
ROWS.append(PlanRow(Relation("calendar:address", 3, 5), Standing.ABSENT))


def written(path: Path, **changes: str) -> PlanHead:
    draft = PlanDraft(
        id="r",
        action=Action.UNLINK,
        account="default",
        made_at=1.0,
        expires_at=2.0,
        made_by="x",
        because=changes.get("because", "spring"),
        source="links.csv",
    )
    return write_plan(path, draft, ROWS)


def run_of(head: PlanHead) -> Run:
    return Run("r", {"plan_sha256": head.sha256, "rows": str(head.rows), "canary": "10", "size": "500"})


def test_the_plan_of_the_run_gives_all_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "r.plan"
    given = from_plan(run_of(written(path)), path)
    assert (given.sent, given.left_out, given.plan, given.note) == (2, 1, path, "")
    assert list(given.rows) == ROWS


def test_another_plan_of_the_same_id_is_refused(tmp_path: Path) -> None:
    run = run_of(written(tmp_path / "first.plan"))
    written(tmp_path / "second.plan", because="autumn")
    with pytest.raises(PlanRefused, match="not the one that run r"):
        from_plan(run, tmp_path / "second.plan")


@pytest.mark.parametrize("change", [{"id": "another"}, {"rows": 3, "left_out": 0}])
def test_a_head_that_only_claims_to_be_the_plans_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    head = written(path := tmp_path / "r.plan")
    claimed = replace(head, **change)  # type: ignore[arg-type]  # fields of a head
    path.write_bytes(head_line(claimed) + b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(PlanRefused, match="not the one that run r"):
        from_plan(run_of(head), path)


def test_a_run_that_was_not_started_from_a_plan_has_none(tmp_path: Path) -> None:
    written(path := tmp_path / "r.plan")
    with pytest.raises(PlanRefused):
        from_plan(Run("r", {"rows": "2", "canary": "10", "size": "500"}), path)
