"""`unlinker dead` and `unlinker audit`, on dead letters of many kinds."""

import csv
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from gateway import choosing
from gateway.cli import run
from tests.ends import die
from worker.stores import keys
from worker.stores.dead_letters import DeadLetters
from worker.stores.journal_format import pack_jobs
from worker.stores.letter import Filter
from worker.stores.wishes import Wishes
from worker.unlinking.errors import REASONS
from worker.unlinking.job import Job, Relation
from worker.unlinking.outcome import EXPIRED, Outcome, dead

COLUMNS = [
    "id", "ended_at", "action", "outcome", "reason", "code", "message", "evidence", "account", "relationtype",
    "parentid", "childid", "run", "row", "requested_by", "wish_reason", "sent", "reused_of", "first_seen", "deaths",
    "replay_of", "replays", "redrives", "by", "read_back", "read_back_at", "read_back_showed", "attempts",
]  # fmt: skip
WHY = ("--because", "checked")
YES = ("--yes", *WHY)


@dataclass
class Shell:
    """Runs commands in this process, as `unlinker` would."""

    url: str
    client: "redis.Redis"
    captured: Callable[[], Any]

    def __call__(self, *words: str, code: int = 0) -> str:
        """Standard output of a command that ends with this exit code."""
        self.captured()
        ended = run(list(words))
        out, self.said = self.captured()
        assert ended == code, f"{ended}: {out}{self.said}"
        return str(out)

    def json(self, *words: str, code: int = 0) -> Any:
        """One document."""
        return json.loads(self(*words, "--json", code=code))

    def die(self, count: int, how: Outcome, **more: str) -> list[str]:
        """Ids of new dead letters."""
        ids = [str(uuid.uuid4()) for _ in range(count)]
        die(self.url, ids, how, **more)
        return ids

    def queued(self) -> int:
        return int(self.client.llen(keys.QUEUES[0]))

    def acts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("audit")
        return found


@pytest.fixture
def shell(redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("UNLINKER_REDIS_URL", redis_url)
    with redis.Redis.from_url(redis_url) as client:
        yield Shell(redis_url, client, capsys.readouterr)


KEPT = dead("NotDeletable", 168, "Entry could not be deleted")
WRONG = dead("UnknownRelationType", None, "unknown relation type")
RIGHT = dead("MissingRight", 174, "Missing permission")


def test_letters_are_listed_newest_first_page_by_page(shell: Shell) -> None:
    ids = shell.die(5, KEPT)
    first = shell.json("dead", "list", "--limit", "2")
    assert first["count"] == 5
    assert first["totals"]["reason"] == {"NotDeletable": 5}
    assert first["totals"]["all"] == {"": 5}
    second = shell.json("dead", "list", "--limit", "2", "--cursor", first["cursor"])
    third = shell.json("dead", "list", "--limit", "2", "--cursor", second["cursor"])
    seen = [letter["id"] for page in (first, second, third) for letter in page["letters"]]
    assert (seen, third["cursor"]) == (ids[::-1], "")
    assert [list(letter) for letter in first["letters"]] == [COLUMNS, COLUMNS]
    text = shell("dead", "list", "--limit", "2")
    assert ids[4] in text
    assert ids[0] not in text
    assert "--cursor" in shell.said
    assert "NotDeletable 5" in shell.said


def test_filters_choose(shell: Shell) -> None:
    kept = shell.die(2, KEPT)
    (other,) = shell.die(1, RIGHT, kind="calendar:estate", account="north")
    shell.die(1, EXPIRED)

    def listed(*options: str) -> list[str]:
        return [letter["id"] for letter in shell.json("dead", "list", *options)["letters"]]

    assert listed("--reason", "notdeletable") == kept[::-1], "capitals do not matter"
    assert listed("--code", "174") == listed("--account", "north") == [other]
    assert listed("--type", "urn:onoffice-de-ns:smart:2.5:relationTypes:calendar:estate") == [other]
    assert listed("--parent", "2") == [kept[1]]
    assert listed("--child", "5", "--parent", "2") == [kept[1]]
    assert listed("--child", "6") == listed("--run", "night") == listed("--older-than", "1h") == []
    assert len(listed("--newer-than", "1h")) == 4
    assert len(listed("--newer-than", "2026-01-31T18:00:00+01:00")) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--reason", "NotDeletabel"), "--reason 'NotDeletabel': there are"),
        (("--type", "calender:address"), "did you mean calendar:address"),
        (("--older-than", "yesterday"), "--older-than 'yesterday': give an age"),
        (("--cursor", "next"), "--cursor 'next'"),
        (("--limit", "0"), "--limit"),
        (("--code", "x"), "--code"),
        (("--reson", "x"), "--reason"),
    ],
)
def test_bad_input_is_named(shell: Shell, options: tuple[str, ...], said: str) -> None:
    shell("dead", "list", *options, code=2)
    assert said in shell.said


