"""Plans as files: what is written is read again, and nothing else is taken for a plan."""

import gzip
import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import plan_file
from gateway.exits import CommandError, Exit
from tests.harness import ROOT
from worker.unlinking.job import MAX_ID, Relation
from worker.unlinking.plan import Action, PlanDraft, PlanHead, PlanRefused, PlanRow, Seen, Standing, is_sent
from worker.unlinking.plan_format import head_line, row_line, seal
from worker.unlinking.relation_types import RELATION_TYPES, Deletable

DRAFT = PlanDraft(
    id="0b7c6a3e-0000-4000-8000-000000000001",
    action=Action.UNLINK,
    account="default",
    made_at=1_700_000_000.25,
    expires_at=1_700_086_400.25,
    made_by="somebody@somewhere",
    because="wrong import",
    source="links.csv",
    columns=("relationtype", "parentid", "childid", "name"),
)
ROWS = [
    PlanRow(Relation("calendar:address", 671, 153), Standing.PRESENT, "2", ("calendar:address", "671", "153", "Ä\n")),
    PlanRow(Relation("calendar:address", 671, 154), Standing.ABSENT, "3", ("calendar:address", "671", "154", "")),
    PlanRow(Relation("estate:address:buyer", 10, 20), Standing.UNKNOWN, "4", ("estate:address:buyer", "10", "20", "x")),
    PlanRow(Relation("user:messengerUser:is", 1, 2), Standing.REFUSED, "5", ("user:messengerUser:is", "1", "2", "")),
    PlanRow(Relation("calendar:address", MAX_ID, 1), Standing.NOT_SEEN, "6", ("a", "\ud800", "\0", "\u2028")),
]
SEEN = Seen({"calendar:address": 3}, {"calendar:address": {671: 3, 5: 0}})
SENT = [row for row in ROWS if is_sent(Action.UNLINK, row.standing)]
LEFT_OUT = [row for row in ROWS if not is_sent(Action.UNLINK, row.standing)]


def made(path: Path, rows: Sequence[PlanRow] = ROWS) -> Path:
    plan_file.write_plan(path, DRAFT, rows, SEEN)
    return path


@pytest.mark.parametrize("name", ["a.plan.jsonl", "a.plan.jsonl.gz"])
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    head = plan_file.write_plan(tmp_path / name, DRAFT, ROWS, SEEN)
    assert list(plan_file.rows(tmp_path / name)) == [*SENT, *LEFT_OUT]
    assert plan_file.read_head(tmp_path / name) == plan_file.verify(tmp_path / name) == head
    assert (head.rows, head.left_out) == (2, 3)
    assert head.counts["calendar:address"] == {Standing.PRESENT: 1, Standing.ABSENT: 1, Standing.NOT_SEEN: 1}
    assert head.extents == {"calendar:address": {671: 3, 5: 0}}
    assert (head.id, head.account, head.because, head.columns) == (
        DRAFT.id,
        "default",
        "wrong import",
        DRAFT.columns,
    )
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_gz_is_smaller(tmp_path: Path) -> None:
    rows = ROWS * 100
    assert made(tmp_path / "a.gz", rows).stat().st_size * 5 < made(tmp_path / "a", rows).stat().st_size


def test_an_empty_plan_is_a_plan(tmp_path: Path) -> None:
    made(tmp_path / "a", [])
    assert list(plan_file.rows(tmp_path / "a")) == []
    assert plan_file.verify(tmp_path / "a").rows == 0


def test_what_is_restored_is_what_is_absent() -> None:
    sent = {action: {each for each in Standing if is_sent(action, each)} for action in Action}
    assert sent[Action.UNLINK] == {Standing.PRESENT, Standing.UNCHECKED, Standing.UNKNOWN}
    assert sent[Action.RESTORE] == {Standing.ABSENT, Standing.NOT_SEEN, Standing.UNCHECKED, Standing.UNKNOWN}


def test_a_restore_keeps_the_confirmation(tmp_path: Path) -> None:
    row = PlanRow(Relation("calendar:address", 1, 2), Standing.ABSENT, confirmation="confirmed")
    plan_file.write_plan(tmp_path / "a", replace(DRAFT, action=Action.RESTORE), [row])
    assert list(plan_file.rows(tmp_path / "a")) == [row]


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_every_edit_is_noticed(tmp_path: Path, name: str) -> None:
    whole = made(tmp_path / "whole").read_bytes()
    edited = tmp_path / name
    for place in range(0, len(whole), 1 if name == "a" else 7):
        for content in (
            whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
            whole[:place],
            whole[:place] + whole[place + 1 :],
            whole[:place] + b"1" + whole[place:],
        ):
            if content == whole:
                continue
            edited.write_bytes(gzip.compress(content, 1) if name == "a.gz" else content)
            with pytest.raises(PlanRefused, match=name):
                plan_file.verify(edited)
            with pytest.raises(PlanRefused, match=name):
                list(plan_file.rows(edited))


