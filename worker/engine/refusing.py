"""What is not run: messages that are no jobs, jobs for newer workers, and ids that name another job already."""

import json
import time

import structlog

from worker.engine.arrivals import Arrived, under_its_own_id
from worker.engine.claims import Claims
from worker.engine.envelope import Newer, Rejection
from worker.engine.results import again, celery_result, rejected
from worker.stores.deliveries import Claimed
from worker.stores.records import Admitted, Records
from worker.unlinking.outcome import dead

log = structlog.get_logger(__name__)


class Refuser:
    """Tells their producers, and keeps them where operators find them. Every step may be repeated."""

    def __init__(self, claims: Claims, records: Records) -> None:
        self._claims = claims
        self._records = records

    async def reject(self, claimed: Claimed, how: Rejection) -> None:
        """No job: its producer gets a FAILURE, if its id can be told, and the message is kept."""
        why = how.why.encode(errors="backslashreplace").decode()  # it may quote what nobody can store
        log.error("message rejected", why=why, id=how.id, task=how.task, queue=claimed.queue)
        if how.id:
            await self._records.answer(how.id, json.dumps(rejected(how.id, why, time.time())))
        await self._claims.deliveries.reject(claimed.claim, why, job_id=how.id, task=how.task, cut=how.cut)
        self._claims.let_go(claimed.claim)

    async def leave_to_newer(self, claimed: Claimed, newer: Newer) -> None:
        """It waits for a worker that can read it, and holds up nothing meanwhile."""
        log.warning("a message waits for a newer worker: update this one", id=newer.id, version=newer.version)
        await self._claims.deliveries.leave_to_newer(claimed.claim, newer.version)
        self._claims.let_go(claimed.claim)

    async def tell_reuse(self, arrived: Arrived, known: Admitted) -> Arrived:
        """Another job under a known id: its producer gets a FAILURE. What is to end as a dead letter of its own."""
        own = under_its_own_id(arrived, known.first)
        fault = own.fault
        if fault is None:
            raise ValueError("what reuses an id has a fault")
        log.error("an id names another job already", id=arrived.content.id, kept_as=own.content.id, why=fault.text)
        if not arrived.envelope.ignore_result:
            result = celery_result(dead(fault.reason, fault.code, fault.text), time.time())
            await self._records.tell(arrived.content.id, json.dumps(result | {"task_id": arrived.content.id}))
        return own

    async def tell_again(self, arrived: Arrived, known: Admitted) -> None:
        """The same job once more, and it has ended: its producer finds the old result, though that was forgotten."""
        if known.first.get("outcome") and not arrived.envelope.ignore_result and "reused_by" not in known.first:
            result = again(arrived.content.id, known.first)
            await self._records.tell(arrived.content.id, json.dumps(result), keep=True)