def test_replay_says_what_it_needs_before_it_does_anything(shell: Shell) -> None:
    shell.die(3, KEPT)
    assert shell.json("dead", "replay", "--dry-run") == {
        "action": "replay", "count": 3, "moved": 0, "gone": 0, "left_out": 0,
    }  # fmt: skip
    shell("dead", "replay", code=2)
    assert "--because" in shell.said
    shell("dead", "replay", *WHY, code=2)
    assert "--yes" in shell.said, "nobody sits here to be asked"
    shell("dead", "replay", *YES, "--max", "2", code=4)
    assert "--max 3" in shell.said
    assert "--all" in shell.said
    assert (shell.queued(), shell.acts()) == (0, [])
    assert shell.json("dead", "replay", *YES, "--max", "3")["moved"] == 3
    assert shell.queued() == 3


def test_more_than_five_hundred_need_a_word(shell: Shell) -> None:
    shell.die(501, KEPT)
    shell("dead", "discard", *YES, code=4)
    assert shell.json("dead", "list")["count"] == 501
    assert shell.json("dead", "discard", *YES, "--all")["moved"] == 501
    assert shell.json("dead", "list") == {"count": 0, "cursor": "", "letters": [], "totals": {}}


def test_what_cannot_succeed_is_left_out_unless_forced(shell: Shell) -> None:
    useless = [reason for reason, error in REASONS.items() if error.replay == "useless"]
    assert useless == ["BadArguments", "UnknownRelationType"]
    shell.die(2, WRONG, kind="calendar:adress")
    shell.die(1, RIGHT)
    assert shell.json("dead", "replay", "--dry-run")["count"] == 1
    assert shell.json("dead", "replay", *YES) == {"action": "replay", "count": 1, "moved": 1, "gone": 0, "left_out": 2}
    assert "--force" in shell.said
    assert shell.json("dead", "replay", *YES)["count"] == 0
    assert shell.json("dead", "replay", *YES, "--reason", "UnknownRelationType")["moved"] == 0
    assert shell.queued() == 1
    assert shell.json("dead", "replay", *YES, "--force")["moved"] == 2
    assert shell.queued() == 3


def test_letters_that_name_no_relation_stay_though_forced(shell: Shell) -> None:
    (letter,) = shell.die(1, dead("BadArguments", None, "no row"))
    for name in ("relationtype", "parentid", "childid"):
        shell.client.hdel(keys.job(letter), name)
    moved = shell.json("dead", "replay", *YES, "--force")
    assert (moved["moved"], moved["left_out"], moved["gone"]) == (0, 1, 0)
    assert "none that could be read" in shell("dead", "show", letter)
    assert shell.json("dead", "list")["count"] == 1


def test_what_an_undo_could_not_restore_is_never_unlinked(shell: Shell) -> None:
    (letter,) = shell.die(1, dead("Exhausted", None, "the API was down"))
    shell.client.hset(keys.job(letter), "restore", 1)
    assert shell.json("dead", "show", letter)["action"] == "restore"
    assert "to be there again" in shell("dead", "show", letter)
    assert shell.json("dead", "replay", letter, *YES)["moved"] == 1
    assert shell.client.llen("unlink") == 0
    assert json.loads(shell.client.lindex("bulk", 0) or b"{}")["headers"]["task"] == "unlinker.undo"


def test_named_letters_are_moved_and_may_be_named_again(shell: Shell) -> None:
    first, second, third = shell.die(3, KEPT)
    assert shell.json("dead", "replay", first, first, *YES)["moved"] == 1
    assert shell.json("dead", "discard", third, *YES)["moved"] == 1
    again = shell.json("dead", "replay", first, second, third, *YES)
    assert (again["moved"], again["gone"]) == (1, 2), "as when it was killed half-way"
    shell("dead", "replay", first, "no-such-id", *YES, code=2)
    assert "'no-such-id'" in shell.said
    shell("dead", "discard", first, "--reason", "NotDeletable", *YES, code=2)
    assert "not both" in shell.said
    job = shell.json("job", first, code=1)["replayed_as"]
    assert shell.json("job", job)["replay_of"] == first
    shell("dead", "show", first, code=2)
    assert job in shell.said
    shell("dead", "show", third, code=2)
    assert "discarded" in shell.said


def test_a_rate_is_kept(shell: Shell) -> None:
    shell.die(12, KEPT)
    start = time.monotonic()
    shell("dead", "replay", *YES, "--rate", "20")
    assert time.monotonic() - start > 12 / 20 - 0.05
    assert shell.queued() == 12


def test_what_died_again_meanwhile_is_not_moved_round_in_circles(shell: Shell) -> None:
    """The letters of one reason after the other are walked; none that ended after the walk began is met."""
    shell.die(3, RIGHT)
    shell.die(2, WRONG)
    letters = DeadLetters(shell.client)
    choice = choosing.choose(letters, Wishes(shell.client), Filter(), None, frozenset({"UnknownRelationType"}))
    shell.die(1, RIGHT)
    assert choice.count() == (3, 2), "no more is moved than was counted"
    met = 0
    for some in choice.walk():
        met += len(some)
        shell.die(1, dead("Unverified", None, "later"))
    assert met == 3