def test_more_at_the_end_is_noticed(tmp_path: Path) -> None:
    path = made(tmp_path / "a")
    path.write_bytes(path.read_bytes() + row_line(ROWS[0]))
    with pytest.raises(PlanRefused, match="more in it than its 5 rows"):
        plan_file.verify(path)


def test_a_row_that_is_gone_is_noticed_as_such(tmp_path: Path) -> None:
    path = made(tmp_path / "a")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(PlanRefused, match="cut off after 4 of 5 rows"):
        plan_file.verify(path)


def test_a_gz_that_is_cut_off_or_damaged_is_noticed(tmp_path: Path) -> None:
    whole = made(tmp_path / "whole.gz").read_bytes()
    cut = tmp_path / "cut.gz"
    for place in range(len(whole)):
        cut.write_bytes(whole[:place])
        with pytest.raises(PlanRefused):
            plan_file.verify(cut)
    cut.write_bytes(whole + b"more")
    with pytest.raises(PlanRefused):
        plan_file.verify(cut)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no plan"),
        (b"relationtype,parentid,childid\n", "no plan"),
        (b"[" * 100_000, "no plan"),
        (b"\0" * 100, "no plan"),
        (b"{}\n", "no plan"),
        (b'{"unlinker_plan":2}\n', "of version 2, and this unlinker reads 1"),
        (b'{"unlinker_plan":true}\n', "head"),
        (b'{"unlinker_plan":"' + b"9" * 1000 + b'"}\n', "version 9999"),
        (b'{"unlinker_plan":1}\n', "fields of its head"),
        (b"9" * 5000 + b"\n", "no plan"),
    ],
)
def test_what_is_no_plan_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(PlanRefused, match=why) as refused:
        plan_file.verify(path)
    assert len(str(refused.value)) < 400
    with pytest.raises(PlanRefused):
        plan_file.read_head(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(PlanRefused, match="cannot be read"):
            plan_file.verify(path)


def test_an_endless_line_is_refused_and_fills_no_memory(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gz"
    with gzip.open(bomb, "wb", 1) as file:
        for _ in range(64):
            file.write(b" " * 1024 * 1024)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PlanRefused, match="longer than any"):
        plan_file.verify(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB


HEAD = PlanHead(
    **{name: getattr(DRAFT, name) for name in PlanDraft.__dataclass_fields__}, rows=1, left_out=0, counts={}
)


def forged(path: Path, head: PlanHead, line: bytes) -> Path:
    """A plan with a right sha256, made by somebody who knows how."""
    path.write_bytes(head_line(seal(head, [line])) + line)
    return path


@pytest.mark.parametrize(
    "line",
    [
        b'["user:messengerUser:is",1,2,"present","",[]]\n',
        b'["no:type",1,2,"present","",[]]\n',
        b'["calendar:address",0,2,"present","",[]]\n',
        b'["calendar:address",-1,2,"present","",[]]\n',
        b'["calendar:address",true,2,"present","",[]]\n',
        b'["calendar:address",1.0,2,"present","",[]]\n',
        b'["calendar:address","1",2,"present","",[]]\n',
        b'["calendar:address",1,9223372036854775808,"present","",[]]\n',
        b'["calendar:address",1,2,"there","",[]]\n',
        b'["calendar:address",1,2,"absent","",[]]\n',
        b'["calendar:address",1,2,"present",5,[]]\n',
        b'["calendar:address",1,2,"present","",[1]]\n',
        b'["calendar:address",1,2,"present","",[],7]\n',
        b'["calendar:address",1,2,"present","",[],"a","b"]\n',
        b'[["calendar:address"],1,2,"present","",[]]\n',
        b'["calendar:address",1,2,{},"",[]]\n',
        b'["calendar:address",1,2,"present","",null]\n',
        b"null\n",
        b"{}\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_forged_row_is_refused(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(PlanRefused):
        plan_file.verify(forged(tmp_path / "a", HEAD, line))


def test_a_row_in_the_wrong_half_is_refused(tmp_path: Path) -> None:
    """Rows that are left out must never be sent, whatever the head counts."""
    head = replace(HEAD, counts={"calendar:address": {Standing.ABSENT: 1}})
    line = b'["calendar:address",1,2,"absent","",[]]\n'
    plan_file.verify(forged(tmp_path / "good", replace(head, rows=0, left_out=1), line))
    with pytest.raises(PlanRefused, match="in the wrong half"):
        plan_file.verify(forged(tmp_path / "bad", head, line))


@pytest.mark.parametrize(("part", "edited"), [(b',"account"', b', "account"'), (b'{"unl', b'{"rows":9,"unl')])
def test_an_edit_that_means_nothing_is_noticed_too(tmp_path: Path, part: bytes, edited: bytes) -> None:
    path = made(tmp_path / "a")
    assert part in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(part, edited, 1))
    with pytest.raises(PlanRefused, match="its head is not as it was written"):
        plan_file.verify(path)


@pytest.mark.parametrize(
    "change",
    [
        {"made_at": float("nan")},
        {"expires_at": float("inf")},
        {"expires_at": 0.0},
        {"rows": -1},
        {"rows": 10**30},
        {"counts": {"calendar:address": {"there": 1}}},
        {"counts": {"calendar:address": 5}},
        {"counts": {"calendar:address": {Standing.PRESENT: 2}}},
        {"extents": {"calendar:address": {"one": 1}}},
        {"extents": {"calendar:address": [1]}},
        {"action": "destroy"},
        {"columns": [1]},
        {"account": None},
    ],
)
def test_a_forged_head_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    row = b'["calendar:address",1,2,"present","",[]]\n'
    good = replace(HEAD, counts={"calendar:address": {Standing.PRESENT: 1}})
    plan_file.verify(forged(tmp_path / "good", good, row))
    with pytest.raises(PlanRefused):
        plan_file.verify(forged(tmp_path / "bad", replace(good, **change), row))  # type: ignore[arg-type]  # wrong on purpose


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(CommandError, match="exists already") as error:
        made(tmp_path / "a")
    assert error.value.code is Exit.BAD_INPUT
    assert (tmp_path / "a").read_text() == "mine"


def test_a_plan_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def breaking_off() -> Iterator[PlanRow]:
        yield ROWS[0]
        raise RuntimeError("the input broke off")

    with pytest.raises(RuntimeError):
        plan_file.write_plan(tmp_path / "a", DRAFT, breaking_off())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written"):
        made(tmp_path / "none" / "a")


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    limit = 300_000
    script = f"""
import resource, signal
from pathlib import Path
from tests.unit import test_plan_file as t
from gateway.exits import CommandError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    t.made(Path("a"), t.ROWS * 10_000)
except CommandError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "a cannot be written: File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


DELETABLE = [kind.short for kind in RELATION_TYPES.values() if kind.deletable is not Deletable.READ_ONLY]
IDS = st.integers(1, MAX_ID)
PLAN_ROWS = st.builds(
    PlanRow,
    st.builds(Relation, st.sampled_from(DELETABLE), IDS, IDS),
    st.sampled_from(Standing),
    st.text(max_size=8),
    st.lists(st.text(st.characters(), max_size=20), max_size=4).map(tuple),
    st.none() | st.text(max_size=8),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(rows=st.lists(PLAN_ROWS, max_size=8), action=st.sampled_from(Action), packed=st.booleans())
def test_any_rows_come_back_and_in_order(tmp_path: Path, rows: list[PlanRow], action: Action, packed: bool) -> None:
    path = tmp_path / ("any.gz" if packed else "any")
    path.unlink(missing_ok=True)
    head = plan_file.write_plan(path, replace(DRAFT, action=action), rows)
    sent = [row for row in rows if is_sent(action, row.standing)]
    assert list(plan_file.rows(path)) == sent + [row for row in rows if not is_sent(action, row.standing)]
    assert plan_file.verify(path) == head
    assert head.rows == len(sent)
    lines = path.read_bytes() if not packed else gzip.decompress(path.read_bytes())
    assert all(isinstance(json.loads(line), list) for line in lines.splitlines()[1:])


def test_many_rows_take_little_memory(tmp_path: Path) -> None:
    """The plan never lies in memory; docs/performance.md has the figures of a million."""
    script = """
import resource
from pathlib import Path
from tests.unit import test_plan_file as t
rows = (t.PlanRow(t.Relation("calendar:address", n // 9 + 1, n + 1), t.Standing.UNCHECKED, str(n), ("a", str(n)))
        for n in range(200_000))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
t.plan_file.write_plan(Path("a"), t.DRAFT, rows)
assert t.plan_file.verify(Path("a")).rows == 200_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 10_000  # KiB
