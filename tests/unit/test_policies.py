"""The policies file: what it says, and every fault with line and key, all at once."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from config.settings import load_settings
from gateway.cli import run
from gateway.commands.doctor import _policies
from gateway.reconciling.faults import PolicyFileError
from gateway.reconciling.policy_file import load_policies
from gateway.reconciling.surroundings import half_lists
from gateway.reconciling.tables import (
    BrakesTable,
    HttpTable,
    KeepTable,
    PolicyTable,
    ScopeTable,
    SqlTable,
    TruthTable,
)
from tests.nights import POLICY
from worker.onoffice.pages import Condition
from worker.unlinking.policies import (
    FileSource,
    HttpSource,
    IdsSource,
    Keep,
    Mode,
    NightBrakes,
    OnResurrected,
    ReconcilePolicy,
    RecordsSource,
    Reference,
    Scope,
    Side,
    SqlSource,
)
from worker.unlinking.slots import Timing

FULL = """
[truth]
schedule = "0 4 * * *"
timezone = "Europe/Berlin"

[policies.sold-estates]
account = "second"
relationtype = "urn:onoffice-de-ns:smart:2.5:relationTypes:estate:address:interested"
because = "sold"
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
catch_up = "90m"
mode = "apply"
on_resurrected = "unlink"

[policies.sold-estates.scope]
where = [["verkauft", "=", "1"], ["status", "in", [1, 2]]]

[policies.sold-estates.keep]
sql = { dsn_env = "CRM", query = "select a from b" }

[policies.sold-estates.brakes]
max_deletions = 100
max_share = 0.2
max_share_per_parent = 0.9
expect_at_least = 1000
allow_empty = true
"""
SMALL = """
[policies.{name}]
relationtype = "estate:address:interested"
schedule = "30 2 * * *"
[policies.{name}.scope]
{scope}
[policies.{name}.keep]
{keep}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policies.toml"
    path.write_text(text)
    return path


def small(tmp_path: Path, scope: str = "ids = [1]", keep: str = "nothing = true") -> ReconcilePolicy:
    return load_policies(written(tmp_path, SMALL.format(name="x", scope=scope, keep=keep))).by_name["x"]


def faults(tmp_path: Path, text: str) -> list[tuple[int | None, str, str]]:
    with pytest.raises(PolicyFileError) as error:
        load_policies(written(tmp_path, text))
    return [(fault.line, fault.key, fault.text) for fault in error.value.faults]


def fault_of(tmp_path: Path, scope: str = "ids = [1]", keep: str = "nothing = true") -> tuple[str, str]:
    ((_, key, text),) = faults(tmp_path, SMALL.format(name="x", scope=scope, keep=keep))
    return key.removeprefix("policies.x."), text


def test_a_full_policy(tmp_path: Path) -> None:
    policies = load_policies(written(tmp_path, FULL))
    assert policies.truth == Timing("0 4 * * *", "Europe/Berlin", 6 * 3600)
    assert policies.by_name == {
        "sold-estates": ReconcilePolicy(
            name="sold-estates",
            account="second",
            relationtype="estate:address:interested",
            because="sold",
            scope=Scope(
                Side.PARENTS,
                RecordsSource("estate", (Condition("verkauft", "=", "1"), Condition("status", "in", (1, 2)))),
            ),
            keep=Keep(SqlSource(Reference(env="CRM"), "select a from b")),
            timing=Timing("30 2 * * *", "Europe/Berlin", 5400),
            brakes=NightBrakes(
                max_deletions=100, max_share=0.2, max_share_per_parent=0.9, expect_at_least=1000, allow_empty=True
            ),
            mode=Mode.APPLY,
            on_resurrected=OnResurrected.UNLINK,
        )
    }


def test_the_careful_choice_is_the_default(tmp_path: Path) -> None:
    policy = small(tmp_path)
    assert policy.mode is Mode.PLAN
    assert policy.on_resurrected is OnResurrected.REPORT
    assert policy.brakes == NightBrakes(max_deletions=500, max_share=0.5, expect_at_least=0, allow_empty=False)
    assert policy.account == "default"
    assert policy.timing.zone == "UTC"


