"""`unlinker bulk plan`, as an operator uses it, on a sandbox that works, hides, lies or is away."""

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway import cli, plan_file
from gateway.exits import Exit
from gateway.planning import checking
from tests.harness import House, eventually
from worker.engine import polite_api, reading_desk
from worker.stores import keys
from worker.unlinking.plan import PlanRow, Standing

KIND = "estate:address:interested"
HEADER = "relationtype,parentid,childid\n"
Link = tuple[str, int, int]


@dataclass
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass
class Operator:
    """Types commands, in this process."""

    house: House
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    files: int = field(default=0)

    def plan(self, *arguments: str | Path, **settings: str) -> Said:
        """`unlinker bulk plan ARGUMENTS`."""
        with self.monkeypatch.context() as patch:
            for name, value in (self.house.environment() | settings).items():
                patch.setenv(name, value)
            code = cli.run(["bulk", "plan", *map(str, arguments)])
        captured = self.capsys.readouterr()
        return Said(code, captured.out, captured.err)

    def file(self, content: str | bytes, name: str = "links.csv") -> Path:
        """A file in a folder of its own."""
        self.files += 1
        path = Path(f"{self.files}") / name
        path.parent.mkdir()
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def csv(self, *links: Link) -> Path:
        """A CSV of links."""
        return self.file(HEADER + "".join(f"{kind},{parent},{child}\n" for kind, parent, child in links))


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Nothing of these tests stays in it."""
    house = House(tmp_path_factory.mktemp("plans") / "house")
    try:
        house.start_sandbox()
        yield house
    finally:
        house.close()


@pytest.fixture
def operator(
    shared_house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Operator]:
    shared_house.client.flushall()
    shared_house.sandbox.call("POST", "reset")
    shared_house.settings["UNLINKER_REQUESTS_PER_SECOND"] = "1000"
    monkeypatch.setattr(polite_api, "PAUSE", 0.02)
    monkeypatch.setattr(polite_api, "PROBE_PAUSE", 0.05)
    yield Operator(shared_house, monkeypatch, capsys)
    assert not shared_house.sandbox.actions("delete"), "planning deletes nothing"


def rows(path: str | Path) -> list[PlanRow]:
    plan_file.verify(Path(path))
    return list(plan_file.rows(Path(path)))


def standings(path: str | Path) -> dict[Link, str]:
    return {(r.relation.relationtype, r.relation.parentid, r.relation.childid): r.standing.value for r in rows(path)}


def test_a_csv_with_mistakes_becomes_a_plan(operator: Operator) -> None:
    """The way a new user goes: mistakes are listed, then the rest is planned."""
    operator.house.sandbox.add_links([(KIND, 1, 2), (KIND, 1, 3)])
    path = operator.file(
        "type;parent;child;note\n"
        f"{KIND};1;2;first\n"
        f"{KIND};1,0;2;\n"
        f"{KIND};1;9;gone\n"
        f"estate:adress:buyer;10;20;\n"
        f"{KIND};1;2;again\n"
    )
    said = operator.plan(path, "--because", "ticket 4711")
    assert said.code == Exit.BAD_INPUT
    assert said.out == ""
    assert f"2 bad rows, all of them in {path}.bad.csv: nothing is planned" in said.err
    assert "--skip-bad-rows" in said.err
    bad = Path(f"{path}.bad.csv").read_text().splitlines()
    assert bad[1] == f'{path},3,parentid,"1,0",is a decimal number; write digits only'
    assert bad[2].startswith(f"{path},5,relationtype,estate:adress:buyer,")
    assert len(bad) == 3
    assert not Path(f"{path}.plan.jsonl").exists()
    assert not operator.house.sandbox.requests(), "onOffice is not bothered for nothing"

    said = operator.plan(path, "--because", "ticket 4711", "--skip-bad-rows")
    assert said.code == Exit.DONE
    assert "1 links would be deleted, 1 rows are left out" in said.err
    assert "1 rows repeat others and count once (line 6 repeats line 2)" in said.err
    assert f"next: unlinker bulk apply {path}.plan.jsonl" in said.err
    assert "present" in said.out
    assert "absent" in said.out
    head = plan_file.verify(Path(f"{path}.plan.jsonl"))
    assert (head.because, head.source, head.account, head.rows, head.left_out) == (
        "ticket 4711",
        str(path),
        "default",
        1,
        1,
    )
    assert head.columns == ("type", "parent", "child", "note")
    assert head.extents == {KIND: {1: 2}}
    assert head.existing == {KIND: 2}
    assert [(row.source, row.standing, row.input) for row in rows(f"{path}.plan.jsonl")] == [
        ("2", Standing.PRESENT, (KIND, "1", "2", "first")),
        ("4", Standing.ABSENT, (KIND, "1", "9", "gone")),
    ]


def test_what_is_hidden_is_not_called_absent(operator: Operator) -> None:
    operator.house.sandbox.add_links([(KIND, 1, 2)])
    operator.house.sandbox.call("PUT", "rights", {"hidden_types": [KIND]})
    path = operator.csv((KIND, 1, 2), ("calendar:address", 671, 153), ("calendar:address", 671, 1))
    said = operator.plan(path, "--json")
    assert said.code == Exit.DONE
    assert standings(said.document["plan"]) == {
        (KIND, 1, 2): "not_seen",
        ("calendar:address", 671, 153): "present",
        ("calendar:address", 671, 1): "absent",
    }
    assert said.document["rows"] == 1
    assert said.document["counts"][KIND] == {"not_seen": 1}


def test_absence_is_proven_by_a_later_portion_too(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "PORTION", 2)
    operator.house.sandbox.add_links([(KIND, 9, 9)])
    said = operator.plan(operator.csv(*((KIND, parent, 1) for parent in range(1, 6)), (KIND, 9, 9)), "--json")
    assert set(standings(said.document["plan"]).values()) == {"absent", "present"}
    assert said.document["existing"] == {KIND: 1}


def test_one_child_of_many_parents_is_looked_at_once(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "MOST_EXTENTS", 5)
    monkeypatch.setattr(checking, "PORTION", 7)
    links = [(KIND, parent, child) for parent in range(1, 31) for child in (1, 2)]
    operator.house.sandbox.add_links(links[:-1])
    said = operator.plan(operator.csv(*links), "--json")
    assert said.document["counts"] == {KIND: {"present": 59, "absent": 1}}
    assert {str(action["childid"]) for action in operator.house.sandbox.actions("get")} == {"[1]", "[1, 2]", "[2]"}
    assert said.document["existing"] == {}, "of these parents nobody knows what else they have"


def test_protected_and_read_only_types_are_left_alone(operator: Operator) -> None:
    path = operator.csv(("calendar:address", 671, 153), ("user:messengerUser:is", 1, 2), ("calendar:estate", 671, 42))
    said = operator.plan(path, "--json", UNLINKER_PROTECTED_TYPES="calendar:address, estate:address:owner")
    assert said.document["refused"] == {
        "calendar:address": "protected by UNLINKER_PROTECTED_TYPES",
        "user:messengerUser:is": "read only in onOffice",
    }
    assert standings(said.document["plan"]) == {
        ("calendar:address", 671, 153): "refused",
        ("user:messengerUser:is", 1, 2): "refused",
        ("calendar:estate", 671, 42): "present",
    }
    assert [action["relationtype"] for action in operator.house.sandbox.actions("get")] == ["calendar:estate"]
    said = operator.plan(path, "--no-check", "--out", "b.plan", UNLINKER_ALLOWED_TYPES="calendar:address")
    assert standings("b.plan")["calendar:estate", 671, 42] == "refused"
    assert standings("b.plan")["calendar:address", 671, 153] == "unchecked"
    assert "calendar:estate: left alone, not in UNLINKER_ALLOWED_TYPES" in said.err
    said = operator.plan(path, "--no-check", "--out", "c.plan", UNLINKER_ALLOWED_TYPES="calendar:adress")
    assert said.code == Exit.BAD_INPUT
    assert "did you mean calendar:address?" in said.err


def test_without_looking_nothing_is_asked(operator: Operator) -> None:
    said = operator.plan(operator.csv((KIND, 1, 2), (KIND, 1, 3)), "--no-check", "--json")
    assert set(standings(said.document["plan"]).values()) == {"unchecked"}
    assert said.document["existing"] is None
    assert not operator.house.sandbox.requests()


def test_a_read_that_fails_is_said_and_refuses_the_plan(operator: Operator) -> None:
    rule = {"match": {"relationtype": KIND}, "params": {"code": 170, "text": "No read permission"}}
    operator.house.sandbox.fault("action_code", None, **rule)
    path = operator.csv((KIND, 1, 2), ("calendar:address", 671, 153))
    said = operator.plan(path)
    assert said.code == Exit.UNREACHABLE
    assert f"no plan: 1 links could not be looked at, for one {KIND} 1 -> 2: error 170: No read permission" in said.err
    assert "--allow-unknown" in said.err
    assert not Path(f"{path}.plan.jsonl").exists()
    said = operator.plan(path, "--allow-unknown", "--json")
    assert said.code == Exit.DONE
    assert said.document["rows"] == 2
    assert standings(said.document["plan"])[KIND, 1, 2] == "unknown"
    assert "WARNING: 1 links could not be looked at" in said.err


@pytest.mark.parametrize("kind", ["unavailable_503", "truncated_json", "drop_results", "reset_after"])
def test_what_passes_is_waited_for(operator: Operator, kind: str) -> None:
    operator.house.sandbox.fault(kind, 2)
    said = operator.plan(operator.csv(("calendar:address", 671, 153)), "--json")
    assert standings(said.document["plan"]) == {("calendar:address", 671, 153): "present"}


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ({"kind": "bad_gateway_502"}, "onOffice has not answered for"),
        ({"kind": "truncated_json"}, "onOffice has not answered for"),
        ({"kind": "drop_results", "params": {"count": 1}}, "1 links could not be looked at"),
        ({"kind": "request_code", "params": {"code": 41, "text": "Customer unknown!"}}, "the account is refused"),
        ({"kind": "forbidden_403"}, "the account is refused: HTTP 403"),
    ],
)
def test_an_api_that_does_not_work_means_no_plan(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], what: str
) -> None:
    """Not one that looks as if there were nothing to do."""
    monkeypatch.setattr(reading_desk.DeskOptions, "__init__", _impatient(reading_desk.DeskOptions.__init__))
    operator.house.sandbox.call("POST", "faults", {"times": None, **fault})
    path = operator.csv(("calendar:address", 671, 153))
    said = operator.plan(path, "--json")
    assert said.code == Exit.UNREACHABLE
    assert "no plan: " in said.err
    assert what in said.err
    assert said.out == ""
    assert [each.name for each in path.parent.iterdir()] == ["links.csv"]


def _impatient(init: Callable[..., None]) -> Callable[..., None]:
    def made(self: object, **values: object) -> None:
        init(self, **values, patience=1.5)

    return made


def test_a_halted_account_is_not_read(operator: Operator) -> None:
    operator.house.client.hset(keys.HALTS, "*", json.dumps({"by": "operator", "why": "stop", "since": 0}))
    said = operator.plan(operator.csv((KIND, 1, 2)))
    assert said.code == Exit.UNREACHABLE
    assert "the account is halted; `unlinker accounts list` says why" in said.err
    assert not operator.house.sandbox.requests()


def test_a_rule_by_parents_finds_all_children(operator: Operator) -> None:
    operator.house.sandbox.call(
        "POST", "links/generate", {"relationtype": KIND, "parents": 3, "children_per_parent": 2, "first_child": 50}
    )
    said = operator.plan("--type", KIND, "--parents", "3,1,3,77", "--json", "--out", "a.plan")
    assert said.code == Exit.DONE
    assert said.document["source"] == f"all {KIND} of parents 3,1,3,77"
    assert [(row.relation.parentid, row.relation.childid) for row in rows("a.plan")] == [
        (3, 50),
        (3, 51),
        (1, 50),
        (1, 51),
    ]
    assert {row.standing for row in rows("a.plan")} == {Standing.PRESENT}
    assert plan_file.read_head(Path("a.plan")).extents == {KIND: {1: 2, 3: 2}}
    ids = operator.file("parentid\n2\n3\n", "ids.txt")
    operator.plan("--type", KIND, "--parents", ids, "--out", "b.plan", "--no-check")
    assert set(standings("b.plan")) == {(KIND, 2, 50), (KIND, 2, 51), (KIND, 3, 50), (KIND, 3, 51)}
    said = operator.plan("--type", KIND, "--children", "51", "--out", "c.plan", "--json")
    assert set(standings("c.plan")) == {(KIND, 1, 51), (KIND, 2, 51), (KIND, 3, 51)}
    assert said.document["existing"] == {KIND: 6}


def test_a_rule_with_bad_ids_is_no_plan(operator: Operator) -> None:
    ids = operator.file("1\nx\n2.0\n", "ids.txt")
    said = operator.plan("--type", KIND, "--parents", ids, "--out", "a.plan")
    assert said.code == Exit.BAD_INPUT
    assert f"2 bad rows, all of them in {ids}.bad.csv" in said.err
    assert not Path("a.plan").exists()


def test_a_rule_whose_reads_fail_is_no_plan(operator: Operator) -> None:
    operator.house.sandbox.add_links([(KIND, 1, 2)])
    operator.house.sandbox.fault("action_code", None, match={"relationtype": KIND}, params={"code": 170, "text": "no"})
    said = operator.plan("--type", KIND, "--parents", "1,2", "--out", "a.plan")
    assert said.code == Exit.UNREACHABLE
    assert "the links of 2 records could not be read, for one 1: error 170: no" in said.err


def test_a_rule_by_estates_reads_them_by_their_fields(operator: Operator) -> None:
    sandbox = operator.house.sandbox
    sandbox.call("POST", "records/generate", {"resource": "estate", "count": 1200, "fields": {"status": 1}})
    sandbox.call("PUT", "records", [{"resource": "estate", "id": n, "fields": {"status": 0}} for n in (5, 700, 1300)])
    sandbox.call("PUT", "records/hidden", {"estate": [1300]})
    sandbox.add_links([(KIND, n, 1) for n in (5, 6, 700, 1300)] + [("calendar:estate", 90, 700)])
    said = operator.plan("--type", KIND, "--estates-where", "status", "=", "0", "--out", "a.plan", "--json")
    assert set(standings("a.plan")) == {(KIND, 5, 1), (KIND, 700, 1)}
    assert said.document["source"] == f"all {KIND} of each estate where status = 0"
    assert said.document["notes"] == ["2 estate records fit"]
    operator.plan("--type", "calendar:estate", "--estates-where", "Id", "in", "700, 701", "--out", "b.plan")
    assert set(standings("b.plan")) == {("calendar:estate", 90, 700)}, "where estates are the children"
    operator.plan("--type", KIND, "--estates-where", "status", "=", "1", "--out", "c.plan")
    assert set(standings("c.plan")) == {(KIND, 6, 1), (KIND, 12, 22)}
    pages = [request for request in sandbox.requests() if request["actions"][0]["action"] == "read"]
    assert len(pages) == 5


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ({"kind": "drop_records", "params": {"count": 1}}, "where 500 are due"),
        ({"kind": "wrong_count", "params": {"by": 5}}, "are due"),
        ({"kind": "action_code", "match": {"action": "read"}, "params": {"code": 155, "text": "no"}}, "error 155: no"),
    ],
)
def test_estates_that_are_not_all_read_are_no_plan(operator: Operator, fault: dict[str, Any], what: str) -> None:
    sandbox = operator.house.sandbox
    sandbox.call("POST", "records/generate", {"resource": "estate", "count": 700, "fields": {"status": 1}})
    sandbox.call("POST", "faults", {"times": None, **fault})
    said = operator.plan("--type", KIND, "--estates-where", "status", "=", "1", "--out", "a.plan")
    assert said.code == Exit.UNREACHABLE
    assert what in said.err
    assert not Path("a.plan").exists()


def test_addresses_are_found_by_their_fields_too(operator: Operator) -> None:
    sandbox = operator.house.sandbox
    sandbox.call("PUT", "records", [{"resource": "address", "id": 20, "fields": {"Ort": "Aachen"}}])
    operator.plan("--type", "estate:address:buyer", "--addresses-where", "Ort", "like", "Aach%", "--out", "a.plan")
    assert standings("a.plan") == {("estate:address:buyer", 10, 20): "present"}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "give one thing to plan"),
        (["a.csv", "--type", KIND, "--parents", "1"], "give one thing to plan"),
        (["--parents", "1"], "a rule needs --type"),
        (["--type", KIND, "--parents", "1", "--children", "2"], "give one thing to plan"),
        (["--type", "estate:adress:buyer", "--parents", "1"], "did you mean estate:address:buyer?"),
        (["--type", KIND, "--parents", "none.txt"], "give record ids (1,2,3) or a file of them"),
        (["--type", KIND, "--parents", "1,-2"], "give record ids (1,2,3) or a file of them"),
        (["--type", KIND, "--estates-where", "status", "~", "1"], "the operators are is, =, >"),
        (["--type", KIND, "--estates-where", "farbe", "=", "1"], 'Unknown field: "farbe"'),
        (["--type", "calendar:address", "--estates-where", "Id", "=", "1"], "no estate to look for"),
        (["a.csv", "--account", "other"], "account 'other' is not set; known: default"),
        (["a.csv", "--expires-in", "soon"], "--expires-in 'soon': give 30m, 12h or 7d, up to 31d"),
        (["a.csv", "--expires-in", "90d"], "up to 31d"),
        (["a.csv", "--delimiter", "ab"], "--delimiter 'ab'"),
        (["none.csv"], "none.csv cannot be read: No such file or directory"),
        (["a.csv", "--out", "a.csv"], "a.csv exists already"),
        (["a.csv", "--out", "none/a.plan"], "none/a.plan cannot be written: there is no folder none"),
        (["a.csv", "--encoding", "klingon"], "--encoding 'klingon' is unknown"),
    ],
)
def test_a_command_that_cannot_be_is_refused_and_says_what_would_help(
    operator: Operator, arguments: list[str], what: str
) -> None:
    Path("a.csv").write_text(HEADER + "calendar:address,671,153\n")
    said = operator.plan(*arguments)
    assert said.code == Exit.BAD_INPUT
    assert what in said.err
    assert Path("a.csv").read_text() == HEADER + "calendar:address,671,153\n"
    assert {path.name for path in Path().iterdir()} == {"a.csv"}


def test_the_plan_has_its_life_and_its_record(operator: Operator) -> None:
    path = operator.csv((KIND, 1, 2))
    said = operator.plan(
        path, "--no-check", "--expires-in", "2h", "--because", "spring", "--out", "a.plan.gz", "--json"
    )
    head = plan_file.verify(Path("a.plan.gz"))
    assert head.expires_at - head.made_at == 7200
    assert (said.document["sha256"], said.document["id"]) == (head.sha256, head.id)
    assert gzip.decompress(Path("a.plan.gz").read_bytes()).startswith(b'{"unlinker_plan":1')
    acts: Any = operator.house.client.xrange(keys.AUDIT)
    kept = json.loads(acts[0][1][b"filter"])
    assert (acts[0][1][b"action"], acts[0][1][b"because"], acts[0][1][b"count"]) == (b"bulk plan", b"spring", b"1")
    assert kept["plan"] == head.id


def test_an_input_without_rows_is_a_plan_of_nothing(operator: Operator) -> None:
    said = operator.plan(operator.file(HEADER), "--json")
    assert said.code == Exit.DONE
    assert (said.document["rows"], said.document["left_out"]) == (0, 0)


def test_no_redis_means_no_reads_and_no_plan(operator: Operator) -> None:
    path = operator.csv((KIND, 1, 2))
    said = operator.plan(path, UNLINKER_REDIS_URL="redis://127.0.0.1:9/0")
    assert said.code == Exit.UNREACHABLE
    assert "Redis cannot be reached" in said.err
    said = operator.plan(path, "--no-check", UNLINKER_REDIS_URL="redis://127.0.0.1:9/0")
    assert said.code == Exit.DONE, "a plan without looks needs nobody"
    assert "the plan is not in the audit" in said.err


def run(house: House, *arguments: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """A process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", "bulk", "plan", *arguments],
        cwd=house.home,
        env=house.environment(),
        input=given,
        capture_output=True,
        timeout=90,
        check=False,
    )


