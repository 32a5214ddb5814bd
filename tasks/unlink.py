"""`unlinker.unlink`: one relation of one account shall be gone."""

from collections.abc import Mapping
from typing import Any

from celery.exceptions import Ignore

from worker.engine.coroutine_task import CoroutineTask
from worker.engine.job_request import HELD_HEADER, Cancelled
from worker.engine.runtime import Runtime
from worker.unlinking.errors import UnlinkError
from worker.unlinking.outcome import Kind, Outcome

NAME = "unlinker.unlink"


class Unlink(CoroutineTask):
    """kwargs: relationtype, parentid, childid; optional account, requested_by, reason, not_after."""

    name = NAME
    stores_own_result = True
    throws = (UnlinkError,)

    async def body(self, runtime: Runtime, request: Mapping[str, Any]) -> object:
        """The result of a job that succeeded; raises the reason of one that is dead or expired."""
        settled = await runtime.settle(request[HELD_HEADER])
        if not isinstance(settled, Outcome):
            raise Ignore("no outcome of ours to report")
        if settled.kind is Kind.CANCELLED:
            raise Cancelled
        if settled.succeeded:
            return settled.as_result()
        raise settled.as_error()
