"""The client: signs at send time, sends, reads the answer. One account, one request at a time and call.

Two clients are never needed for one account; several calls may run at once.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from worker.onoffice.clock import SigningClock
from worker.onoffice.codes import Verdict, judge_http, retry_after_seconds
from worker.onoffice.errors import AccountRefused, OnOfficeError, Overloaded, RequestNotSent, Throttled
from worker.onoffice.protocol import CREATE, DELETE, Action, Credentials, build_request
from worker.onoffice.redacting import Redactor
from worker.onoffice.replies import MAX_TEXT, Answer, Reply, parse_reply, printable
from worker.onoffice.transport import HttpReply, Transport

SHORT_PAUSE = 2.0  # seconds; a throttled request is repeated here only if the API asks for no more
DEFAULT_PAUSE = 1.0  # seconds, when the API asks to slow down without saying how long
FIRST_PAUSE = 0.2  # seconds at most before the second try
TRIES = 4
STALE_TIMESTAMP = 136  # "Your timestamp is too old or your server time is wrong."
PATIENCE = 6.0  # seconds for all tries together; what needs longer goes to the delay set

Passing = Callable[[], AbstractAsyncContextManager[None]]  # waits for the limit; leaves it again with how it went


class Client:
    """Sends requests of one account."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        clock: SigningClock,
        heard: Callable[[Mapping[str, str]], object] = lambda headers: None,
    ) -> None:
        self._transport = transport
        self._credentials = credentials
        self._redactor = Redactor(credentials)
        self._clock = clock
        self._heard = heard  # is told the headers of every answer

    async def call(self, actions: Sequence[Action], passing: Passing) -> Reply:
        """One request with all actions; repeated only when that can do no harm, a few seconds at most.

        A read may always be sent again; what changes something only if it surely never left.

        Raises Throttled, AccountRefused, RequestNotSent, RequestUnanswered or UnreadableReply.
        """
        harmless = _harmless_to_repeat if _only_reads(actions) else _never_left
        try:
            return await self.call_once(actions, passing)
        except (RequestNotSent, Throttled) as error:
            if not harmless(error):
                raise
        retrying = AsyncRetrying(  # made only when it is needed: it costs a tenth of a request that works
            stop=stop_after_attempt(TRIES - 1) | stop_after_delay(PATIENCE),
            wait=wait_random_exponential(multiplier=0.2, max=SHORT_PAUSE),
            retry=retry_if_exception(harmless),
            reraise=True,
        )
        await asyncio.sleep(random.uniform(0.0, FIRST_PAUSE))  # noqa: S311  # jitter
        async for attempt in retrying:
            with attempt:
                return await self.call_once(actions, passing)
        raise RequestNotSent("no attempt was made")  # not reached: AsyncRetrying makes one at least

    async def call_once(self, actions: Sequence[Action], passing: Passing) -> Reply:
        """One request, not repeated. Raises as `call`."""
        async with passing():
            reply, sign_anew = await self._send(actions)
        if sign_anew:
            async with passing():  # it surely did nothing, and counts as a request of its own
                reply, _ = await self._send(actions)
        return reply

    async def _send(self, actions: Sequence[Action]) -> tuple[Reply, bool]:
        """The answer, and whether all of it was refused for a clock that has been put right since."""
        ahead = self._clock.ahead
        body = build_request(self._credentials, actions, int(self._clock()))
        redact = self._redactor.of_request(body)
        try:
            reply = await self._transport.post(body)
        except OnOfficeError as error:  # its text may be the server's
            error.args = tuple(printable(redact(str(each))[:MAX_TEXT]) for each in error.args)
            raise
        self._heard(reply.headers)
        self._raise_for_status(reply)
        answer = parse_reply(reply.body, actions, redact)
        return answer, refused_for_its_time(answer) and self._clock.put_right(reply.headers, ahead)

    def _raise_for_status(self, reply: HttpReply) -> None:
        match judge_http(reply.status, reply.headers):
            case None:
                return
            case Verdict.SLOW_DOWN:
                pause = retry_after_seconds(reply.headers, self._clock())
                raise Throttled(f"HTTP {reply.status}", DEFAULT_PAUSE if pause is None else pause)
            case Verdict.HALT_ACCOUNT:
                raise AccountRefused(f"HTTP {reply.status}; check the address of api.php and the account")
            case _:
                raise Overloaded(f"HTTP {reply.status}")


def refused_for_its_time(reply: Reply) -> bool:
    """Whether no action was done, and each for the timestamp they share."""
    codes = {answer.errorcode if isinstance(answer, Answer) else reply.errorcode for answer in reply.answers}
    return codes == {STALE_TIMESTAMP}


def _only_reads(actions: Sequence[Action]) -> bool:
    return not any(action.actionid in (DELETE, CREATE) for action in actions)


def _never_left(error: BaseException) -> bool:
    return isinstance(error, RequestNotSent)


def _harmless_to_repeat(error: BaseException) -> bool:
    return _never_left(error) or (isinstance(error, Throttled) and error.seconds <= SHORT_PAUSE)
