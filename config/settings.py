"""Settings from the environment or `.env`, prefix `UNLINKER_`.

No limit of onOffice is documented; the defaults for rate, batch size and requests in flight are ours (API facts 4).
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from config.errors import ConfigurationError
from config.redis_url import read_redis_url

PREFIX = "UNLINKER_"
STABLE_API = "https://api.onoffice.de/api/stable/api.php"


def _http_url(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ValueError("must be the whole address of api.php, starting with https://")
    return value


def _names(value: object) -> object:
    return tuple(name for part in value.split(",") if (name := part.strip())) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]  # separated by commas
RedisUrl = Annotated[str, AfterValidator(read_redis_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]


class Settings(BaseSettings):
    """Everything a process can be told. Times are in seconds. Secrets are masked in every repr."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    redis_url: RedisUrl | None = None  # records, results and, unless BROKER_URL says otherwise, the queue
    broker_url: RedisUrl | None = None  # the queue; default REDIS_URL
    data_dir: Path = Path(".unlinker")  # where the embedded Valkey keeps its data when REDIS_URL is unset

    onoffice_url: HttpUrl = STABLE_API  # the whole address of api.php
    onoffice_token: SecretStr | None = None  # 32 characters
    onoffice_token_file: Path | None = None
    onoffice_secret: SecretStr | None = None  # 64 characters
    onoffice_secret_file: Path | None = None
    accounts_file: Path | None = None  # TOML, further accounts
    policies_file: Path | None = None  # TOML, what should not exist; see docs/reconcile.md

    requests_per_second: float = Field(5.0, gt=0, le=100_000)  # per account, all workers together
    actions_per_request: int = Field(50, ge=1, le=500)
    max_in_flight: int = Field(4, ge=1, le=1000)  # requests per account, all workers together
    request_timeout: float = Field(30.0, gt=0, le=600)
    max_attempts: int = Field(5, ge=1, le=100)
    visibility_timeout: float = Field(30.0, ge=3, le=3600)  # lease of a claimed job; renewed every third of it
    verify: Literal["ambiguous", "always"] = "ambiguous"
    read_lag: float = Field(60.0, ge=0, le=3600)  # how long reads may go on showing a deleted link
    look_first: bool = False  # true: every link is looked at before it is deleted, so that its end says who removed it
    require_proof: bool = False  # true: an absence nobody can vouch for is a dead letter
    keep_confirmation: bool = False  # true: an appointment's participant is unlinked only once its status is saved

    dead_letters_days: int = Field(90, ge=1, le=36_500)  # after that, and over this number, they are dropped
    dead_letters_max: int = Field(1_000_000, ge=100, le=100_000_000)
    journal_days: int = Field(90, ge=8, le=36_500)  # a job lives for seven days, and its deed must have its end
    archive_dir: Path | None = None  # where a file is written of what is dropped; unset: it is only counted and audited
    allowed_types: Names = ()  # relation types that bulk work may delete; none named: all
    protected_types: Names = ()  # relation types that bulk work never deletes
    notify_webhook: SecretStr | None = None  # address that gets JSON when something needs a person
    notify_webhook_file: Path | None = None
    notify_email: str | None = None  # who gets e-mail then; several with commas
    notify_email_from: str | None = None
    notify_smtp_host: str | None = None
    notify_smtp_port: int = Field(587, ge=1, le=65535)
    notify_smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    notify_smtp_user: str | None = None
    notify_smtp_password: SecretStr | None = None
    notify_smtp_password_file: Path | None = None

    log_format: Literal["json", "console"] = "console"


def load_settings() -> Settings:
    """Read the environment; raises ConfigurationError that lists every fault."""
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigurationError([_sentence(fault["loc"], fault["msg"]) for fault in error.errors()]) from None


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    name = PREFIX + "_".join(str(part) for part in location).upper()
    return f"{name}: {message.removeprefix('Value error, ')}"


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """One warning per `UNLINKER_*` name that no setting has, with the nearest name there is."""
    known = [name.upper() for name in Settings.model_fields]
    warnings = []
    for name in sorted(environ):
        bare = name.upper().removeprefix(PREFIX)
        if not name.upper().startswith(PREFIX) or bare in known:
            continue
        near = difflib.get_close_matches(bare, known, n=1)
        hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
        warnings.append(f"{name} is no setting of unlinker and is ignored{hint}")
    return warnings


def dotenv_names(path: Path = Path(".env")) -> dict[str, str]:
    """The names set in a `.env` file (values left out), so that `unknown_names` sees them too."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    names = (line.split("=", 1)[0].removeprefix("export ").strip() for line in lines if "=" in line)
    return {name: "" for name in names if name and not name.startswith("#")}
