"""Telling somebody: by a real web server and a real mail server; what fails is told, and breaks nothing."""

import asyncio
import email
import email.policy
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from config.errors import ConfigurationError
from config.notices import Mail, Notices, load_notices
from config.settings import Settings
from gateway.reconciling import notifying
from gateway.reconciling.notifying import Notice, Notifier
from sandbox import Sandbox
from tests.nights import Office, settings_for
from worker.unlinking.night import NightStatus

NOTICE = Notice("sold: aborted:\nthe source is down", "all of it\n", "<p>all of it</p>", {"night": "sold@1"})
SECRET = "secret-word-42"
LOGIN = {"user": "u", "password": SecretStr(SECRET)}


@dataclass
class Post:
    """A mail server that takes everything, or says what a test wants it to."""

    answers: dict[str, bytes] = field(default_factory=dict)  # verb -> answer
    mails: list[EmailMessage] = field(default_factory=list)
    port: int = 0
    calls: list["asyncio.Task[Any]"] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):  # of a client that wanted TLS
            await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self.calls.append(task)
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            verb = line.split()[0].upper().decode("latin-1")
            if verb in self.answers:
                writer.write(self.answers[verb])
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                content = await reader.readuntil(b"\r\n.\r\n")
                parsed = email.message_from_bytes(content[:-5], policy=email.policy.default)
                assert isinstance(parsed, EmailMessage)
                self.mails.append(parsed)
                writer.write(b"250 kept\r\n")
            else:
                writer.write(b"221 bye\r\n" if verb == "QUIT" else b"250 fine\r\n")
            await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def post_office(**answers: bytes) -> AsyncIterator[Post]:
    post = Post(answers)
    server = await asyncio.start_server(post.serve, "127.0.0.1", 0)
    post.port = server.sockets[0].getsockname()[1]
    yield post
    server.close()
    await asyncio.gather(*post.calls)


def mail_to(port: int, **rest: Any) -> Mail:
    values: dict[str, Any] = {
        "to": ("a@example.org", "b@example.org"),
        "sender": "unlinker@example.org",
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "user": None,
        "password": None,
    }
    return Mail(**(values | rest))


async def tell(notices: Notices, tries: int = 1) -> list[str]:
    return await Notifier(notices, pauses=(0.01,) * (tries - 1)).tell(NOTICE)


async def test_a_mail_is_one_that_people_can_read() -> None:
    async with post_office() as post:
        assert await tell(Notices(mail=mail_to(post.port))) == []
    (mail,) = post.mails
    assert mail["Subject"] == "unlinker: sold: aborted: the source is down"
    assert (mail["From"], mail["To"]) == ("unlinker@example.org", "a@example.org, b@example.org")
    parts = [part for part in mail.walk() if not part.is_multipart()]
    texts = {part.get_content_type(): part.get_content().replace("\r\n", "\n") for part in parts}
    assert texts == {"text/plain": "all of it\n", "text/html": "<p>all of it</p>\n"}


@asynccontextmanager
async def web_server(*statuses: int) -> AsyncIterator[tuple[str, list[Any]]]:
    """Answers with these, one after the other; what it was sent."""
    got: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        got.append(await request.json())
        status = statuses[min(len(got), len(statuses)) - 1]
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    app = web.Application()
    app.router.add_post("/hook", handle)
    server = TestServer(app)
    await server.start_server()
    yield str(server.make_url(f"/hook?token={SECRET}")), got
    await server.close()


async def test_a_webhook_gets_the_night() -> None:
    async with web_server(204) as (url, got):
        assert await tell(Notices(webhook=SecretStr(url))) == []
    title = "sold: aborted:\nthe source is down"
    assert got == [{"title": title, "text": f"{title}\nall of it\n", "night": {"night": "sold@1"}}]