def test_operators_acts_are_kept(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "olga")
    shell.die(2, KEPT)
    (letter,) = shell.die(1, RIGHT)
    shell("dead", "replay", "--reason", "NotDeletable", *YES)
    shell("dead", "discard", letter, *YES)
    shell("accounts", "halt", "north", "--reason", "wrong import")
    shell("accounts", "resume", "north", "--reason", "mended")
    shell("accounts", "halt", "--all")
    job = shell.json("unlink", "calendar:address", "1", "2")["id"]
    shell("cancel", job)
    acts = shell.acts()
    assert [(act["action"], act["count"], act["because"]) for act in acts] == [
        ("dead replay", None, "checked"),
        ("dead replay", 2, "checked"),
        ("dead discard", None, "checked"),
        ("dead discard", 1, "checked"),
        ("halt", 1, "wrong import"),
        ("resume", 1, "mended"),
        ("halt", 1, "halted by an operator"),
        ("cancel", 1, ""),
    ]
    assert [act["filter"] for act in acts][1::2] == [
        {"reason": "NotDeletable"},
        {"ids": [letter]},
        {"account": "north"},
        {"job": job},
    ]
    assert acts[6]["filter"] == {"account": "*"}
    assert all(act["by"].startswith("olga@") for act in acts)
    assert all(time.time() - 60 < act["at"] < time.time() + 60 for act in acts)
    assert [act["action"] for act in shell.json("audit", "--limit", "2")] == ["halt", "cancel"]
    assert shell.json("audit", "--since", "2999-01-01") == []
    assert "wrong import" in shell("audit")


def test_a_look_at_the_journal_is_one_at_the_last_day_unless_said(shell: Shell) -> None:
    for days, job_id in ((3, "old"), (0.5, "new")):
        job = Job(id=job_id, relation=Relation("calendar:address", 1, 2))
        shell.client.xadd(keys.JOURNAL, {"jobs": pack_jobs([job])}, id=f"{int((time.time() - days * 86400) * 1000)}-0")

    def listed(*options: str) -> list[str]:
        return [deed["job"] for deed in shell.json("journal", "list", *options)]

    assert listed() == listed("--type", "calendar:address") == ["new"]
    assert listed("--since", "4d") == listed("--before", "0s") == ["old", "new"]
    assert listed("--job", "old") == ["old"]


def test_export_has_the_same_columns_whatever_is_in_it(shell: Shell, tmp_path: Path) -> None:
    shell("dead", "export", "none.csv", "--format", "csv")
    assert Path("none.csv").read_text() == ",".join(COLUMNS) + "\n"
    shell.die(1, dead("NotDeletable", 168, '=HYPERLINK("http://x","y")'))
    shell.die(1, dead("Exhausted", None, "-1+1\nnext"), account="@sum")
    shell("dead", "export", "letters.csv", "--format", "csv")
    with Path("letters.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == COLUMNS
    assert [row[6] for row in rows] == ["'-1+1\nnext", '\'=HYPERLINK("http://x","y")'], "no spreadsheet may run them"
    assert [row[8] for row in rows] == ["'@sum", "default"]
    assert [row[10] for row in rows] == ["1", "1"]
    lines = [json.loads(line) for line in shell("dead", "export", "--format", "jsonl").splitlines()]
    assert [list(line) for line in lines] == [COLUMNS, COLUMNS]
    assert [line["message"] for line in lines] == ["-1+1\nnext", '=HYPERLINK("http://x","y")'], "JSON needs no guard"
    assert "2 letters" in shell.said
    shell("dead", "export", str(tmp_path / "no" / "folder.csv"), code=2)
    assert "cannot be written" in shell.said
    assert not list(tmp_path.glob("*.part"))


def test_a_letter_explains_itself(shell: Shell) -> None:
    (letter,) = shell.die(1, dead("MissingRight", 174, "no right\x1b[2J to \nforge a line"))
    text = shell("dead", "show", letter)
    assert "The API user lacks a right that this deletion needs." in text
    assert "Grant the right in onOffice, then replay." in text
    assert f"unlinker dead replay {letter}" in text
    assert "\x1b" not in text
    assert "\nforge" not in text, "what strangers wrote cannot steer the terminal"
    shown = shell.json("dead", "show", letter)
    assert list(shown) == [*COLUMNS, "happened", "advice", "replay"]
    assert shown["message"] == "no right\x1b[2J to \nforge a line"
    (wrong,) = shell.die(1, WRONG)
    assert f"unlinker dead discard {wrong}" in shell("dead", "show", wrong)
    shell("dead", "show", "nobody", code=2)
    assert "'nobody'" in shell.said


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_has_words_for_people(reason: str) -> None:
    error = REASONS[reason]
    assert error.happened.endswith(".")
    assert error.advice.endswith(".")
    assert len(error.happened) > 20
    assert error.replay in ("useless", "mended", "transient")


def test_without_redis_every_command_says_so(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLINKER_REDIS_URL", "redis://127.0.0.1:1/0")
    for words in (("dead", "list"), ("dead", "replay", "--dry-run"), ("audit",), ("journal", "list")):
        shell(*words, code=3)
        assert "Redis cannot be reached" in shell.said
