"""From a real journal to the links of an undo: what fits, what was kept, what has no end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from gateway.planning.link_table import LinkTable, tabling
from gateway.planning.undo_making import read_deeds
from worker.stores import keys
from worker.stores.journal import Journal, Wanted
from worker.stores.journal_format import pack_jobs, pack_rows
from worker.unlinking.chunk import Chunk
from worker.unlinking.job import Job, JobTerms, Relation
from worker.unlinking.undoing import Undoing, Why

GUEST = Relation("calendar:address", 671, 153)


class Scribe:
    """Writes a journal as the workers' scripts do, at moments of its own."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def _add(self, at: float, **fields: str | bytes) -> None:
        self._client.xadd(keys.JOURNAL, dict(fields), id=f"{int(at * 1000)}-*")  # type: ignore[arg-type]  # invariant

    def sent(self, at: float, job_id: str, relation: Relation = GUEST, account: str = "default") -> None:
        self._add(at, jobs=pack_jobs([Job(id=job_id, relation=relation, terms=JobTerms(account=account))]))

    def sent_rows(self, at: float, chunk_id: str, relation: Relation, *, restore: bool = False) -> None:
        terms = JobTerms()
        row = Job(id=f"{chunk_id}:0", relation=relation, terms=terms, restore=restore)
        self._add(at, rows=pack_rows(Chunk(chunk_id, (row,), terms, "spring", 40, restore), [0]))

    def kept(self, at: float, job_id: str, status: str) -> None:
        self._add(at, kept=json.dumps({job_id: status}))

    def ended(self, at: float, job_id: str, outcome: str = "unlinked") -> None:
        fields = json.dumps({"evidence": "answered", "proven": True, "by": "us"})
        self._add(at, end=outcome, fields=fields, ids=json.dumps([job_id]))

    def ended_row(self, at: float, chunk_id: str, byte: str) -> None:
        self._add(at, chunk=chunk_id, spans=f"0,1,{byte},a")


@pytest.fixture
def client(redis_url: str) -> "Iterator[redis.Redis]":
    with redis.Redis.from_url(redis_url) as client:
        yield client


@contextmanager
def undone(client: "redis.Redis", wanted: Wanted) -> Iterator[tuple[Undoing, LinkTable]]:
    with tabling() as links:
        undoing = Undoing(links)
        read_deeds(Journal(client), wanted, undoing)
        yield undoing, links


def test_what_was_kept_last_comes_back_and_who_did_it_is_told(client: "redis.Redis") -> None:
    scribe = Scribe(client)
    scribe.sent(1, "j")
    scribe.kept(2, "j", "sent")
    scribe.sent(3, "j")  # the next attempt
    scribe.kept(4, "j", "confirmed")
    scribe.ended(5, "j")
    with undone(client, Wanted(job="j")) as (_, links):
        ((relation, row),) = links.rows("default")
    assert (relation, row.confirmation, row.job, row.at, row.known_by) == (GUEST, "confirmed", "j", 5.0, "answered")


def test_filters_choose_and_everything_else_is_a_later_will(client: "redis.Redis") -> None:
    scribe = Scribe(client)
    for number in range(1, 5):
        scribe.sent(10 * number, f"j{number}", Relation("estate:address:owner", number, 1))
        scribe.ended(10 * number + 1, f"j{number}")
    scribe.sent(60, "later", Relation("estate:address:owner", 2, 1))
    scribe.ended(61, "later")
    with undone(client, Wanted(since=15, before=35)) as (_, links):
        found = {relation.parentid: row.why for relation, row in links.rows("default")}
    assert found == {2: Why.DELETED_SINCE, 3: None}


def test_an_open_intent_is_undone_unless_somebody_brought_it_back(client: "redis.Redis") -> None:
    scribe = Scribe(client)
    other = Relation("calendar:address", 671, 154)
    scribe.sent_rows(1, "run.0", GUEST)
    scribe.sent_rows(2, "run.1", other)
    scribe.sent_rows(3, "undo.0", GUEST, restore=True)
    scribe.ended_row(4, "undo.0", "r")
    with undone(client, Wanted(run="spring", job="run.0")) as (_, links):
        ((_, row),) = links.rows("default")
        assert row.why is Why.RESTORED_SINCE
    with undone(client, Wanted(run="spring")) as (undoing, links):
        rows = dict(links.rows("default"))
        assert (rows[other].comes_back, rows[other].certain) == (True, False)
        assert rows[GUEST].why is Why.RESTORED_SINCE
        assert undoing.restores == 1
        assert [(each.known, each.count) for each in links.totals("default") if each.comes_back] == [(False, 1)]


def test_accounts_are_told_apart(client: "redis.Redis") -> None:
    scribe = Scribe(client)
    for at, account in enumerate(("a", "b"), start=1):
        scribe.sent(10 * at, account, account=account)
        scribe.ended(10 * at + 1, account)
    with undone(client, Wanted(relationtype="calendar:address")) as (_, links):
        assert links.accounts() == {"a": 1, "b": 1}
    with undone(client, Wanted(account="b")) as (_, links):
        assert links.accounts() == {"b": 1}
