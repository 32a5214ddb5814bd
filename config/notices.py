"""Who is told when something needs a person: a webhook, people by e-mail, or nobody."""

from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from config.errors import ConfigurationError
from config.settings import PREFIX, Settings

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class Mail:
    """How e-mail is sent."""

    to: tuple[str, ...]
    sender: str
    host: str
    port: int
    security: Security
    user: str | None
    password: SecretStr | None


@dataclass(frozen=True, slots=True)
class Notices:
    """Where notices go."""

    webhook: SecretStr | None = None  # its address may hold a secret
    mail: Mail | None = None


def load_notices(settings: Settings) -> Notices:
    """Raises ConfigurationError that lists every fault."""
    faults: list[str] = []
    webhook = _secret("NOTIFY_WEBHOOK", settings.notify_webhook, settings.notify_webhook_file, faults)
    if webhook is not None and not webhook.get_secret_value().startswith(("https://", "http://")):
        faults.append(f"{PREFIX}NOTIFY_WEBHOOK: must start with https://")
    mail = _mail(settings, faults)
    if faults:
        raise ConfigurationError(faults)
    return Notices(webhook, mail)


def _mail(settings: Settings, faults: list[str]) -> Mail | None:
    if settings.notify_email is None:
        return None
    to = tuple(each.strip() for each in settings.notify_email.split(","))
    sender = settings.notify_email_from or ""
    for name, address in [("NOTIFY_EMAIL", each) for each in to] + [("NOTIFY_EMAIL_FROM", sender)]:
        if "@" not in parseaddr(address)[1] or any(character in address for character in "\r\n"):
            faults.append(f"{PREFIX}{name}: {address!r} is no e-mail address")
    if settings.notify_smtp_host is None:
        faults.append(f"{PREFIX}NOTIFY_SMTP_HOST: e-mail needs a server that takes it")
    password = _secret(
        "NOTIFY_SMTP_PASSWORD", settings.notify_smtp_password, settings.notify_smtp_password_file, faults
    )
    return Mail(
        to=to,
        sender=sender,
        host=settings.notify_smtp_host or "",
        port=settings.notify_smtp_port,
        security=settings.notify_smtp_security,
        user=settings.notify_smtp_user,
        password=password,
    )


def _secret(name: str, value: SecretStr | None, path: Path | None, faults: list[str]) -> SecretStr | None:
    if value is not None and path is not None:
        faults.append(f"{PREFIX}{name}: set either {PREFIX}{name} or {PREFIX}{name}_FILE, not both")
    if path is None:
        return value
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{PREFIX}{name}_FILE: {path} cannot be read: {error}")
        return None
    if not text:
        faults.append(f"{PREFIX}{name}_FILE: {path} is empty")
    return SecretStr(text)
