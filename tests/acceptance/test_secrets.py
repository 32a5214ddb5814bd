"""Secrets and hostile texts from outside: an API that repeats our requests, and texts that a terminal would obey."""

import csv
import gzip
import os
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from gateway.plan_file import rows as plan_rows
from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN
from sandbox.echo import WRITINGS
from tests.harness import House, eventually
from worker.onoffice.protocol import DELETE, GET, IDS_FROM_RELATION, RELATION, Credentials, sign

TYPE = "calendar:address"
PIECE = 12  # characters that stand nowhere by chance
KINDS = ((RELATION, DELETE), (IDS_FROM_RELATION, GET))
# 4: refused at once; 168: looked at, and refused; 1: again, and refused
CASES: list[dict[str, Any]] = [
    *({"where": "message", "code": 4, "what": "body", "writing": writing} for writing in WRITINGS),
    *({"where": "message", "code": 4, "what": "token", "writing": writing} for writing in WRITINGS),
    *({"where": "message", "code": 4, "what": what} for what in ("secret", "hmac")),
    *({"where": "message", "code": 168, "what": what} for what in ("token", "hmac")),
    *({"where": "top", "code": 1, "what": what} for what in ("token", "hmac", "body")),
    *({"where": "success", "what": what} for what in ("token", "hmac", "body")),
    *({"where": "page", "what": what, "status": status} for what in ("body",) for status in (200, 502)),
]


@pytest.fixture
def told(house: House) -> Iterator[list[str]]:
    """Collects what commands say; at the end it and every file of the house are searched for secrets."""
    house.settings |= {"UNLINKER_ACTIONS_PER_REQUEST": "1", "UNLINKER_REQUESTS_PER_SECOND": "100"}
    outputs: list[str] = []
    began = int(time.time())
    yield outputs
    assert all(any(word in text for text in outputs) for word in ("cannot be done: ", "**"))
    secrets = re.compile("|".join(map(re.escape, pieces(range(began - 1, int(time.time()) + 2)))), re.IGNORECASE)
    for text in outputs:
        assert not secrets.search(text), text
    for file in house.home.rglob("*"):
        if file.is_file():
            found = secrets.search(file.read_text(errors="replace"))
            assert not found, f"{file}: {found}"


def pieces(seconds: Iterable[int]) -> set[str]:
    """Of the token, the secret, and every signature that may have been sent in these seconds."""
    credentials = Credentials(DEFAULT_TOKEN, DEFAULT_SECRET)
    signatures = [sign(credentials, second, *kind) for second in seconds for kind in KINDS]
    whole = (DEFAULT_TOKEN, DEFAULT_SECRET, *signatures)
    return {text[start : start + PIECE] for text in whole for start in range(len(text) - PIECE + 1)}


def say(house: House, told: list[str], *command: str) -> str:
    """Run a command, keep all that it prints."""
    done = house.here(*command)
    told.append(done.stdout + done.stderr)
    return done.stdout


def test_an_api_that_repeats_our_requests_puts_no_secret_anywhere(house: House, told: list[str]) -> None:
    house.sandbox.add_links([(TYPE, number, 5) for number in range(1, len(CASES) + 1)])
    for number, params in enumerate(CASES, start=1):
        match = {"parentid": number, "action": "delete"}
        house.sandbox.fault("echo", times=2 if params["where"] == "page" else None, params=params, match=match)
    worker = house.start_worker(UNLINKER_MAX_ATTEMPTS="2")
    ids = [house.unlink(TYPE, number, 5) for number in range(1, len(CASES) + 1)]
    house.all_ended(ids)
    for job_id in ids:
        say(house, told, "job", job_id)
        say(house, told, "job", job_id, "--json")
        say(house, told, "dead", "show", job_id, "--json")
    for command in ("dead list", "dead list --json", "dead export --format csv", "dead export --format jsonl"):
        say(house, told, *command.split())
    for command in ("journal list --json", "journal export --format csv", "audit --json"):
        say(house, told, *command.split())
    # now the account itself is refused, and whoever asks why is told
    house.sandbox.fault("echo", times=None, params={"where": "message", "code": 41, "what": "token"})
    last = house.unlink(TYPE, 671, 153)
    eventually(lambda: "cannot be done" in say(house, told, "accounts", "list"))
    for command in ("accounts list --json", "accounts check", "accounts check --json", "doctor", "doctor --json"):
        say(house, told, *command.split())
    say(house, told, "job", last, "--json")
    say(house, told, "bulk", "plan", "--type", TYPE, _rows(house, "1,5"), "--because", "test")
    worker.terminate()
    told.append(worker.text())


def _rows(house: House, *rows: str) -> str:
    path = house.home / "rows.csv"
    path.write_text("\n".join(["parentid,childid", *rows]))
    return str(path)


