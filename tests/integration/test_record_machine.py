"""The record of a job against a model: deliveries, take-overs, crashes, cancels and joined jobs in any order."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import redis
import redis.asyncio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from worker.engine.results import celery_result
from worker.engine.settling import as_stored
from worker.stores import keys
from worker.stores.cancelling import Cancelled, Revocations
from worker.stores.records import (
    MOVES,
    Admission,
    Arrival,
    Ending,
    Intent,
    Intention,
    Records,
    Retention,
    Status,
    record_fields,
)
from worker.stores.wishes import Accepted, Wish, Wishes
from worker.unlinking.attribution import Known
from worker.unlinking.decisions import Ticket
from worker.unlinking.job import Job, JobTerms, Relation
from worker.unlinking.outcome import EXPIRED, Evidence, Kind, Outcome

OUTCOMES = (
    Outcome(kind=Kind.UNLINKED, evidence=Evidence.ANSWERED),
    Outcome(kind=Kind.DEAD, reason="NotDeletable", code=168, message="x"),
    EXPIRED,
)
STATES = {"unlinked": "SUCCESS", "dead": "FAILURE", "expired": "FAILURE", "cancelled": "REVOKED"}
CANCELLED = celery_result(Outcome(kind=Kind.CANCELLED), 0.0)
LONG_AGO = 1.0  # Unix seconds; the deadline of a job that is late from the beginning


@dataclass
class Model:
    """What must hold, kept beside the records."""

    outcomes: dict[str, str] = field(default_factory=dict)  # the first outcome of each id
    sent: set[str] = field(default_factory=set)  # ids whose requests were let out since they were last claimed
    tried: set[str] = field(default_factory=set)  # ids for which anything was ever sent
    doubt: set[str] = field(default_factory=set)  # ids of which an earlier request may have been carried out
    groups: dict[str, list[str]] = field(default_factory=dict)  # id that runs -> those that joined it, in order
    claims: dict[str, str] = field(default_factory=dict)  # id -> claim that holds it
    statuses: dict[str, str] = field(default_factory=dict)

    def runner(self, job_id: str) -> str:
        """Who runs for this job."""
        return next((head for head, members in self.groups.items() if job_id in members), job_id)

    def end(self, job_id: str, outcome: str) -> None:
        """A job ended; the others of its group go on, or end by their own terms."""
        self.outcomes[job_id] = outcome
        members = [each for each in self.groups.pop(job_id, []) if each not in self.outcomes]
        if outcome not in ("expired", "cancelled"):
            for each in members:
                self.outcomes[each] = "expired" if is_late(each) else outcome
        elif members:
            head, *others = members
            self.groups[head] = others
            for marks in (self.tried, self.doubt):
                if job_id in marks:
                    marks.add(head)


def is_late(job_id: str) -> bool:
    return job_id.endswith("late")


class RecordMachine(RuleBasedStateMachine):
    """Rules are what doors, workers and operators do."""

    url: str
    ids = Bundle("ids")
    held = Bundle("held")  # (id, claim): some worker believes it holds the job

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.sync = redis.Redis.from_url(self.url)
        self.sync.flushall()
        self.client = redis.asyncio.Redis.from_url(self.url)
        self.records = Records(self.client, Retention(), same_server_as_queue=True)
        self.revocations = Revocations(self.client, Retention())
        self.wishes = Wishes(self.sync)
        self.model = Model()
        self.number = 0

    def teardown(self) -> None:
        self.loop.run_until_complete(self.client.aclose())
        self.loop.close()
        self.sync.close()

    def _do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def _new_id(self, parentid: int, late: bool) -> str:
        self.number += 1
        return f"{self.number}-{parentid}-{'late' if late else 'in time'}"

    def _job(self, job_id: str) -> Job:
        parentid = int(job_id.split("-")[1])
        terms = JobTerms(not_after=LONG_AGO if is_late(job_id) else None)
        return Job(id=job_id, relation=Relation("calendar:address", parentid, 5), terms=terms)

    def _relation(self, job_id: str) -> str:
        return keys.relation("default", "calendar:address", int(job_id.split("-")[1]), 5)

    def _note_joined(self, job_id: str) -> None:
        group: Any = self.sync.hget(keys.job(job_id), "joined")
        first: Any = self.sync.lindex(keys.GROUP_PREFIX + group.decode(), 0)
        head = first.decode()
        assert head not in self.model.tried, "a job may join only one for which nothing was ever sent"
        assert head not in self.model.outcomes
        assert self.model.statuses.get(head) in ("queued", "parked")
        self.model.groups.setdefault(head, []).append(job_id)

    @rule(target=ids, parentid=st.sampled_from([1, 1, 1, 2]), late=st.booleans())
    def enqueue(self, parentid: int, late: bool) -> str:
        job_id = self._new_id(parentid, late)
        if self.wishes.enqueue(Wish(self._job(job_id), f"message of {job_id}")) is Accepted.JOINED:
            self._note_joined(job_id)
        return job_id

    @rule(target=ids, parentid=st.sampled_from([1, 1, 1, 2]), late=st.booleans())
    def push(self, parentid: int, late: bool) -> str:
        """A stranger's message: it has no record until a worker claims it."""
        return self._new_id(parentid, late)

    @rule(target=held, job_id=ids, crashed=st.booleans())
    def deliver(self, job_id: str, crashed: bool) -> Any:
        """The job's message reaches a worker; `crashed`: taken over from the claim that held it."""
        self.number += 1
        claim, before = f"claim-{self.number}", self.model.claims.get(job_id, "")
        alive = before if not crashed else ""
        if alive:
            self.sync.hset(keys.CLAIMED, alive, "x")
        self.sync.hset(keys.CLAIMED, claim, f"unlink\nmessage of {job_id}")
        if crashed and before:
            self.sync.hdel(keys.CLAIMED, before)
        arrival = Arrival(
            id=job_id,
            fields=record_fields(self._job(job_id)),
            claim=claim,
            taken_over_from=before if crashed else "",
            relation=self._relation(job_id),
        )
        joined_before = self.model.runner(job_id) != job_id
        (known,) = self._do(self.records.admit([arrival]))
        if job_id in self.model.outcomes:
            assert known.admission is Admission.ENDED
            return multiple()
        if known.admission is Admission.JOINED:
            if not joined_before:
                assert job_id not in self.model.tried, "what was sent goes on by itself"
                self._note_joined(job_id)
            self.sync.hdel(keys.CLAIMED, claim)
            return multiple()
        assert not joined_before
        if known.admission is not Admission.RUN:
            assert alive, "only a living claim makes a copy a duplicate"
            return multiple()
        if job_id in self.model.sent | self.model.doubt:
            assert known.known.in_doubt, "what was sent and never answered is in doubt until somebody has looked"
        (self.model.doubt.add if known.known.in_doubt else self.model.doubt.discard)(job_id)
        self.model.sent.discard(job_id)
        self.model.claims[job_id] = claim
        return job_id, claim

    @rule(target=held, pair=consumes(held))
    def intend(self, pair: tuple[str, str]) -> tuple[str, str]:
        job_id, claim = pair
        (intent,) = self._do(self.records.intend([Intention(self._job(job_id), claim)]))
        if job_id in self.model.outcomes:
            assert intent is Intent.ENDED, "a job that has an outcome never reaches the API again"
        elif self.model.claims[job_id] != claim:
            assert intent is Intent.LOST, "only the holder sends"
        elif is_late(job_id):
            assert intent is (Intent.ASK if job_id in self.model.doubt else Intent.EXPIRED)
        else:
            assert intent is Intent.GO
            self.model.sent.add(job_id)
            self.model.tried.add(job_id)
        return pair

    @rule(pair=consumes(held), outcome=st.sampled_from(OUTCOMES))
    def finish(self, pair: tuple[str, str], outcome: Outcome) -> None:
        job_id, _ = pair
        ending = Ending(job_id, self._relation(job_id), as_stored(outcome, 0.0))
        ((first, stands),) = self._do(self.records.finish([ending], as_stored(EXPIRED, 0.0)))
        if job_id in self.model.outcomes:
            assert (first, stands) == (False, self.model.outcomes[job_id])
            return
        assert (first, stands) == (True, str(outcome.kind))
        self.model.end(job_id, stands)

    @rule(
        pair=consumes(held),
        status=st.sampled_from([Status.DELAYED, Status.PARKED, Status.UNVERIFIED, Status.QUEUED]),
        reply_lost=st.booleans(),
    )
    def defer(self, pair: tuple[str, str], status: Status, reply_lost: bool) -> None:
        job_id, claim = pair
        if status is Status.UNVERIFIED and job_id not in self.model.sent:
            return
        doubt = job_id in self.model.sent | self.model.doubt
        ticket = Ticket(
            job=self._job(job_id),
            attempts=1,
            known=Known().after_loss(1.0) if doubt else Known(),
            question=status is Status.UNVERIFIED,
        )
        done = self._do(self.records.defer(claim, status, ticket, "why"))
        if reply_lost:
            assert self._do(self.records.defer(claim, status, ticket, "why")) == done, "it is repeated, and not lost"
        assert done == (job_id not in self.model.outcomes and self.model.claims.get(job_id) == claim)
        if done:
            (self.model.doubt.add if doubt else self.model.doubt.discard)(job_id)
            self.model.sent.discard(job_id)
            self.model.claims[job_id] = ""
            self.sync.hdel(keys.CLAIMED, claim)

    @rule(job_id=ids)
    def cancel(self, job_id: str) -> None:
        """It works until the request is out, with no worker up too; and never where nobody knows what was done."""
        answer = self.wishes.cancel(job_id, CANCELLED)
        if answer is Cancelled.UNKNOWN:
            assert not self.sync.exists(keys.job(job_id))
            answer = self.wishes.cancel(job_id, CANCELLED, record_fields(self._job(job_id)))
        self._note_cancelled(job_id, answer)

    @rule(job_id=ids)
    def revoke(self, job_id: str) -> None:
        """The same by Celery's remote control, though no worker may have seen the message yet."""
        unseen = not self.sync.exists(keys.job(job_id))
        answer = self._do(self.revocations.revoke(job_id, CANCELLED))
        self._note_cancelled(job_id, answer)
        if unseen:
            assert self.sync.ttl(keys.job(job_id)) > 8 * 86400

    def _note_cancelled(self, job_id: str, answer: Cancelled) -> None:
        runner = self.model.runner(job_id)
        if job_id in self.model.outcomes:
            wanted = Cancelled.CANCELLED if self.model.outcomes[job_id] == "cancelled" else Cancelled.ENDED
        elif runner in self.model.sent:
            wanted = Cancelled.TOO_LATE
        elif runner in self.model.doubt:
            wanted = Cancelled.DOUBT
        else:
            wanted = Cancelled.CANCELLED
        assert answer is wanted
        if job_id not in self.model.outcomes and answer is Cancelled.CANCELLED:
            if runner == job_id:
                self.model.end(job_id, "cancelled")
            else:
                self.model.outcomes[job_id] = "cancelled"

    @invariant()
    def outcomes_stand_and_results_agree(self) -> None:
        for job_id, outcome in self.model.outcomes.items():
            assert self.sync.hget(keys.job(job_id), "outcome") == outcome.encode()
            stored: Any = self.sync.get(keys.RESULT_PREFIX + job_id)
            assert json.loads(stored)["status"] == STATES[outcome]
            assert json.loads(stored)["task_id"] == job_id

    @invariant()
    def dead_letters_are_the_dead(self) -> None:
        stored: Any = self.sync.zrange(keys.DEAD, 0, -1)
        assert {job_id.decode() for job_id in stored} == {
            job_id for job_id, outcome in self.model.outcomes.items() if outcome in ("dead", "expired")
        }

    @invariant()
    def statuses_move_as_the_table_says(self) -> None:
        keys_found: Any = self.sync.scan_iter(match=keys.JOB_PREFIX + "*")
        for key in keys_found:
            job_id = key.decode().removeprefix(keys.JOB_PREFIX)
            stored: Any = self.sync.hget(key, "status")
            now, before = stored.decode(), self.model.statuses.get(job_id)
            if before is not None and before != now:
                assert Status(now) in MOVES[Status(before)], f"{job_id}: {before} -> {now}"
            self.model.statuses[job_id] = now

    @invariant()
    def nobody_who_joined_is_forgotten(self) -> None:
        """Somebody runs for each of them, and whoever is to go on by itself has its message in the queue."""
        messages: Any = self.sync.lrange("unlink", 0, -1)
        queued = {message.decode().removeprefix("message of ") for message in messages}
        for head, members in self.model.groups.items():
            assert head not in self.model.outcomes
            assert self.sync.hget(keys.job(head), "joined") is None
            assert head in queued or self.sync.hget(keys.job(head), "claim"), f"{head} has no message"
            for member in members:
                if member not in self.model.outcomes:
                    document = self.wishes.document(member)
                    assert document is not None
                    assert document["joined"] == head

    @invariant()
    def groups_end_with_their_last_member(self) -> None:
        stored: Any = self.sync.scan_iter(match=keys.GROUP_PREFIX + "*")
        assert len(list(stored)) == len(self.model.groups)


def test_records_hold_in_any_order(valkey: str) -> None:
    machine = type("Machine", (RecordMachine,), {"url": valkey})
    run_machine(machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
