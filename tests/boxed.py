"""A sandbox without a network, for tests that run thousands of batches: the bytes are real, the socket is left out."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN, SandboxOptions
from sandbox.api import Api
from sandbox.faults import Faults, Rule
from sandbox.state import Link, State
from worker.engine.postponing import next_ticket
from worker.onoffice.client import Client
from worker.onoffice.clock import SigningClock
from worker.onoffice.errors import RequestUnanswered
from worker.onoffice.protocol import Action, Credentials
from worker.onoffice.replies import Reply
from worker.onoffice.transport import HttpReply, Transport
from worker.unlinking.decisions import Decision, End, Ticket
from worker.unlinking.job import Job, Relation
from worker.unlinking.outcome import Outcome


class Clock:
    """Goes on by what jobs wait, and else stands still."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Unix seconds."""
        return self.now


CLOCK = Clock()


class Request:
    """What the sandbox looks at of a request."""

    transport = None

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        """The body."""
        return self._body


class Wire(Transport):
    """To the sandbox and back; what it drops is a request without an answer."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def post(self, body: bytes) -> HttpReply:
        """One POST."""
        response = await self._api.post(Request(body))  # type: ignore[arg-type]  # all of a request that it looks at
        if response.status == 500:
            raise RequestUnanswered("dropped")
        content = getattr(response, "body", b"")
        return HttpReply(response.status, {name.lower(): value for name, value in response.headers.items()}, content)


class SeenTypes:
    """Sightings in memory."""

    def __init__(self, types: Iterable[str] = ()) -> None:
        self.types = set(types)

    async def seen(self, relationtypes: Iterable[str]) -> frozenset[str]:
        """Those that were seen."""
        return frozenset(self.types & set(relationtypes))

    async def add(self, relationtypes: Iterable[str]) -> None:
        """Remember them."""
        self.types |= set(relationtypes)


@dataclass
class Boxed:
    """A sandbox, and one account's way to it."""

    links: Sequence[Link] = ()
    faults: Sequence[Rule] = ()
    options: SandboxOptions = field(default_factory=lambda: SandboxOptions(seed_links=False))
    actions_per_request: int = 10

    def __post_init__(self) -> None:
        self.state = State(100_000)
        self.state.add(self.links)
        rules = Faults()
        rules.add(self.faults)
        api = Api(self.state, self.options, rules)
        self._client = Client(Wire(api), Credentials(DEFAULT_TOKEN, DEFAULT_SECRET), SigningClock(time.time))
        self.calls: list[Sequence[Action]] = []

    async def call(self, actions: Sequence[Action]) -> Reply:
        """One request."""
        self.calls.append(actions)
        return await self._client.call_once(actions, nullcontext)


Run = Callable[[Sequence[Ticket]], Awaitable[dict[str, Decision]]]


def to_the_end(run: Run, tickets: Sequence[Ticket], rounds: int = 40) -> dict[str, Outcome]:
    """As the engine does: what is to be tried again comes back with what it knows, until all have ended."""
    ended: dict[str, Outcome] = {}
    waiting = list(tickets)
    chance = random.Random(0)
    for _ in range(rounds):
        decisions = asyncio.run(_run(run, waiting))
        assert set(decisions) == {ticket.job.id for ticket in waiting}
        ended |= {job_id: found.outcome for job_id, found in decisions.items() if isinstance(found, End)}
        postponed = [
            next_ticket(ticket, decisions[ticket.job.id], chance)
            for ticket in waiting
            if not isinstance(decisions[ticket.job.id], End)
        ]
        waiting = [ticket for ticket, _, _ in postponed]
        CLOCK.now += max((seconds for _, _, seconds in postponed), default=0.0)
        if not waiting:
            return ended
    raise AssertionError(f"{len(waiting)} jobs go round for ever: {waiting[0]}")


async def _run(run: Run, tickets: Sequence[Ticket]) -> dict[str, Decision]:
    return await run(tickets)


def restoring(links: Iterable[Link], *, confirmation: str | None = None) -> list[Ticket]:
    """Jobs that bring these links back."""
    return [
        Ticket(job=Job(id=f"job-{number}", relation=Relation(*link), restore=True, confirmation=confirmation))
        for number, link in enumerate(links)
    ]
