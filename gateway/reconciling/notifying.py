"""Telling somebody that a night needs a person, by webhook and e-mail. What fails is reported, and breaks nothing."""

import asyncio
import smtplib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage

import aiohttp
import structlog

from config.notices import Mail, Notices
from config.visible import visible
from worker.engine.threads import in_thread

log = structlog.get_logger(__name__)
SECONDS = 10.0  # until one try is given up
PAUSES = (1.0, 4.0)  # seconds before the second and the third try


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told."""

    title: str  # one line
    text: str
    html: str
    document: dict[str, object]


class NoticeFailed(Exception):
    """It did not arrive. The text has no secret in it."""


class Notifier:
    """Tells everybody who is to be told. `pauses`: seconds between tries."""

    def __init__(self, notices: Notices, pauses: Sequence[float] = PAUSES) -> None:
        self._notices = notices
        self._pauses = pauses

    async def tell(self, notice: Notice) -> list[str]:
        """Who could not be told, and why; [] when all went well, or nobody is to be told."""
        ways: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        if (webhook := self._notices.webhook) is not None:
            ways.append(("webhook", lambda: _post(webhook.get_secret_value(), notice)))
        if (mail := self._notices.mail) is not None:
            ways.append(("e-mail", lambda: in_thread(lambda: _send(mail, notice), 2 * SECONDS)))
        failures = [f"{name}: {why}" for name, way in ways if (why := await self._insist(way)) is not None]
        for failure in failures:
            log.error("nobody was told", title=notice.title, failure=failure)
        return failures

    async def _insist(self, way: Callable[[], Awaitable[None]]) -> str | None:
        """A few tries; why the last one failed."""
        for pause in (*self._pauses, None):
            try:
                await way()
            except (NoticeFailed, TimeoutError) as error:
                why = str(error) or "no answer in time"
            else:
                return None
            if pause is not None:
                await asyncio.sleep(pause)
        return why


async def _post(url: str, notice: Notice) -> None:
    body = {"title": notice.title, "text": f"{notice.title}\n{notice.text}", "night": notice.document}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session,
            session.post(url, json=body, allow_redirects=False) as response,
        ):
            if response.status >= 300:
                raise NoticeFailed(f"answered HTTP {response.status}")
    except aiohttp.ClientError as error:  # its text may hold the address, which may hold a secret
        raise NoticeFailed(type(error).__name__) from None
    except ValueError:
        raise NoticeFailed("its address is none") from None


def _send(mail: Mail, notice: Notice) -> None:
    message = EmailMessage()
    message["Subject"] = f"unlinker: {visible(' '.join(notice.title.split()))}"
    message["From"] = mail.sender
    message["To"] = ", ".join(mail.to)
    message.set_content(notice.text)
    message.add_alternative(notice.html, subtype="html")
    try:
        server = _connect(mail)
        try:
            if mail.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if mail.user is not None:
                server.login(mail.user, mail.password.get_secret_value() if mail.password else "")
            server.send_message(message)
        finally:
            with suppress(smtplib.SMTPException, OSError):  # a mail that was taken is taken, however they part
                server.quit()
            server.close()
    except smtplib.SMTPResponseException as error:
        raise NoticeFailed(f"{mail.host} answered {error.smtp_code}") from None
    except smtplib.SMTPException as error:
        raise NoticeFailed(f"{mail.host}: {type(error).__name__}") from None
    except OSError as error:
        raise NoticeFailed(f"{mail.host} cannot be reached: {error.strerror or type(error).__name__}") from None


def _connect(mail: Mail) -> smtplib.SMTP:
    if mail.security == "tls":
        return smtplib.SMTP_SSL(mail.host, mail.port, timeout=SECONDS, context=ssl.create_default_context())
    return smtplib.SMTP(mail.host, mail.port, timeout=SECONDS)
