"""Starting a run from a plan on a real Valkey: what was checked is what is done."""

from pathlib import Path

import pytest
import redis

from gateway.exits import CommandError
from gateway.plan_file import write_plan
from gateway.running import Launch, Order, open_plan
from worker.stores import keys
from worker.stores.audit import Audit
from worker.stores.runs import Runs
from worker.unlinking.brakes import Brakes
from worker.unlinking.job import Relation
from worker.unlinking.plan import Action, PlanDraft, PlanHead, PlanRow, Standing
from worker.unlinking.type_rules import TypeRules

HERE = "here"
DRAFT = PlanDraft(
    id="0b7c6a3e-0000-4000-8000-000000000001",
    action=Action.UNLINK,
    account="default",
    made_at=1_700_000_000.0,
    expires_at=1_700_086_400.0,
    made_by="x",
    because="y",
    source="z",
    columns=(),
    target=HERE,
)
SENT = [PlanRow(Relation("calendar:address", 671, child), Standing.PRESENT) for child in range(101, 131)]
LEFT_OUT = [PlanRow(Relation("calendar:address", 672, child), Standing.ABSENT) for child in range(101, 111)]


class Desk:
    """An operator with a plan."""

    def __init__(self, url: str, path: Path, rows: list[PlanRow]) -> None:
        self.client = redis.Redis.from_url(url)
        self.path = path
        self.head = write_plan(path, DRAFT, rows)
        self.runs = Runs(self.client)
        self.launch = Launch(self.runs, Audit(self.client), TypeRules(), lambda: DRAFT.made_at)
        self.order = Order(path=path, action=Action.UNLINK, brakes=Brakes(), by="tests")

    def apply(self, edited: bytes | None = None) -> str:
        """Check, load, start; `edited`: the plan's content from the check on."""
        head = open_plan(self.path)
        self.launch.check(self.order, head, HERE)
        if edited is not None:
            self.path.write_bytes(edited)
        for _ in self.launch.load(self.order, head):
            pass
        return self.launch.start(self.order, head)

    @property
    def stored(self) -> list[int]:
        """The children that would be unlinked."""
        run = self.runs.get(DRAFT.id)
        assert run is not None
        return [row[2] for row in self.runs.rows(run)]


@pytest.fixture(params=[SENT, SENT + LEFT_OUT], ids=["all sent", "some left out"])
def desk(redis_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    return Desk(redis_url, tmp_path / "a.plan.jsonl", request.param)


def test_what_was_checked_is_done(desk: Desk) -> None:
    assert desk.apply() == DRAFT.id
    assert desk.stored == [row.relation.childid for row in SENT]
    assert desk.runs.holder("default") == DRAFT.id


@pytest.mark.parametrize("row", [0, len(SENT) - 1])
def test_a_row_that_was_edited_since_the_check_stops_it(desk: Desk, row: int) -> None:
    """Another link than the one that somebody looked at, and that the brakes counted."""
    child = str(SENT[row].relation.childid).encode()
    content = desk.path.read_bytes()
    edited = content.replace(b"671," + child, b"671,999")
    assert edited != content
    _assert_stopped(desk, edited)


def test_rows_that_were_added_or_taken_since_the_check_stop_it(desk: Desk) -> None:
    lines = desk.path.read_bytes().splitlines(keepends=True)
    _assert_stopped(desk, b"".join([*lines, lines[-1]]))


def test_rows_that_are_gone_since_the_check_stop_it(desk: Desk) -> None:
    lines = desk.path.read_bytes().splitlines(keepends=True)
    _assert_stopped(desk, b"".join(lines[:-1]))


def _assert_stopped(desk: Desk, edited: bytes) -> None:
    with pytest.raises(CommandError, match="plan"):
        desk.apply(edited)
    assert desk.runs.holder("default") is None
    assert desk.client.scard(keys.RUNS_OPEN) == 0


def test_a_whole_other_plan_under_the_same_name_stops_it(desk: Desk, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_plan(
        other, DRAFT, [PlanRow(Relation("calendar:address", 5, child), Standing.PRESENT) for child in range(1, 31)]
    )
    _assert_stopped(desk, other.read_bytes())


def test_a_head_is_what_its_reader_says(desk: Desk) -> None:
    assert isinstance(desk.head, PlanHead)
    assert open_plan(desk.path) == desk.head
