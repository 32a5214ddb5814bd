"""Entries of the journal are read as they were written, by whatever version."""

import json

from hypothesis import given
from hypothesis import strategies as st

from worker.stores.journal_format import Ended, Intended, Kept, pack_jobs, pack_rows, read
from worker.unlinking.chunk import Chunk, RowState, Unreadable
from worker.unlinking.errors import error_for
from worker.unlinking.job import MAX_ID, Job, JobTerms, Relation

ENTRY, AT = b"1700000000123-4", 1700000000.123
texts = st.text(min_size=1, max_size=40)
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
relations = st.builds(
    Relation, st.sampled_from(("calendar:address", "estate:estateUnit")), *[st.integers(1, MAX_ID)] * 2
)
terms = st.builds(JobTerms, account=texts, requested_by=st.none() | texts, reason=st.none() | texts)
jobs = st.builds(Job, id=words, relation=relations, terms=terms)


def intended(job: Job, **more: object) -> Intended:
    named = {"account": job.account, "requested_by": job.terms.requested_by, "reason": job.terms.reason}
    return Intended(id=job.id, at=AT, relation=job.relation, **{**named, **more})  # type: ignore[arg-type]  # by name


@given(st.lists(jobs, min_size=1, max_size=5), st.data())
def test_jobs(some: list[Job], data: st.DataObject) -> None:
    held = data.draw(st.sets(st.sampled_from(range(len(some)))))
    of_runs = data.draw(st.dictionaries(st.sampled_from(range(len(some))), st.tuples(texts, st.integers(0, 10**6))))
    fields = {b"jobs": pack_jobs(some), b"not": " ".join(map(str, sorted(held))).encode()}
    fields[b"runs"] = json.dumps({str(place): list(run) for place, run in of_runs.items()}).encode()
    expected = []
    for place, job in enumerate(some):
        run, row = of_runs.get(place, (None, None))
        if place not in held:
            expected.append(intended(job, run=run, row=row))
    assert read(ENTRY, fields) == expected


@given(st.lists(st.none() | relations, min_size=1, max_size=6), terms, st.none() | texts, st.booleans(), st.data())
def test_rows(
    some: list[Relation | None], of_all: JobTerms, run: str | None, restore: bool, data: st.DataObject
) -> None:
    unreadable = Unreadable(error_for("BadArguments", None, "no row"), "[1]")
    rows = tuple(
        Job(id=f"c:{row}", relation=relation, terms=of_all) if relation else unreadable
        for row, relation in enumerate(some)
    )
    chunk = Chunk("c", rows, of_all, run=run or "c", first_row=30, restore=restore)
    sent = sorted(data.draw(st.sets(st.sampled_from(range(len(rows))))))
    expected = [
        intended(job, run=None if run in (None, "c") else run, row=30 + row, chunk="c", restore=restore)
        for row, job in enumerate(rows)
        if row in sent and isinstance(job, Job)
    ]
    assert read(ENTRY, {b"rows": pack_rows(chunk, sent)}) == expected


def test_ends() -> None:
    fields = {
        b"end": b"dead",
        b"ids": b'["a","b c"]',
        b"fields": b'{"evidence":"read_back","reason":"NotDeletable","code":168}',
    }
    details = {"reason": "NotDeletable", "code": 168}
    assert read(ENTRY, fields) == [
        Ended(id=each, at=AT, outcome="dead", evidence="read_back", details=details) for each in ("a", "b c")
    ]
    fields = {
        b"end": b"already_absent",
        b"ids": b'["a"]',
        b"fields": b'{"evidence":"read_back","proven":false,"by":"not_us"}',
    }
    assert read(ENTRY, fields) == [
        Ended(id="a", at=AT, outcome="already_absent", evidence="read_back", proven=False, by="not_us")
    ]


def test_spans() -> None:
    found = read(ENTRY, {b"chunk": b"c", b"spans": b"0,2,u,a;5,1,A,r;6,1,e,"})
    assert found == [
        Ended(id="c:0", at=AT, outcome="unlinked", evidence="answered", by="us"),
        Ended(id="c:1", at=AT, outcome="unlinked", evidence="answered", by="us"),
        Ended(id="c:5", at=AT, outcome="already_absent", evidence="read_back", proven=False, by="not_us"),
        Ended(id="c:6", at=AT, outcome="expired", by="not_us"),
    ]
    assert {state for state in RowState if state.is_final} >= {RowState.UNLINKED, RowState.EXPIRED}


def test_what_was_kept_and_what_a_later_version_wrote() -> None:
    assert read(ENTRY, {b"kept": b'{"j": "confirmed"}'}) == [Kept(id="j", at=AT, confirmation="confirmed")]
    assert read(ENTRY, {b"something": b"new"}) == []