def test_every_kind_of_list(tmp_path: Path) -> None:
    pairs = small(tmp_path, keep='of = "pairs"\nids = [[1, 2], [3, 4]]').keep
    assert pairs == Keep(IdsSource(((1, 2), (3, 4))), pairs=True)
    file = small(tmp_path, scope='side = "children"\nfile = "a/b.csv"\ncolumns = ["id"]\ndelimiter = ";"').scope
    assert file == Scope(Side.CHILDREN, FileSource(str(tmp_path / "a/b.csv"), ("id",), ";"))
    http = small(
        tmp_path,
        keep='[policies.x.keep.http]\nurl = "https://crm/ids"\nitems = "data.list"\ncount = "data.n"\n'
        'headers = {Accept = "application/json"}\nheaders_env = {Authorization = "TOKEN"}\n'
        'headers_file = {X = "x.txt"}\nseconds = 5.0\nmegabytes = 2',
    ).keep.source
    assert http == HttpSource(
        url="https://crm/ids",
        items="data.list",
        count="data.n",
        headers={
            "Accept": "application/json",
            "Authorization": Reference(env="TOKEN"),
            "X": Reference(file=str(tmp_path / "x.txt")),
        },
        seconds=5.0,
        megabytes=2,
    )
    address = small(tmp_path, keep='where = [["Status", "=", "1"]]').keep.source
    assert isinstance(address, RecordsSource)
    assert address.resource == "address", "what is on the other side than the scope"


def test_the_fingerprint_changes_with_the_meaning_only(tmp_path: Path) -> None:
    before = load_policies(written(tmp_path, FULL)).by_name["sold-estates"].meaning
    for old, new, same in (
        ('schedule = "30 2 * * *"', 'schedule = "0 3 * * *"', True),
        ("max_deletions = 100", "max_deletions = 900", True),
        ('["verkauft", "=", "1"]', '["verkauft", "=", "0"]', False),
        ("select a from b", "select a from c", False),
        ('account = "second"', 'account = "third"', False),
    ):
        after = load_policies(written(tmp_path, FULL.replace(old, new))).by_name["sold-estates"].meaning
        assert (after == before) is same, new


def test_all_faults_at_once_with_line_and_key(tmp_path: Path) -> None:
    text = """[policies.one]
relationtype = "estate:adress:interested"
schedul = "30 2 * * *"
schedule = "70 2 * * *"
timezone = "Europe/Berlni"
catch_up = "9y"
mode = "aply"
[policies.one.scope]
ids = [1, -2, "x"]
[policies.one.keep]
sql = { dsn = "postgresql://u:secret-word@h/db" }
[policies.one.brakes]
max_share = 2
max_deletion = 5

[policies.two]
relationtype = "calendar:address"
schedule = "30 2 * * *"
[policies.two.scope]
where = [["x", "=", "y"], ["x", "==", 1], ["a", "in", 5]]
[policies.Three]
[other]
"""
    found = faults(tmp_path, text)
    assert "secret-word" not in str(found)
    keyed = [(line, key) for line, key, _ in found]
    assert keyed == [
        (2, "policies.one.relationtype"),
        (3, "policies.one.schedul"),
        (4, "policies.one.schedule"),
        (5, "policies.one.timezone"),
        (6, "policies.one.catch_up"),
        (7, "policies.one.mode"),
        (9, "policies.one.scope.ids"),
        (9, "policies.one.scope.ids"),
        (11, "policies.one.keep.sql.dsn"),
        (11, "policies.one.keep.sql.query"),
        (13, "policies.one.brakes.max_share"),
        (14, "policies.one.brakes.max_deletion"),
        (16, "policies.two.keep"),
        (20, "policies.two.scope.where"),
        (20, "policies.two.scope.where"),
        (21, "policies.Three"),
        (21, "policies.Three.keep"),
        (21, "policies.Three.relationtype"),
        (21, "policies.Three.schedule"),
        (21, "policies.Three.scope"),
        (22, "other"),
    ]
    texts = {key: text for _, key, text in found}
    assert texts["policies.one.schedul"] == "is no key here; did you mean schedule?"
    assert "did you mean estate:address:interested?" in texts["policies.one.relationtype"]
    assert texts["policies.one.brakes.max_deletion"].endswith("did you mean max_deletions?")


