"""`unlinker.unlink_many`: up to 500 relations of one account in one message; the engine of bulk runs."""

from collections.abc import Mapping
from typing import Any

from celery.exceptions import Ignore

from worker.engine.coroutine_task import CoroutineTask
from worker.engine.entry import Left
from worker.engine.job_request import HELD_HEADER, Cancelled
from worker.engine.runtime import Runtime
from worker.unlinking.errors import UnlinkError
from worker.unlinking.outcome import Kind, Outcome

NAME = "unlinker.unlink_many"


class UnlinkMany(CoroutineTask):
    """kwargs: relations, a list of [relationtype, parentid, childid]; optional run, first_row, and those of unlink.

    Each relation is judged as a job of its own and ends as one byte of its run; the dead ones are dead letters.
    The result counts them: {"outcome": "done", "unlinked": n, "already_absent": n, "dead": n, "expired": n, ...}.
    """

    name = NAME
    stores_own_result = True
    throws = (UnlinkError,)

    async def body(self, runtime: Runtime, request: Mapping[str, Any]) -> object:
        """The counts; raises BadArguments for a chunk that cannot be read."""
        settled = await runtime.settle(request[HELD_HEADER])
        if isinstance(settled, Left):
            raise Ignore("no result of ours to report")
        if isinstance(settled, Outcome) and settled.kind is Kind.CANCELLED:
            raise Cancelled
        if isinstance(settled, Outcome):
            raise settled.as_error()
        return settled
