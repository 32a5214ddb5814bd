"""Retention: by age and by number, to a file first, killed anywhere, twice at once, and never in silence."""

import json
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.ends import die
from worker.stores import keys
from worker.stores.archive import Archive, ArchiveUnwritable
from worker.stores.audit import Audit
from worker.stores.clearing import HOUR, Clearing
from worker.stores.dead_letters import DeadLetters
from worker.stores.journal import Journal, Wanted
from worker.stores.journal_format import pack_jobs
from worker.stores.keep_rules import DAY, KeepRules
from worker.stores.letter import Filter
from worker.unlinking.job import Job, Relation
from worker.unlinking.outcome import dead

OLD = 91 * DAY


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def clearing(client: "redis.Redis", archive: Archive | None = None, **rules: int) -> Clearing:
    return Clearing(client, KeepRules(**rules), archive, lambda: True)


def archive(folder: Path) -> Archive:
    return Archive(folder, lambda: uuid.uuid4().hex[:8])


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def letters(url: str, count: int) -> list[str]:
    ids = [f"letter-{number}" for number in range(count)]
    die(url, ids, dead("NotDeletable", 168, "kept"))
    return ids


def counter(client: "redis.Redis", name: str) -> int:
    return int(client.hget(keys.COUNTERS, name) or 0)


def test_old_letters_are_written_to_a_file_counted_audited_and_gone(
    redis_url: str, client: "redis.Redis", tmp_path: Path
) -> None:
    ids = letters(redis_url, 1200)
    documents = [letter.document() for some in DeadLetters(client).walk(Filter()) for letter in some]
    folder = tmp_path / "made" / "on demand"
    assert clearing(client, archive(folder)).letters(time.time() + 89 * DAY) == 0
    assert not folder.exists()
    assert clearing(client, archive(folder)).letters(time.time() + OLD) == 1200
    assert lines(folder) == documents[::-1], "whole, the oldest first, as exports have them"
    assert len(list(folder.iterdir())) == 1
    assert DeadLetters(client).number() == 0
    assert counter(client, "letters_dropped") == 1200
    (act,) = Audit(client).acts()
    assert (act.action, act.by, act.count) == ("drop dead letters", "retention", 1200)
    assert "ended before" in act.because
    assert act.wanted == {"file": str(next(folder.iterdir()))}
    assert 0 < client.ttl(keys.job(ids[0])) <= 8 * DAY, "a redelivery of a young one must not meet a forgotten outcome"
    assert client.hexists(keys.job(ids[0]), "dropped_at")


def test_without_a_folder_they_are_counted_and_audited_all_the_same(redis_url: str, client: "redis.Redis") -> None:
    ids = letters(redis_url, 3)
    for letter_id in ids:
        client.hset(keys.job(letter_id), "ended_at", int((time.time() - 100 * DAY) * 1000))
    assert clearing(client).letters(time.time()) == 3
    assert counter(client, "letters_dropped") == 3
    assert [act.wanted for act in Audit(client).acts()] == [{"file": None}]
    time.sleep(0.05)
    assert not client.exists(*[keys.job(letter_id) for letter_id in ids]), "nobody can ask for these any more"


def test_the_oldest_go_when_there_are_too_many(redis_url: str, client: "redis.Redis", tmp_path: Path) -> None:
    ids = letters(redis_url, 350)
    rules = clearing(client, archive(tmp_path), letters_most=300)
    assert rules.letters(time.time()) == 53, "down to a hundredth below, so that files are few"
    assert [line["id"] for line in lines(tmp_path)] == ids[:53]
    assert DeadLetters(client).oldest(1) == [ids[53]]
    assert [act.because for act in Audit(client).acts()] == ["over 300 letters"]
    assert rules.letters(time.time()) == 0


def test_nothing_is_taken_out_when_the_file_cannot_be_written(
    redis_url: str, client: "redis.Redis", tmp_path: Path
) -> None:
    old_deed(client, time.time() - 100 * DAY, "j")
    letters(redis_url, 5)
    (tmp_path / "file").write_text("no folder")
    wall = clearing(client, archive(tmp_path / "file"))
    with pytest.raises(ArchiveUnwritable, match="file"):
        wall.letters(time.time() + OLD)
    with pytest.raises(ArchiveUnwritable, match="file"):
        wall.journal(time.time())
    assert DeadLetters(client).number() == 5
    assert client.xlen(keys.JOURNAL) == 2, "an intent, and the ends of five"
    assert list(Audit(client).acts()) == []
    assert (counter(client, "letters_dropped"), counter(client, "journal_dropped")) == (0, 0)


class Killed(BaseException):
    """As if the process had ended."""