async def test_what_passes_is_tried_again_and_what_does_not_is_told() -> None:
    async with web_server(503, 500, 200) as (url, got):
        assert await tell(Notices(webhook=SecretStr(url)), tries=3) == []
        assert len(got) == 3
    for status in (302, 404, 500):
        async with web_server(status) as (url, got):
            assert await tell(Notices(webhook=SecretStr(url)), tries=2) == [f"webhook: answered HTTP {status}"]
            assert len(got) == 2


async def test_no_failure_holds_up_the_other_way_or_tells_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "SECONDS", 0.3)
    async with post_office() as post:
        for url in (f"http://127.0.0.1:9/{SECRET}", f"http://[{SECRET}", f"https://{SECRET}.invalid/"):
            (failure,) = await tell(Notices(webhook=SecretStr(url), mail=mail_to(post.port)))
            assert failure.startswith("webhook: ")
            assert SECRET not in failure
        assert len(post.mails) == 3


async def test_servers_that_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        notices = Notices(webhook=SecretStr(f"http://127.0.0.1:{port}/"), mail=mail_to(port))
        failures = await tell(notices)
    assert failures == ["webhook: no answer in time", "e-mail: 127.0.0.1: SMTPServerDisconnected"]


@pytest.mark.parametrize(
    ("answers", "rest", "text"),
    [
        ({"RCPT": b"550 no such user\r\n"}, {}, "127.0.0.1: SMTPRecipientsRefused"),
        ({"MAIL": b"451 later\r\n"}, {}, "127.0.0.1 answered 451"),
        ({}, {"security": "starttls"}, "127.0.0.1: SMTPNotSupportedError"),
        ({}, LOGIN, "127.0.0.1: SMTPNotSupportedError"),
        ({"EHLO": b"250-hi\r\n250 AUTH PLAIN\r\n", "AUTH": b"535 no\r\n"}, LOGIN, "answered 535"),
        ({}, {"security": "tls"}, "127.0.0.1 cannot be reached"),
    ],
)  # fmt: skip
async def test_mail_servers_that_say_no(answers: dict[str, bytes], rest: dict[str, Any], text: str) -> None:
    async with post_office(**answers) as post:
        (failure,) = await tell(Notices(mail=mail_to(post.port, **rest)))
        assert text in failure
        assert SECRET not in failure


async def test_a_night_says_whom_it_could_not_tell_and_ends_all_the_same(
    tmp_path: Path, box: Sandbox, redis_url: str
) -> None:
    notices = Notices(webhook=SecretStr(f"http://127.0.0.1:9/{SECRET}"))
    office = Office(tmp_path, settings_for(redis_url, box.url), notices=notices)
    office.write(scope="ids = []")
    night = await office.now()
    stored = office.parts.nights.get(night.id)
    assert stored is not None
    assert stored.status is NightStatus.ABORTED
    assert stored.story[-1].text == "nobody was told by webhook: ClientConnectorError"
    assert office.parts.nights.open_night("sold") is None


def test_settings_that_cannot_be_used() -> None:
    with pytest.raises(ConfigurationError) as error:
        load_notices(
            Settings(
                notify_webhook=SecretStr("ftp://x"),
                notify_email="nobody, a@example.org",
                notify_smtp_password_file=Path("/nonexistent"),
            )
        )
    told = "\n".join(error.value.faults)
    for name in ("NOTIFY_WEBHOOK", "NOTIFY_EMAIL: 'nobody'", "NOTIFY_EMAIL_FROM", "NOTIFY_SMTP_HOST", "PASSWORD_FILE"):
        assert f"UNLINKER_{name}" in told or name in told, told
    assert load_notices(Settings()) == Notices()


def test_a_webhook_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("https://hooks.example.org/x\n")
    notices = load_notices(Settings(notify_webhook_file=tmp_path / "hook"))
    assert notices.webhook == SecretStr("https://hooks.example.org/x")
    with pytest.raises(ConfigurationError, match="not both"):
        load_notices(Settings(notify_webhook=SecretStr("https://x"), notify_webhook_file=tmp_path / "hook"))
