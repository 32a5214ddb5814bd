"""Reads of one account that nobody is in a hurry for: patient, and never in the way of jobs.

A read changes nothing, so it may be asked again whatever became of it. When it does not get better, a harmless read
tells why: if the API answers that one, this read is at fault and its error is the answer; if not, the API is down, and
after `patience` seconds ReadFailed says so. Requests that are too much for the API are split.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from worker.engine.gate import AccountHalted, Gate
from worker.onoffice.client import Client
from worker.onoffice.codes import Verdict, rule_for
from worker.onoffice.errors import AccountRefused, OnOfficeError, Overloaded, ReplyTooLarge
from worker.onoffice.protocol import Action, harmless_read
from worker.onoffice.replies import Answer, Missing, Reply

TRIES = 3
PAUSE = 0.5  # seconds at most before the second try, twice as much before the third
PROBE_PAUSE = 2.0  # seconds between looks whether the API is there again
READS_PER_REQUEST = 10  # of 500 ids each; more make answers of many megabytes


class ReadFailed(Exception):
    """Nothing may be concluded from what was read so far. The text says what to do; `code` is the API's, if any."""

    def __init__(self, message: str, code: int | None = None) -> None:
        self.code = code
        super().__init__(message)


class PoliteApi:
    """One account's way to onOffice, for reads. `at_once`: requests; `patience`: seconds."""

    def __init__(self, client: Client, gate: Gate, actions_per_request: int, at_once: int, patience: float) -> None:
        self.actions_per_request = self._most = min(actions_per_request, READS_PER_REQUEST)
        self._client = client
        self._gate = gate
        self._room = asyncio.Semaphore(at_once)
        self._patience = patience

    async def call(self, actions: Sequence[Action]) -> Reply:
        """One answer or Missing per action.

        Raises ReadFailed, redis.exceptions.RedisError, and OnOfficeError for a read that fails although the API works.
        """
        async with self._room:
            return Reply(200, 0, "OK", tuple(await self._ask(actions)))

    async def _ask(self, actions: Sequence[Action]) -> list[Answer | Missing]:
        try:
            answers = await self._try(actions)
        except OnOfficeError as error:
            await self._wait_until_it_works()
            if isinstance(error, Overloaded | ReplyTooLarge) and len(actions) > 1:
                return await self._ask_halves(actions)
            return await self._try(actions)
        self.actions_per_request = min(self.actions_per_request + 1, self._most)
        return answers

    async def _ask_halves(self, actions: Sequence[Action]) -> list[Answer | Missing]:
        half = (len(actions) + 1) // 2
        self.actions_per_request = min(self.actions_per_request, half)
        return [*await self._ask(actions[:half]), *await self._ask(actions[half:])]

    async def _try(self, actions: Sequence[Action]) -> list[Answer | Missing]:
        """A few times, what passes. Raises what the last try came to."""
        answers: dict[str, Answer | Missing] = {}
        open_ = list(actions)
        for left in reversed(range(TRIES)):
            try:
                told = await self._send(open_)
            except (Overloaded, ReplyTooLarge):
                raise
            except OnOfficeError:
                if left == 0:
                    raise
            else:
                answers |= {action.identifier: answer for action, answer in zip(open_, told, strict=True)}
                open_ = [action for action in open_ if _may_pass(answers[action.identifier])]
            if not open_:
                break
            if left:
                await asyncio.sleep(random.uniform(0.0, PAUSE * (TRIES - left)))  # noqa: S311  # jitter
        for action in open_:
            _require_account(answers[action.identifier], last=True)
        return [answers[action.identifier] for action in actions]

    async def _send(self, actions: Sequence[Action]) -> Sequence[Answer | Missing]:
        """One request. What the top level says of all stands for each."""
        try:
            reply = await self._client.call(actions, self._passing)
        except AccountHalted:
            raise ReadFailed(
                "the account is halted; `unlinker accounts list` says why, and `unlinker accounts resume` lifts it"
            ) from None
        except AccountRefused as error:
            raise ReadFailed(f"the account is refused: {error}; `unlinker doctor` tells more") from None
        answers = reply.answers
        if reply.errorcode != 0 and all(isinstance(answer, Missing) for answer in answers):
            answers = (Answer(reply.errorcode, reply.message, (), None),) * len(answers)
        for answer in answers:
            _require_account(answer, last=False)
        return answers

    async def _wait_until_it_works(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            try:
                await self._send([harmless_read(secrets.token_hex(8))])
                return
            except OnOfficeError as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise ReadFailed(
                        f"onOffice has not answered for {self._patience:.0f} s: {error}; `unlinker doctor` tells more"
                    ) from None
            await asyncio.sleep(PROBE_PAUSE)

    @asynccontextmanager
    async def _passing(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._patience):
                    await stack.enter_async_context(self._gate.passing())
            except TimeoutError:
                raise ReadFailed(
                    f"no request was allowed for {self._patience:.0f} s: Redis does not answer, onOffice asked for a"
                    " long pause, or others use all there is; `unlinker doctor` and `unlinker accounts list` tell more"
                ) from None
            yield


def _may_pass(answer: Answer | Missing) -> bool:
    """Whether it may be another one next time."""
    return isinstance(answer, Missing) or rule_for(answer.errorcode).verdict is Verdict.AGAIN


def _require_account(answer: Answer | Missing, *, last: bool) -> None:
    """Raises ReadFailed for an answer that every read of this account would get."""
    if isinstance(answer, Missing) or answer.errorcode == 0:
        return
    rule = rule_for(answer.errorcode)
    if (rule.then if last else rule.verdict) is Verdict.HALT_ACCOUNT:
        text = answer.message or rule.text
        raise ReadFailed(
            f"the account is refused: error {answer.errorcode}: {text}; `unlinker doctor` tells more", answer.errorcode
        )
