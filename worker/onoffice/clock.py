"""The clock that requests are signed by: this machine's, put right by onOffice's own once that refused a signature.

The API refuses a timestamp that is more than 120 s off (code 136, API facts 1.2). That is the fault of this machine's
clock and of nothing else, so it is mended here: the account, and the other workers, need not know. The answer's Date
header (RFC 9110, 6.6.1) is believed for nothing but signing, and only after such a refusal; what it leads to, the API
checks again.
"""

from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

import structlog

log = structlog.get_logger(__name__)
NOTICEABLE = 5.0  # seconds; a smaller correction would change no verdict
EARLIEST = 1_704_067_200.0  # 2024-01-01, Unix seconds; a server that says less has no clock either


class SigningClock:
    """One for all clients of a process. Calling it gives Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.ahead = 0.0  # seconds that are added to this machine's clock
        self.second_opinion: float | None = None  # how far another clock is ahead; for an API that tells no date

    def __call__(self) -> float:
        """Now, as far as is known."""
        return self._clock() + self.ahead

    def put_right(self, headers: Mapping[str, str], signed_ahead: float) -> bool:
        """After a refused timestamp: whether the request, signed anew, has a better chance.

        `headers`: of the refusal, names in lower case. `signed_ahead`: what `ahead` was when it was signed.
        """
        told = date_of(headers)
        ahead = self.second_opinion if told is None else told - self._clock()
        if ahead is None or abs(ahead - signed_ahead) < NOTICEABLE:
            return False
        if abs(ahead - self.ahead) >= NOTICEABLE:
            log.error(
                "this machine's clock is wrong, and onOffice refuses its signatures; set it (NTP)",
                seconds=round(-ahead),
                meanwhile="requests are signed by onOffice's clock" if told else "requests are signed by Redis' clock",
            )
            self.ahead = ahead
        return True


def date_of(headers: Mapping[str, str]) -> float | None:
    """The Date header in Unix seconds; None when there is none, or none that can be right."""
    try:
        date = parsedate_to_datetime(headers["date"])
        # HTTP dates are GMT; without a known zone Python would take this machine's
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None
    return seconds if seconds >= EARLIEST else None