@pytest.mark.parametrize(
    ("scope", "keep", "key", "text"),
    [
        ("ids = []\nfile = 'x'", "nothing = true", "scope", "not ids and file"),
        ("side = 'parents'", "nothing = true", "scope", "give one of ids, file, sql, http, where"),
        ("ids = [1]", "", "keep", "say what may stay"),
        ("ids = [1]", "nothing = true\nids = [1]", "keep.ids", "cannot stand beside"),
        ("ids = [[1, 2]]", "nothing = true", "scope.ids", "entry 1: must be a record id"),
        ("ids = [1]", "of = 'pairs'\nids = [1]", "keep.ids", "must be [parentid, childid]"),
        ("ids = [1]", "of = 'pairs'\nwhere = [['a', '=', 1]]", "keep.of", "no pairs"),
        ("ids = [1]\ncolumns = ['a']", "nothing = true", "scope.columns", "ids has none"),
        ("file = 'x'\ncolumns = ['a', 'b']", "nothing = true", "scope.columns", "give one name"),
        ("ids = [1]", "of = 'pairs'\nhttp = {url = 'https://x/y'}", "keep.columns", "name the two fields"),
        ("http = {url = 'https://u:p@x/y'}", "nothing = true", "scope.http.url", "has a secret in it"),
        ("http = {url = 'https://x/y?api_key=1'}", "nothing = true", "scope.http.url", "has a secret in it"),
        ("http = {url = 'ftp://x/y'}", "nothing = true", "scope.http.url", "must start with https://"),
        ("http = {}", "nothing = true", "scope.http.url", "give one of url, url_env, url_file"),
        (
            "http = {url = 'https://x', headers = {Authorization = 'B x'}}",
            "nothing = true",
            "scope.http.headers",
            "_env",
        ),
        ("sql = {query = 'x', dsn = 'a', dsn_env = 'b'}", "nothing = true", "scope.sql.dsn", "must be a URL"),
        ("sql = {query = 'x'}", "nothing = true", "scope.sql.dsn", "give one of dsn, dsn_env, dsn_file"),
        ("sql = {query = 'x', dsn_env = 'A', second = 3.0}", "nothing = true", "scope.sql.second", "mean seconds?"),
        ("ids = 5", "nothing = true", "scope.ids", "must be a valid list"),
        ("ids = [true]", "nothing = true", "scope.ids", "entry 1: must be a positive record id"),
        (f"ids = [{2**63}]", "nothing = true", "scope.ids", "entry 1: must be a positive record id"),
    ],
)
def test_each_fault_of_a_list(tmp_path: Path, scope: str, keep: str, key: str, text: str) -> None:
    found_key, found_text = fault_of(tmp_path, scope, keep)
    assert found_key == key
    assert text in found_text


def test_lists_that_do_not_fit_the_relation_type(tmp_path: Path) -> None:
    text = SMALL.format(name="x", scope="where = [['a', '=', 1]]", keep="nothing = true")
    ((line, key, said),) = faults(tmp_path, text.replace("estate:address:interested", "calendar:address"))
    assert (line, key) == (6, "policies.x.scope.where")
    assert "estate and address records only, not calendar" in said
    ((_, key, said),) = faults(tmp_path, text.replace("estate:address:interested", "user:messengerUser:is"))
    assert "read only" in said


def test_an_expectation_without_a_list(tmp_path: Path) -> None:
    text = SMALL.format(name="x", scope="ids = [1]", keep="nothing = true") + "[policies.x.brakes]\nexpect_at_least = 3"
    ((line, key, said),) = faults(tmp_path, text)
    assert (line, key) == (10, "policies.x.brakes.expect_at_least")
    assert "leave it out" in said


@pytest.mark.parametrize(
    ("content", "line", "text"),
    [
        (b"[policies.x]\na = = 1\n", 2, "no TOML"),
        (b"\xff\xfe", None, "is not UTF-8"),
        (b"", None, "there is no policy"),
        (b"policies = 3", 1, "must be tables"),
        (b"[policies]\nx = 3", 2, "must be a table"),
    ],
)
def test_files_that_are_no_policies(tmp_path: Path, content: bytes, line: int | None, text: str) -> None:
    path = tmp_path / "policies.toml"
    path.write_bytes(content)
    with pytest.raises(PolicyFileError) as error:
        load_policies(path)
    assert any(fault.line == line and text in fault.text for fault in error.value.faults), str(error.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match="cannot be read: No such file"):
        load_policies(tmp_path / "none.toml")