HOSTILE = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202egnp\u2028-\u2066x"
OBEYED = re.compile("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def test_texts_of_strangers_reach_no_terminal_raw(house: House) -> None:
    house.settings["UNLINKER_LOG_FORMAT"] = "console"
    house.sandbox.fault("action_code", times=None, params={"code": 4, "text": HOSTILE}, match={"action": "delete"})
    worker = house.start_worker()
    known = house.push(
        {"relationtype": TYPE, "parentid": 671, "childid": 153, "requested_by": HOSTILE, "reason": HOSTILE}
    )
    odd = f"id{HOSTILE}"
    house.unlink(TYPE, 671, 7, reason=f"={HOSTILE}")
    house.push({"relationtype": TYPE, "parentid": 672, "childid": 1, HOSTILE: 1})
    house.push({"relationtype": TYPE, "parentid": 673, "childid": 1, "account": HOSTILE})
    house.ended(known)
    eventually(lambda: len(house.ask("dead", "list")) == 4)
    rows = house.home / f"rows{HOSTILE.replace('/', '')}.csv"
    rows.write_text(f"parentid,childid,note,{HOSTILE}\n671,153,{HOSTILE},x\n{HOSTILE},7,=1+1,y\n", newline="\n")
    plan = str(house.home / "plan.jsonl")
    outputs = [
        house.here(*command)
        for command in (
            ["job", known],
            ["job", known, "--json"],
            ["job", odd],
            ["cancel", odd],
            ["dead", "list"],
            ["dead", "list", "--json"],
            ["dead", "show", known],
            ["dead", "export"],
            ["dead", "export", "--format", "jsonl"],
            ["dead", "discard", "--account", HOSTILE, "--dry-run"],
            ["journal", "list"],
            ["audit"],
            ["accounts", "check", HOSTILE],
            ["accounts", "halt", HOSTILE, "--reason", HOSTILE],
            ["accounts", "list", "--json"],
            ["unlink", HOSTILE, "1", "2"],
            ["unlink", TYPE, HOSTILE, "2"],
            ["bulk", "plan", str(rows), "--type", TYPE, "--because", HOSTILE, "--skip-bad-rows", "--out", plan],
            ["bulk", "show", HOSTILE],
            ["bulk", "status", HOSTILE],
            ["reconcile", "status", "--night", HOSTILE],
            [HOSTILE],
        )
    ]
    for done in outputs:
        assert not OBEYED.search(done.stdout + done.stderr), done
    assert any("\\x1b]0;owned" in done.stdout for done in outputs)
    worker.terminate()
    assert not OBEYED.search(worker.text())
    bad = next(house.home.glob("rows*bad.csv")).read_text()
    assert "gnp" in bad
    assert not OBEYED.search(bad)


def test_files_are_for_their_owner_and_run_nowhere(house: House) -> None:
    """Plans, bad rows, reports, exports, archives and pages; also where a file was there before, whatever the umask."""
    archive, out = house.home / "archive", house.home / "out"
    house.settings["UNLINKER_ARCHIVE_DIR"] = str(archive)
    out.mkdir()
    before = os.umask(0)
    try:
        house.sandbox.fault("action_code", times=None, params={"code": 4, "text": HOSTILE}, match={"parentid": 671})
        house.start_worker()
        cells = f"{HOSTILE},=HYPERLINK(1),@x,\uff1d2"
        rows, plan, bad = out / "rows.csv", out / "plan.jsonl.gz", out / "bad.csv"
        rows.write_text(f"parentid,childid,{cells}\n671,153,{cells}\n{HOSTILE},7,{cells}\n+1,7,{cells}\n")
        bad.write_text("file,row,field,value,reason\n")
        reading = ["bulk", "plan", str(rows), "--type", TYPE, "--because", HOSTILE, "--out", str(plan)]
        assert house.here(*reading, "--skip-bad-rows", "--bad-rows", str(bad)).returncode == 0
        assert house.here("bulk", "apply", str(plan), "--yes", "--max-failure-rate", "1").returncode == 1
        run = house.ask("bulk", "status")[0]["run"]
        report = out / "report"
        assert house.here("bulk", "report", run, "--out", str(report)).returncode == 1
        for format_ in ("csv", "jsonl"):
            there = out / f"letters.{format_}"
            there.touch(0o666)
            assert house.here("dead", "export", str(there), "--format", format_).returncode == 0
            assert house.here("journal", "export", str(out / f"journal.{format_}"), "--format", format_).returncode == 0
        assert house.here("dead", "discard", "--all", "--yes", "--because", HOSTILE).returncode == 0
    finally:
        os.umask(before)
    made = [file for file in out.rglob("*") if file.is_file() and file != rows]
    assert len(made) == 12, made
    for file in made:
        assert file.stat().st_mode & 0o777 == 0o600, file
        text = gzip.decompress(file.read_bytes()).decode() if file.suffix == ".gz" else file.read_text()
        assert not OBEYED.search(text.replace("\r\n", "\n")), file
    with (report / "failed.csv").open(newline="") as lines:
        failed = list(csv.reader(lines))
    assert failed[1][3:6] == ["'=HYPERLINK(1)", "'@x", "'\uff1d2"]
    # what failed can be planned again as it stands, and nothing grows on the way
    again = [
        "bulk",
        "plan",
        str(report / "failed.csv"),
        "--because",
        "x",
        "--out",
        str(out / "again.jsonl"),
        "--no-check",
    ]
    assert house.here(*again).returncode == 0
    (planned,) = plan_rows(out / "again.jsonl")
    assert list(planned.input[3:6]) == failed[1][3:6]