@dataclass(frozen=True, slots=True)
class DeadlyArchive(Archive):
    """Kills whoever writes: in the middle, or when the file is there."""

    in_the_middle: bool = False

    def write(self, stem: str, documents: Iterable[Mapping[str, object]]) -> Path:
        def deadly() -> Iterator[Mapping[str, object]]:
            for number, document in enumerate(documents):
                if self.in_the_middle and number == 2:
                    raise Killed
                yield document

        Archive.write(self, stem, deadly())
        raise Killed


@pytest.mark.parametrize("in_the_middle", [True, False])
def test_killed_in_between_a_letter_is_at_worst_in_a_file_and_in_redis(
    redis_url: str, client: "redis.Redis", tmp_path: Path, in_the_middle: bool
) -> None:
    ids = letters(redis_url, 5)
    deadly = DeadlyArchive(tmp_path, lambda: "first", in_the_middle=in_the_middle)
    with pytest.raises(Killed):
        clearing(client, deadly).letters(time.time() + OLD)
    assert DeadLetters(client).number() == 5, "nothing is taken out before its file is whole"
    assert len(lines(tmp_path)) == (0 if in_the_middle else 5)
    assert list(tmp_path.glob("*.part")) == []
    assert clearing(client, archive(tmp_path)).letters(time.time() + OLD) == 5
    assert {line["id"] for line in lines(tmp_path)} == set(ids)
    assert counter(client, "letters_dropped") == 5


def test_twice_at_once_every_letter_is_dropped_and_counted_once(
    redis_url: str, client: "redis.Redis", tmp_path: Path
) -> None:
    letters(redis_url, 1500)
    start, dropped = threading.Barrier(3), []

    def drop() -> None:
        with redis.Redis.from_url(redis_url) as own:
            start.wait()
            dropped.append(clearing(own, archive(tmp_path)).letters(time.time() + OLD))

    threads = [threading.Thread(target=drop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(dropped) == 1500
    assert counter(client, "letters_dropped") == 1500
    assert sum(act.count or 0 for act in Audit(client).acts()) == 1500
    assert len({line["id"] for line in lines(tmp_path)}) == 1500


def old_deed(client: "redis.Redis", at: float, job_id: str, ended_at: float | None = None) -> None:
    job = Job(id=job_id, relation=Relation("calendar:address", 1, 2))
    client.xadd(keys.JOURNAL, {"jobs": pack_jobs([job])}, id=f"{int(at * 1000)}-0")
    if ended_at is not None:
        fields: Any = {"end": "unlinked", "fields": '{"evidence":"answered"}', "ids": json.dumps([job_id])}
        client.xadd(keys.JOURNAL, fields, id=f"{int(ended_at * 1000)}-1")


def test_the_old_end_of_the_journal_goes_to_files_by_the_hour_with_all_its_ends(
    client: "redis.Redis", tmp_path: Path
) -> None:
    now = time.time()
    midnight = KeepRules().journal_before(now)
    old_deed(client, midnight - 5 * HOUR, "first", midnight - 5 * HOUR + 1)
    old_deed(client, midnight - 2 * HOUR + 1, "second")
    old_deed(client, midnight - 2 * HOUR + 2, "third", midnight - HOUR + 3)
    end: Any = {"end": "unlinked", "fields": '{"evidence":"read_back"}', "ids": json.dumps(["second"])}
    client.xadd(keys.JOURNAL, end, id=f"{int((midnight + HOUR) * 1000)}-0")
    old_deed(client, midnight + 2 * HOUR, "young", midnight + 2 * HOUR + 1)
    assert clearing(client, archive(tmp_path)).journal(now) == 5
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) == 3, "one for each hour in which something was sent or ended"
    found = {line["job"]: (line["outcome"], line["evidence"]) for line in lines(tmp_path)}
    answered = ("unlinked", "answered")
    assert found == {"first": answered, "second": ("unlinked", "read_back"), "third": answered}
    assert [deed.intended.id for deed in Journal(client).deeds(Wanted())] == ["young"]
    assert counter(client, "journal_dropped") == 5
    assert {act.action for act in Audit(client).acts()} == {"drop journal"}
    assert clearing(client).journal(now) == 0


def test_a_journal_without_an_archive_is_cut_and_counted(client: "redis.Redis") -> None:
    old_deed(client, time.time() - 10 * DAY, "old", time.time() - 10 * DAY + 1)
    assert clearing(client, journal_days=30).journal(time.time()) == 0
    assert clearing(client, journal_days=8).journal(time.time()) == 2
    assert counter(client, "journal_dropped") == 2


def test_it_stops_between_batches(redis_url: str, client: "redis.Redis") -> None:
    letters(redis_url, 5)
    stopped = Clearing(client, KeepRules(), None, lambda: False)
    assert (stopped.letters(time.time() + OLD), stopped.journal(time.time() + OLD)) == (0, 0)
    assert DeadLetters(client).number() == 5
