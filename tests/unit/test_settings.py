"""Settings, accounts and logging: all faults at once, and no secret anywhere."""

from pathlib import Path

import pytest

from config.accounts import load_accounts
from config.errors import ConfigurationError
from config.logs import Redactor
from config.settings import dotenv_names, load_settings, unknown_names

TOKEN, SECRET = "t" * 32, "s" * 64


def test_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert (settings.requests_per_second, settings.actions_per_request, settings.max_in_flight) == (5, 50, 4)
    assert (settings.request_timeout, settings.max_attempts) == (30, 5)
    assert (settings.verify, settings.require_proof) == ("ambiguous", False)
    assert settings.onoffice_url == "https://api.onoffice.de/api/stable/api.php"


def test_all_faults_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLINKER_REQUESTS_PER_SECOND", "fast")
    monkeypatch.setenv("UNLINKER_MAX_ATTEMPTS", "0")
    monkeypatch.setenv("UNLINKER_REDIS_URL", "http://x")
    monkeypatch.setenv("UNLINKER_VERIFY", "never")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    text = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 4
    for name in ("REQUESTS_PER_SECOND", "MAX_ATTEMPTS", "REDIS_URL", "VERIFY"):
        assert f"UNLINKER_{name}: " in text


def test_unknown_names_get_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("UNLINKER_MAX_INFLIGHT=3\n# UNLINKER_NOTE=1\nOTHER=1\n")
    environ = {"UNLINKER_REDISURL": "x", "UNLINKER_ZZZZZZ": "1", "PATH": "", **dotenv_names(tmp_path / ".env")}
    warnings = unknown_names(environ)
    assert any("UNLINKER_REDISURL" in line and "did you mean UNLINKER_REDIS_URL?" in line for line in warnings)
    assert any("UNLINKER_MAX_INFLIGHT" in line and "UNLINKER_MAX_IN_FLIGHT?" in line for line in warnings)
    assert any(line.startswith("UNLINKER_ZZZZZZ is no setting") and "mean" not in line for line in warnings)
    assert len(warnings) == 3


def test_a_dot_env_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("UNLINKER_MAX_ATTEMPTS=7\n")
    assert load_settings().max_attempts == 7


def test_secrets_come_from_files_and_show_in_no_repr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    monkeypatch.setenv("UNLINKER_ONOFFICE_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("UNLINKER_ONOFFICE_SECRET", SECRET)
    settings = load_settings()
    account = load_accounts(settings)["default"]
    assert account.token.get_secret_value() == TOKEN
    assert SECRET not in repr(settings) + repr(account) + str(account)


def test_faults_of_secrets_name_the_setting_and_not_the_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNLINKER_ONOFFICE_TOKEN", TOKEN)
    monkeypatch.setenv("UNLINKER_ONOFFICE_TOKEN_FILE", str(tmp_path / "absent"))
    with pytest.raises(ConfigurationError) as caught:
        load_accounts(load_settings())
    assert len(caught.value.faults) == 2
    assert "UNLINKER_ONOFFICE_TOKEN" in str(caught.value)
    assert "UNLINKER_ONOFFICE_SECRET" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_swapped_token_and_secret_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLINKER_ONOFFICE_TOKEN", SECRET)
    monkeypatch.setenv("UNLINKER_ONOFFICE_SECRET", TOKEN)
    with pytest.raises(ConfigurationError, match="swapped"):
        load_accounts(load_settings())


def test_further_accounts_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(
        f'[accounts.berlin]\ntoken = "{TOKEN}"\nsecret = "{SECRET}"\nrequests_per_second = 2\n'
        f'[accounts.bonn]\ntoken = "{TOKEN}"\nsecret = "{SECRET}"\n'
    )
    monkeypatch.setenv("UNLINKER_ACCOUNTS_FILE", str(file))
    accounts = load_accounts(load_settings())
    assert {name: account.requests_per_second for name, account in accounts.items()} == {"berlin": 2, "bonn": 5}


def test_faults_of_the_accounts_file_are_reported_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(f'[accounts.a]\ntoken = "{TOKEN}"\n[accounts.b]\ncolour = "{SECRET}"\nmax_in_flight = 0\n')
    monkeypatch.setenv("UNLINKER_ACCOUNTS_FILE", str(file))
    with pytest.raises(ConfigurationError) as caught:
        load_accounts(load_settings())
    text = str(caught.value)
    assert "[accounts.a] secret" in text
    assert "[accounts.b] colour" in text
    assert "[accounts.b] max_in_flight" in text
    assert SECRET not in text
    file.write_text("not toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_accounts(load_settings())


def test_the_redactor_masks_secrets_and_passwords_in_urls() -> None:
    redact = Redactor([SECRET])
    event = redact(None, "info", {"event": f"x {SECRET} y", "url": "redis://:pass@host:1/0", "n": 1})
    assert event == {"event": "x ** y", "url": "redis://:**@host:1/0", "n": 1}


def test_the_lag_of_reads_is_bounded_and_looking_first_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (load_settings().read_lag, load_settings().look_first) == (60.0, False)
    for value in ("-1", "3601", "nan", "soon"):
        monkeypatch.setenv("UNLINKER_READ_LAG", value)
        with pytest.raises(ConfigurationError, match="UNLINKER_READ_LAG"):
            load_settings()
    monkeypatch.setenv("UNLINKER_READ_LAG", "0")
    assert load_settings().read_lag == 0