def test_standard_input_is_read_packed_or_not(operator: Operator) -> None:
    content = (HEADER + "calendar:address,671,153\nx,1,2\n").encode()
    for number, given in enumerate((content, gzip.compress(content))):
        done = run(operator.house, "-", "--skip-bad-rows", "--out", f"stdin-{number}.plan", "--json", given=given)
        assert done.returncode == Exit.DONE, done.stderr
        assert json.loads(done.stdout)["bad_rows_file"] == "stdin.bad.csv"
        assert standings(operator.house.home / f"stdin-{number}.plan") == {("calendar:address", 671, 153): "present"}
    assert b"\x1b" not in done.stderr, "plain when nobody looks"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_plan_that_is_stopped_leaves_nothing(operator: Operator, number: int) -> None:
    operator.house.sandbox.fault("slow", None, params={"seconds": 30})
    folder = operator.csv((KIND, 1, 2)).parent.resolve()
    with subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "bulk", "plan", str(folder / "links.csv")],
        cwd=operator.house.home,
        env=operator.house.environment(),
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        eventually(operator.house.sandbox.requests)
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=30)
    assert [path.name for path in folder.iterdir()] == ["links.csv"]
    if number == signal.SIGINT:
        assert (process.returncode, said) == (Exit.NOT_ALL_SUCCEEDED, b"stopped\n")
    operator.house.sandbox.call("DELETE", "faults")


def test_what_was_planned_is_what_is_deleted(house: House) -> None:
    """From a list with a mistake to the clean-up, with the links that nobody named still there."""
    listed = [(KIND, 1, child) for child in range(1, 41)]
    kept = [(KIND, 1, child) for child in range(41, 101)]
    house.sandbox.add_links([*listed, *kept])
    before = house.sandbox.links()
    rows = "".join(f"{kind};{parent};{child}\n" for kind, parent, child in [*listed, (KIND, 1, 999)])
    (house.home / "links.csv").write_text(f"type;parent;child\n{rows}{KIND};1;x\n")
    assert run(house, "links.csv", "--because", "spring").returncode == Exit.BAD_INPUT
    done = run(house, "links.csv", "--because", "spring", "--skip-bad-rows")
    assert done.returncode == Exit.DONE, done.stderr
    assert house.sandbox.links() == before
    house.start_worker(UNLINKER_REQUESTS_PER_SECOND="200")
    applied = house.run("bulk", "apply", "links.csv.plan.jsonl", "--yes", "--json")
    assert applied.returncode == Exit.DONE, applied.stderr
    assert house.sandbox.links() == before - set(listed)
