"""One batch's way to onOffice, through its account's gate."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from worker.engine.gate import Gate, Place
from worker.onoffice.client import Client
from worker.onoffice.protocol import Action
from worker.onoffice.replies import Reply
from worker.unlinking.attempts import RequestNote


class GrantedApi:
    """Its first request goes on the grant at hand, every further one asks again."""

    def __init__(self, client: Client, gate: Gate, actions_per_request: int, place: Place | None) -> None:
        self.actions_per_request = actions_per_request
        self._client = client
        self._gate = gate
        self._place = place
        self._last: RequestNote | None = None
        self._notes: dict[str, RequestNote] = {}

    async def call(self, actions: Sequence[Action]) -> Reply:
        """One request."""
        try:
            return await self._client.call(actions, self._passing)
        finally:
            if self._last is not None:
                self._notes |= dict.fromkeys((action.identifier for action in actions), self._last)

    @asynccontextmanager
    async def _passing(self) -> AsyncIterator[None]:
        place, self._place = self._place, None
        async with self._gate.passing(place) as request_id:
            at, start = time.time(), time.monotonic()
            try:
                yield
            finally:
                self._last = RequestNote(request_id, at, time.monotonic() - start)

    def note_of(self, job_id: str) -> RequestNote | None:
        """The last request that named the job; else the last one, which may have read its link."""
        return self._notes.get(job_id, self._last)

    def may_have_sent(self, job_id: str) -> bool:
        """Whether a request named the job, which those that only read do not."""
        return job_id in self._notes

    def close(self) -> None:
        """Give back a grant that was not used."""
        if self._place is not None:
            self._gate.give_back(self._place)
