"""The journal: from the intent on, whatever dies, with how each end is known."""

import csv
from pathlib import Path
from typing import Any

from tests.faults.test_workers import LINK, many
from tests.harness import House, eventually

COLUMNS = [
    "job", "account", "relationtype", "parentid", "childid", "action", "sent_at", "ended_at", "outcome", "evidence",
    "proven", "confirmation", "requested_by", "reason", "run", "row", "by",
]  # fmt: skip


def journal(house: House, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.ask("journal", "list", *options)
    return found


def test_an_intent_stands_though_the_worker_died_with_it(house: House) -> None:
    house.sandbox.fault("hang_after", params={"seconds": 60}, match={"childid": 153})
    worker = house.start_worker()
    job_id = house.unlink(*LINK, requested_by="crm", reason="gdpr")
    eventually(lambda: house.status(job_id) == "sent" and LINK not in house.sandbox.links())
    worker.kill()
    (deed,) = journal(house)
    assert list(deed) == COLUMNS
    assert (deed["job"], deed["account"]) == (job_id, "default")
    assert (deed["relationtype"], deed["parentid"], deed["childid"], deed["action"]) == (*LINK, "unlink")
    assert (deed["requested_by"], deed["reason"]) == ("crm", "gdpr")
    assert (deed["ended_at"], deed["outcome"], deed["evidence"]) == (None, None, None), "nobody knows yet"
    house.start_worker()
    house.ended(job_id)
    (later,) = journal(house)
    assert (later["outcome"], later["evidence"], later["proven"]) == ("unlinked", "read_back", False)
    assert later["sent_at"] == deed["sent_at"] < later["ended_at"]


def test_answered_read_back_and_refused_are_told_apart(house: House) -> None:
    links = many(house, 4)
    house.sandbox.add_links([links[2]], undeletable=True)
    house.sandbox.fault("cut_body", params={"bytes": 40}, match={"parentid": 2, "action": "delete"})
    house.settings["UNLINKER_ACTIONS_PER_REQUEST"] = "1"
    house.start_worker()
    ids = [house.unlink(*link) for link in links]
    house.all_ended(ids)
    stranger = house.push({"relationtype": "calendar:adress", "parentid": 1, "childid": 2})
    expired = house.push({"relationtype": LINK[0], "parentid": 671, "childid": 153, "not_after": 1_000_000})
    house.all_ended([stranger, expired])
    found = {deed["job"]: (deed["outcome"], deed["evidence"]) for deed in journal(house)}
    assert found == {
        ids[0]: ("unlinked", "answered"),
        ids[1]: ("unlinked", "read_back"),
        ids[2]: ("dead", "read_back"),
        ids[3]: ("unlinked", "answered"),
    }, "what was never sent is no deed"


def test_rows_of_chunks_are_deeds_of_their_run(house: House) -> None:
    links = many(house, 4)
    house.sandbox.add_links([links[3]], undeletable=True)
    house.start_worker()
    rows = [links[0], "no row", ("calendar:address", 77, 5), links[1], links[3]]
    chunk = house.push_chunk(rows, run="night", first_row=100, requested_by="olga", reason="cleanup")
    single = house.unlink(*links[2])
    house.all_ended([chunk, single])
    found = {deed["row"]: deed for deed in journal(house, "--run", "night")}
    assert {row: deed["outcome"] for row, deed in found.items()} == {
        100: "unlinked",
        102: "already_absent",
        103: "unlinked",
        104: "dead",
    }
    assert {deed["job"] for deed in found.values()} == {f"{chunk}:{row}" for row in (0, 2, 3, 4)}
    assert {(deed["requested_by"], deed["reason"]) for deed in found.values()} == {("olga", "cleanup")}
    assert {deed["evidence"] for deed in found.values()} == {"answered", "read_back"}
    assert len(journal(house, "--job", chunk)) == 4
    assert [deed["row"] for deed in journal(house, "--job", f"{chunk}:3")] == [103]
    assert [deed["job"] for deed in journal(house, "--parent", str(links[2][1]))] == [single]
    assert len(journal(house)) == 5
    assert journal(house, "--type", "calendar:estate") == journal(house, "--account", "north") == []
    assert journal(house, "--before", "1h") == journal(house, "--since", "2999-01-01") == []
    assert len(journal(house, "--since", "1h", "--child", "5")) == 5


def test_the_journal_is_exported_whole(house: House) -> None:
    links = many(house, 60)
    house.start_worker()
    chunk = house.push_chunk(links, requested_by="=cmd()")
    house.ended(chunk)
    shown = house.here("journal", "list", "--limit", "50")
    assert "the last 50 of 60; --limit shows more" in shown.stderr
    assert len(journal(house, "--limit", "7")) == 7
    file = house.home / "night.csv"
    exported = house.here("journal", "export", str(file), "--format", "csv")
    assert "60 deletions" in exported.stderr
    with Path(file).open(newline="") as lines:
        header, *rows = csv.reader(lines)
    assert header == COLUMNS
    assert {(row[2], int(row[3]), int(row[4])) for row in rows} == set(links)
    assert {row[12] for row in rows} == {"'=cmd()"}
    assert {row[14] for row in rows} == {""}, "a chunk without a run names none"
    assert {row[0] for row in rows} == {f"{chunk}:{row}" for row in range(60)}