def test_the_command_looks_at_what_the_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = FULL + SMALL.format(
        name="x",
        scope="file = 'ids.csv'",
        keep="http = {url_file = 'url.txt', headers_env = {A = 'TOKEN_A', B = 'TOKEN_B'}}",
    )
    path = written(tmp_path, text)
    assert run(["reconcile", "check", str(path), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    told = {(each["line"], each["key"]) for each in document["faults"]}
    assert document["fine"] is False
    assert told == {
        (7, "policies.sold-estates.account"),
        (20, "policies.sold-estates.keep.sql.dsn_env"),
        (29, "policies.x.account"),
        (33, "policies.x.scope.file"),
        (35, "policies.x.keep.http.headers_env.A"),
        (35, "policies.x.keep.http.headers_env.B"),
        (35, "policies.x.keep.http.url_file"),
    }
    (tmp_path / "ids.csv").write_text("1\n")
    (tmp_path / "url.txt").write_text("https://crm/secret-word\n")
    monkeypatch.setenv("CRM", "sqlite://")
    monkeypatch.setenv("TOKEN_A", "secret-word")
    monkeypatch.setenv("TOKEN_B", "secret-word")
    monkeypatch.setenv("UNLINKER_ACCOUNTS_FILE", str(tmp_path / "accounts.toml"))
    accounts = "".join(f'[accounts.{name}]\ntoken = "t"\nsecret = "s"\n' for name in ("second", "default"))
    (tmp_path / "accounts.toml").write_text(accounts)
    monkeypatch.setenv("UNLINKER_POLICIES_FILE", str(path))
    monkeypatch.setenv("UNLINKER_ALLOWED_TYPES", "calendar:address")
    assert run(["reconcile", "check"]) == 2
    assert "policies.x.relationtype: links of estate:address:interested are not in" in capsys.readouterr().err
    monkeypatch.delenv("UNLINKER_ALLOWED_TYPES")
    assert run(["reconcile", "check"]) == 0
    assert _policies(path, load_settings()).text == "2: sold-estates, x"
    output = capsys.readouterr()
    assert "2 policies: sold-estates, x" in output.err
    assert "warning: policies.x: if half of the list" in output.err
    assert "secret-word" not in output.out + output.err


def test_no_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reconcile", "check"]) == 2
    assert "UNLINKER_POLICIES_FILE" in capsys.readouterr().err


DOCS = Path(__file__).parents[2] / "docs" / "reconcile.md"


def test_the_example_of_the_docs_is_a_policies_file_and_every_key_is_told(tmp_path: Path) -> None:
    docs = DOCS.read_text()
    example = docs.split("```toml\n")[1].split("```")[0]
    assert list(load_policies(written(tmp_path, example)).by_name) == ["sold-estates"]
    for table in (PolicyTable, ScopeTable, KeepTable, BrakesTable, SqlTable, HttpTable, TruthTable):
        for name in table.model_fields:
            assert name in docs, f"{table.__name__}.{name}"


@pytest.mark.parametrize(("name", "table"), [("sql", SqlTable), ("http", HttpTable)])
def test_the_docs_say_which_keys_stand_in_a_source_and_which_beside_it(name: str, table: type[BaseModel]) -> None:
    (row,) = [line.split("|")[2] for line in DOCS.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    beside, within = (set(re.findall("`([a-z_]+)`", part)) for part in row.split("; in it"))
    assert within == set(table.model_fields)
    assert beside == {"columns"} <= set(KeepTable.model_fields)


@pytest.mark.parametrize(
    ("keep", "brakes", "warned"),
    [
        ('file = "keep.csv"', "", True),
        ('file = "keep.csv"', "expect_at_least = 2", False),
        ('sql = {dsn = "sqlite:///x.db", query = "SELECT 1"}', "", True),
        ('http = {url = "http://127.0.0.1:9/"}', "", True),
        ('http = {url = "http://127.0.0.1:9/", count = "total"}', "", False),
        ("ids = [1]", "", False),
        ("nothing = true", "", False),
        ('where = [["Status", "=", 1]]', "", False),
    ],
)
def test_half_a_list_that_nobody_would_notice_is_warned_of(
    tmp_path: Path, keep: str, brakes: str, warned: bool
) -> None:
    path = tmp_path / "policies.toml"
    said = {"scope": "ids = [1]", "keep": keep, "brakes": brakes, "mode": "apply", "on_resurrected": "report"}
    path.write_text(POLICY.format(**said))
    warnings = list(half_lists(load_policies(path)))
    assert [each.startswith("policies.sold: if half of the list") for each in warnings] == [True] * warned
