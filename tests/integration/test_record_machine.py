"""The record of a job against a model: deliveries, take-overs, crashes, cancels and joined wishes in any order."""

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
from worker.stores.wishes import Accepted, Cancelled, Wish, Wishes
from worker.unlinking.attribution import Known
from worker.unlinking.decisions import Ticket
from worker.unlinking.job import Job, Relation
from worker.unlinking.outcome import Evidence, Kind, Outcome

OUTCOMES = (
    Outcome(kind=Kind.UNLINKED, evidence=Evidence.ANSWERED),
    Outcome(kind=Kind.DEAD, reason="NotDeletable", code=168, message="x"),
)
CANCELLED = celery_result(Outcome(kind=Kind.CANCELLED), 0.0)


@dataclass
class Model:
    """What must hold, kept beside the records."""

    outcomes: dict[str, str] = field(default_factory=dict)  # the first outcome of each id
    sent: set[str] = field(default_factory=set)  # ids whose requests were let out since they were last claimed
    doubt: set[str] = field(default_factory=set)  # ids of which an earlier request may have been carried out
    joined: dict[str, str] = field(default_factory=dict)  # id -> the job it joined
    claims: dict[str, str] = field(default_factory=dict)  # id -> claim that holds it
    statuses: dict[str, str] = field(default_factory=dict)


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
        self.wishes = Wishes(self.sync)
        self.model = Model()
        self.number = 0

    def teardown(self) -> None:
        self.loop.run_until_complete(self.client.aclose())
        self.loop.close()
        self.sync.close()

    def _do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def _job(self, job_id: str) -> Job:
        parentid = int(job_id.split("-")[1])
        return Job(id=job_id, relation=Relation("calendar:address", parentid, 5))

    @rule(target=ids, parentid=st.integers(1, 2))
    def enqueue(self, parentid: int) -> str:
        self.number += 1
        job_id = f"{self.number}-{parentid}"
        accepted = self.wishes.enqueue(Wish(self._job(job_id), "{}"))
        if accepted is Accepted.JOINED:
            first = str(self.wishes.document(job_id)["joined"])  # type: ignore[index]  # it was stored just now
            assert first not in self.model.sent, "a wish may join only what was not sent"
            assert self.model.statuses.get(first) != "ended"
            self.model.joined[job_id] = first
        return job_id

    @rule(target=ids, parentid=st.integers(1, 2))
    def push(self, parentid: int) -> str:
        """A stranger's message: it has no record until a worker claims it."""
        self.number += 1
        return f"{self.number}-{parentid}"

    @rule(target=held, job_id=ids, crashed=st.booleans())
    def deliver(self, job_id: str, crashed: bool) -> Any:
        """The job's message reaches a worker; `crashed`: taken over from the claim that held it."""
        if job_id in self.model.joined:
            return multiple()  # it has no message of its own
        self.number += 1
        claim, before = f"claim-{self.number}", self.model.claims.get(job_id, "")
        alive = before if not crashed else ""
        if alive:
            self.sync.hset(keys.CLAIMED, alive, "x")
        self.sync.hset(keys.CLAIMED, claim, "x")
        if crashed and before:
            self.sync.hdel(keys.CLAIMED, before)
        fields = record_fields(self._job(job_id))
        arrival = Arrival(id=job_id, fields=fields, claim=claim, taken_over_from=before if crashed else "")
        (known,) = self._do(self.records.admit([arrival]))
        if job_id in self.model.outcomes and not self._carries(job_id):
            assert known.admission is Admission.ENDED
            return multiple()
        if known.admission is not Admission.RUN:
            assert alive, "only a living claim makes a copy a duplicate"
            return multiple()
        if job_id in self.model.sent:
            assert known.known.in_doubt, "what was sent and never answered is in doubt"
        (self.model.doubt.add if known.known.in_doubt else self.model.doubt.discard)(job_id)
        self.model.sent.discard(job_id)
        self.model.claims[job_id] = claim
        return job_id, claim

    @rule(target=held, pair=consumes(held))
    def intend(self, pair: tuple[str, str]) -> tuple[str, str]:
        job_id, claim = pair
        (intent,) = self._do(self.records.intend([Intention(self._job(job_id), claim)]))
        ended = job_id in self.model.outcomes and not self._carries(job_id)
        if intent is Intent.GO:
            assert not ended, "a job that has an outcome never reaches the API again"
            assert self.model.claims[job_id] == claim, "only the holder sends"
            self.model.sent.add(job_id)
        else:
            assert ended or self.model.claims[job_id] != claim
        return pair

    @rule(pair=consumes(held), outcome=st.sampled_from(OUTCOMES))
    def finish(self, pair: tuple[str, str], outcome: Outcome) -> None:
        job_id, _ = pair
        relation = keys.relation("default", "calendar:address", int(job_id.split("-")[1]), 5)
        ending = Ending(job_id, relation, as_stored(outcome, 0.0))
        waiting = [w for w, first in self.model.joined.items() if first == job_id and w not in self.model.outcomes]
        carried = self._carries(job_id)
        ((first, stands),) = self._do(self.records.finish([ending]))
        if job_id in self.model.outcomes:
            assert (first, stands) == (False, self.model.outcomes[job_id])
            if not carried:
                return
        else:
            assert (first, stands) == (True, str(outcome.kind))
            self.model.outcomes[job_id] = stands
        for wish in waiting:
            self.model.outcomes[wish] = str(outcome.kind)

    @rule(
        pair=consumes(held),
        status=st.sampled_from([Status.DELAYED, Status.PARKED, Status.UNVERIFIED]),
        reply_lost=st.booleans(),
    )
    def defer(self, pair: tuple[str, str], status: Status, reply_lost: bool) -> None:
        job_id, claim = pair
        if status is Status.UNVERIFIED and job_id not in self.model.sent:
            return
        known = Known().after_loss(1.0) if job_id in self.model.sent else Known()
        ticket = Ticket(job=self._job(job_id), attempts=1, known=known)
        done = self._do(self.records.defer(claim, status, ticket, "why"))
        if reply_lost:
            assert self._do(self.records.defer(claim, status, ticket, "why")) == done, "it is repeated, and not lost"
        ended = job_id in self.model.outcomes and not self._carries(job_id)
        assert done == (not ended and self.model.claims.get(job_id) == claim)
        if done:
            question = status is Status.UNVERIFIED
            (self.model.doubt.add if known.in_doubt or question else self.model.doubt.discard)(job_id)
            self.model.sent.discard(job_id)
            self.model.claims[job_id] = ""
            self.sync.hdel(keys.CLAIMED, claim)

    @rule(job_id=ids)
    def cancel(self, job_id: str) -> None:
        """It works until the request is out, with no worker up too; and never where nobody knows what was done."""
        result = {**CANCELLED, "task_id": job_id}
        answer = self.wishes.cancel(job_id, result)
        if answer is Cancelled.UNKNOWN:
            assert not self.sync.exists(keys.job(job_id))
            answer = self.wishes.cancel(job_id, result, record_fields(self._job(job_id)))
        runner = self.model.joined.get(job_id, job_id)
        if job_id in self.model.outcomes:
            wanted = Cancelled.CANCELLED if self.model.outcomes[job_id] == "cancelled" else Cancelled.ENDED
            assert answer is wanted
        elif runner in self.model.sent:
            assert answer is Cancelled.TOO_LATE
        elif runner in self.model.doubt:
            assert answer in (Cancelled.TOO_LATE, Cancelled.DOUBT)
        else:
            assert answer is Cancelled.CANCELLED
            self.model.outcomes[job_id] = "cancelled"
            if job_id not in self.model.joined:
                assert self.sync.ttl(keys.job(job_id)) == -1, "its message is still queued"

    def _carries(self, job_id: str) -> bool:
        return bool(self.sync.hget(keys.job(job_id), "carries"))

    @invariant()
    def outcomes_stand_and_results_agree(self) -> None:
        for job_id, outcome in self.model.outcomes.items():
            assert self.sync.hget(keys.job(job_id), "outcome") == outcome.encode()
            stored: Any = self.sync.get(keys.RESULT_PREFIX + job_id)
            state = {"unlinked": "SUCCESS", "dead": "FAILURE", "cancelled": "REVOKED"}[outcome]
            assert json.loads(stored)["status"] == state
            assert json.loads(stored)["task_id"] == job_id

    @invariant()
    def dead_letters_are_the_dead(self) -> None:
        stored: Any = self.sync.zrange(keys.DEAD, 0, -1)
        assert {job_id.decode() for job_id in stored} == {
            job_id for job_id, outcome in self.model.outcomes.items() if outcome == "dead"
        }

    @invariant()
    def statuses_move_as_the_table_says(self) -> None:
        keys_found: Any = self.sync.keys(keys.JOB_PREFIX + "*")
        for key in keys_found:
            job_id = key.decode().removeprefix(keys.JOB_PREFIX)
            stored: Any = self.sync.hget(key, "status")
            now, before = stored.decode(), self.model.statuses.get(job_id)
            if before is not None and before != now:
                assert Status(now) in MOVES[Status(before)], f"{job_id}: {before} -> {now}"
            self.model.statuses[job_id] = now

    @invariant()
    def a_job_runs_on_only_for_somebody(self) -> None:
        for job_id, outcome in self.model.outcomes.items():
            if outcome == "cancelled" and self._carries(job_id):
                assert any(
                    first == job_id and wish not in self.model.outcomes for wish, first in self.model.joined.items()
                ), "all its wishes were taken back: it must not delete"


def test_records_hold_in_any_order(valkey: str) -> None:
    machine = type("Machine", (RecordMachine,), {"url": valkey})
    run_machine(machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
