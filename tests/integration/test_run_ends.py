"""How a run's rows ended, read from a real server as the workers leave it there."""

import json
from collections.abc import Sequence

import pytest
import redis
import redis.asyncio

from worker.stores import keys
from worker.stores.records import Retention
from worker.stores.rows import RowEnding, Rows, RowsIntention
from worker.stores.run_ends import RunEnds
from worker.stores.runs import Run, Runs, RunTerms
from worker.unlinking.chunk import Chunk
from worker.unlinking.job import Job
from worker.unlinking.outcome import Evidence, Kind, Outcome, dead
from worker.unlinking.plan import Action
from worker.unlinking.report import LetterState, Part
from worker.unlinking.runs import Layout, chunk_id

RUN = "r"
ROWS = [["calendar:address", number + 1, 5] for number in range(30)]
UNLINKED = Outcome(kind=Kind.UNLINKED, evidence=Evidence.ANSWERED)
LOOKED_AT = Outcome(kind=Kind.UNLINKED, evidence=Evidence.READ_BACK)
KEPT = dead("NotDeletable", 168, "kept", Evidence.READ_BACK)


@pytest.fixture
def client(redis_url: str) -> "redis.Redis":
    return redis.Redis.from_url(redis_url)


def started(client: "redis.Redis", action: str = "unlink") -> Run:
    runs = Runs(client)
    terms = RunTerms(
        id=RUN, account="default", action=action, layout=Layout(30, 10, 15), max_failure_rate=0.1, by="x", because=""
    )
    list(runs.load(terms, ROWS))
    assert runs.open(terms) == "started"
    found = runs.get(RUN)
    assert found is not None
    return found


def chunk(run: Run, number: int, name: str = "") -> Chunk:
    first, length = run.layout.span(number)
    arguments = {"relations": ROWS[first : first + length], "run": RUN, "first_row": first}
    return Chunk.from_arguments(name or chunk_id(RUN, number), arguments)


async def end(store: "redis.asyncio.Redis", of: Chunk, outcomes: Sequence[Outcome], first: int = 0) -> None:
    rows = Rows(store, Retention())
    await rows.intend([RowsIntention(of, "claim", tuple(range(first, first + len(outcomes))))])
    jobs = [job if isinstance(job, Job) else None for job in of.rows]
    await rows.finish(
        [RowEnding(of, place, jobs[place], outcome) for place, outcome in enumerate(outcomes, start=first)]
    )


async def test_evidence_comes_from_the_journal_and_letters_from_their_records(
    store: "redis.asyncio.Redis", client: "redis.Redis"
) -> None:
    run = started(client)
    await end(store, chunk(run, 0), [UNLINKED] * 9 + [KEPT])
    await end(store, chunk(run, 1), [LOOKED_AT, UNLINKED, LOOKED_AT], 4)
    ends = list(RunEnds(client, run).ends(Action.UNLINK))
    assert len(ends) == 30
    assert [each.evidence for each in ends[:9]] == ["answered"] * 9
    assert (ends[9].part, ends[9].reason, ends[9].code, ends[9].letter) == (
        Part.FAILED,
        "NotDeletable",
        168,
        LetterState.WAITS,
    )
    assert [each.evidence for each in ends[14:17]] == ["read_back", "answered", "read_back"]
    assert {each.part for each in ends[17:]} == {Part.UNPROCESSED}


async def test_the_first_end_of_a_row_stands_in_its_evidence_too(
    store: "redis.asyncio.Redis", client: "redis.Redis"
) -> None:
    run = started(client)
    await end(store, chunk(run, 0), [UNLINKED, LOOKED_AT])
    await end(store, chunk(run, 0), [LOOKED_AT, UNLINKED, UNLINKED])
    assert [each.evidence for each in RunEnds(client, run).ends(Action.UNLINK)][:3] == [
        "answered",
        "read_back",
        "answered",
    ]


async def test_a_chunk_that_only_names_the_run_is_not_told_of(
    store: "redis.asyncio.Redis", client: "redis.Redis"
) -> None:
    run = started(client)
    await end(store, chunk(run, 0, "stranger"), [UNLINKED] * 10)
    ends = list(RunEnds(client, run).ends(Action.UNLINK))
    assert {each.part for each in ends} == {Part.UNPROCESSED}
    assert not any(RunEnds(client, run).evidence())


async def test_an_old_end_of_the_journal_leaves_blanks(store: "redis.asyncio.Redis", client: "redis.Redis") -> None:
    run = started(client)
    await end(store, chunk(run, 0), [UNLINKED] * 10)
    client.delete(keys.JOURNAL)
    ends = list(RunEnds(client, run).ends(Action.UNLINK))
    assert [(each.part, each.evidence) for each in ends[:10]] == [(Part.SUCCEEDED, "")] * 10


async def test_replays_are_followed_however_often(store: "redis.asyncio.Redis", client: "redis.Redis") -> None:
    run = started(client)
    await end(store, chunk(run, 0), [KEPT] * 3)
    client.hset(keys.job("r.0:0"), "replayed_as", "j1")
    client.hset(keys.job("j1"), mapping={"status": "ended", "outcome": "dead", "replayed_as": "j2"})
    client.hset(
        keys.job("j2"),
        mapping={"status": "ended", "outcome": "unlinked", "evidence": json.dumps({"evidence": "answered"})},
    )
    client.delete(keys.job("r.0:1"))
    first, second, third, *_ = RunEnds(client, run).ends(Action.UNLINK)
    assert (first.part, first.outcome, first.replayed_as) == (Part.SUCCEEDED, "unlinked", "j2")
    assert (second.part, second.letter) == (Part.FAILED, LetterState.FORGOTTEN)
    assert (third.part, third.letter) == (Part.FAILED, LetterState.WAITS)


async def test_a_restore_is_told_of_alike(store: "redis.asyncio.Redis", client: "redis.Redis") -> None:
    run = started(client, "restore")
    restored, present = (
        Outcome(kind=kind, evidence=Evidence.READ_BACK) for kind in (Kind.RESTORED, Kind.ALREADY_PRESENT)
    )
    await end(store, chunk(run, 0), [restored, present, KEPT])
    parts = [each.part for each in RunEnds(client, run).ends(Action.RESTORE)]
    assert parts[:4] == [Part.SUCCEEDED, Part.ALREADY_PRESENT, Part.FAILED, Part.UNPROCESSED]


async def test_portions_of_a_long_run_meet_no_letter_twice(
    store: "redis.asyncio.Redis", client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.stores.run_ends.ROWS_AT_ONCE", 12)
    monkeypatch.setattr("worker.stores.run_ends.TRACES_AT_ONCE", 2)
    monkeypatch.setattr("worker.stores.run_ends.ENTRIES_AT_ONCE", 2)
    run = started(client)
    await end(store, chunk(run, 0), [KEPT, UNLINKED] * 5)
    await end(store, chunk(run, 1), [UNLINKED, KEPT] * 7)
    await end(store, chunk(run, 2), [KEPT] * 5)
    ends = list(RunEnds(client, run).ends(Action.UNLINK))
    failed = [place for place, each in enumerate(ends) if each.part is Part.FAILED]
    assert failed == [0, 2, 4, 6, 8, 11, 13, 15, 17, 19, 21, 23, 25, 26, 27, 28, 29]
    assert [each.evidence for each in ends].count("answered") == 12
