"""Logging: structlog for our own lines and for Celery's, as JSON or for a console; secrets are cut out of both."""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterable
from typing import Literal

import structlog

from config.visible import visible

MASK = "**"
MANY_LINES = ("exception", "stack")  # of an event
_URL_PASSWORD = re.compile(r"((?:redis|valkey)s?://[^:@/\s]*:)[^@/\s]+@")
SAID_EVERY = 30.0  # seconds between lines about the same lasting trouble


class Redactor:
    """A structlog processor that masks the given secrets and passwords in URLs wherever they turn up in an event."""

    def __init__(self, secrets: Iterable[str]) -> None:
        found = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, found))) if found else None

    def mask(self, text: str) -> str:
        """`text` without secrets."""
        text = _URL_PASSWORD.sub(rf"\g<1>{MASK}@", text)
        return self._pattern.sub(MASK, text) if self._pattern else text

    def __call__(self, logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Mask every text value of one event."""
        return {key: self.mask(value) if isinstance(value, str) else value for key, value in event.items()}


class Seldom:
    """A structlog processor: a line with `seldom=WHAT` is about a trouble that lasts, and said once in a while."""

    def __init__(self, every: float, clock: Callable[[], float]) -> None:
        self._every = every
        self._clock = clock  # seconds of any clock that only rises
        self._said: dict[object, float] = {}

    def __call__(self, logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """The line without the mark. Raises structlog.DropEvent for one that was said not long ago."""
        what = event.pop("seldom", None)
        if what is None:
            return event
        now, before = self._clock(), self._said.get(what)
        if before is not None and now - before < self._every:
            raise structlog.DropEvent
        self._said[what] = now
        return event


def _visible(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Texts of strangers move no cursor and begin no line; JSON escapes them by itself."""
    return {
        key: visible(value, keep="\n\t" if key in MANY_LINES else "") if isinstance(value, str) else value
        for key, value in event.items()
    }


def configure(log_format: Literal["json", "console"], secrets: Iterable[str], level: int = logging.INFO) -> None:
    """Send the root logger's records (Celery's and ours) to stderr in one format."""
    redact = Redactor(secrets)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [_visible, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[
            Seldom(SAID_EVERY, time.monotonic),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
