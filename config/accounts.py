"""Accounts: one onOffice customer/API user each, from the environment (`default`) and from the accounts file."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from config.errors import ConfigurationError
from config.settings import Settings

DEFAULT = "default"
TOKEN_LENGTH = 32  # characters, API facts 1.2
SECRET_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Account:
    """One onOffice customer/API user with its limits."""

    name: str
    token: SecretStr
    secret: SecretStr
    requests_per_second: float
    actions_per_request: int
    max_in_flight: int


class _Entry(BaseModel):
    """One table of the accounts file; what is left out comes from the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: SecretStr | None = None
    token_file: Path | None = None
    secret: SecretStr | None = None
    secret_file: Path | None = None
    requests_per_second: float | None = Field(None, gt=0, le=100_000)
    actions_per_request: int | None = Field(None, ge=1, le=500)
    max_in_flight: int | None = Field(None, ge=1, le=1000)


def load_accounts(settings: Settings) -> dict[str, Account]:
    """All accounts by name; raises ConfigurationError that lists every fault of file and environment."""
    faults: list[str] = []
    accounts: dict[str, Account] = {}
    default = _Entry(
        token=settings.onoffice_token,
        token_file=settings.onoffice_token_file,
        secret=settings.onoffice_secret,
        secret_file=settings.onoffice_secret_file,
    )
    if default != _Entry():
        _add(accounts, DEFAULT, default, settings, faults)
    for name, table in _tables(settings.accounts_file, faults).items():
        if name in accounts:
            faults.append(f"{settings.accounts_file}: [accounts.{name}] is also set in the environment; keep one")
            continue
        try:
            _add(accounts, name, _Entry.model_validate(table), settings, faults)
        except ValidationError as error:
            faults += [
                f"{settings.accounts_file}: [accounts.{name}] {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                for fault in error.errors()
            ]
    if faults:
        raise ConfigurationError(faults)
    return accounts


def _tables(path: Path | None, faults: list[str]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        faults.append(f"UNLINKER_ACCOUNTS_FILE: {path} cannot be read: {error}")
        return {}
    tables = document.get("accounts", {})
    if not isinstance(tables, dict) or set(document) - {"accounts"}:
        faults.append(f"UNLINKER_ACCOUNTS_FILE: {path} may hold tables named [accounts.NAME] and nothing else")
        return {}
    return tables


def _add(accounts: dict[str, Account], name: str, entry: _Entry, settings: Settings, faults: list[str]) -> None:
    token = _secret(name, "token", entry.token, entry.token_file, faults)
    secret = _secret(name, "secret", entry.secret, entry.secret_file, faults)
    if token is None or secret is None:
        return
    if len(token.get_secret_value()) == SECRET_LENGTH and len(secret.get_secret_value()) == TOKEN_LENGTH:
        faults.append(f"account {name}: token and secret look swapped (a token has 32 characters, a secret 64)")
        return
    accounts[name] = Account(
        name=name,
        token=token,
        secret=secret,
        requests_per_second=entry.requests_per_second or settings.requests_per_second,
        actions_per_request=entry.actions_per_request or settings.actions_per_request,
        max_in_flight=entry.max_in_flight or settings.max_in_flight,
    )


def _secret(account: str, what: str, value: SecretStr | None, path: Path | None, faults: list[str]) -> SecretStr | None:
    names = f"UNLINKER_ONOFFICE_{what.upper()}" if account == DEFAULT else f"[accounts.{account}] {what}"
    suffix = "_FILE" if account == DEFAULT else "_file"
    if (value is None) == (path is None):
        faults.append(f"{names}: set either {names} or {names}{suffix}" + (", not both" if value else ""))
        return None
    if path is None:
        return value
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{names}{suffix}: {path} cannot be read: {error}")
        return None
    if not text:
        faults.append(f"{names}{suffix}: {path} is empty")
        return None
    return SecretStr(text)
