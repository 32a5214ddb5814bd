"""The bounds of settings, each at its edge, and where no secret may show."""

import pytest
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from config.accounts import load_accounts
from config.errors import ConfigurationError
from config.settings import Settings, load_settings

BOUNDS: dict[str, tuple[float, float]] = {  # the least and the most that is allowed
    "actions_per_request": (1, 500),
    "max_in_flight": (1, 1000),
    "max_attempts": (1, 100),
    "visibility_timeout": (3, 3600),
    "dead_letters_days": (1, 36_500),
    "dead_letters_max": (100, 100_000_000),
    "journal_days": (8, 36_500),  # longer than the seven days that a job lives
    "notify_smtp_port": (1, 65_535),
}
ABOVE_ZERO: dict[str, float] = {"requests_per_second": 100_000, "request_timeout": 600}  # and at most so much
SMALLEST = 0.001


def env(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    monkeypatch.setenv(f"UNLINKER_{name.upper()}", str(value))


def _is_bounded(field: FieldInfo) -> bool:
    return any(hasattr(each, bound) for each in field.metadata for bound in ("ge", "gt", "le", "lt"))


def test_every_bounded_setting_is_tried_below() -> None:
    # settings of later work bring a row of their own: at least those that are known are looked at
    bounded = {name for name, field in Settings.model_fields.items() if _is_bounded(field)}
    numbers = {name for name, field in Settings.model_fields.items() if field.annotation in (int, float)}
    assert bounded >= BOUNDS.keys() | ABOVE_ZERO.keys()
    assert numbers == bounded, "a number without bounds"


@pytest.mark.parametrize(("name", "least", "most"), [(name, *bounds) for name, bounds in BOUNDS.items()])
def test_at_the_edge_and_one_beyond(monkeypatch: pytest.MonkeyPatch, name: str, least: float, most: float) -> None:
    for value in (least, most):
        env(monkeypatch, name, value)
        assert getattr(load_settings(), name) == value
    for value in (least - 1, most + 1):
        env(monkeypatch, name, value)
        with pytest.raises(ConfigurationError, match=f"UNLINKER_{name.upper()}: "):
            load_settings()


@pytest.mark.parametrize(("name", "most"), ABOVE_ZERO.items())
def test_above_zero(monkeypatch: pytest.MonkeyPatch, name: str, most: float) -> None:
    for value in (SMALLEST, most):
        env(monkeypatch, name, value)
        assert getattr(load_settings(), name) == value
    for beyond in (0, -1, most + SMALLEST, "nan", "inf"):
        env(monkeypatch, name, beyond)
        with pytest.raises(ConfigurationError, match=f"UNLINKER_{name.upper()}: "):
            load_settings()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("requests_per_second = 0", "requests_per_second"),
        ("requests_per_second = 100001", "requests_per_second"),
        ("actions_per_request = 0", "actions_per_request"),
        ("actions_per_request = 501", "actions_per_request"),
        ("max_in_flight = 0", "max_in_flight"),
        ("max_in_flight = 1001", "max_in_flight"),
    ],
)
def test_the_accounts_file_has_the_same_bounds(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, line: str, name: str
) -> None:
    file = tmp_path_factory.mktemp("accounts") / "accounts.toml"
    file.write_text(f'[accounts.a]\ntoken = "{"t" * 32}"\nsecret = "{"s" * 64}"\n{line}\n')
    env(monkeypatch, "accounts_file", file)
    with pytest.raises(ConfigurationError, match=rf"\[accounts.a\] {name}: "):
        load_accounts(load_settings())


WORD = "hunter2-hunter2"
MASKED = [
    name
    for name in Settings.model_fields
    if any(part in name for part in ("token", "secret", "password", "webhook")) and not name.endswith("_file")
]


def test_the_names_of_secrets() -> None:
    assert set(MASKED) >= {"onoffice_token", "onoffice_secret", "notify_webhook", "notify_smtp_password"}


@pytest.mark.parametrize("name", MASKED)
def test_a_secret_shows_nowhere_but_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    env(monkeypatch, name, WORD)
    settings = load_settings()
    value = getattr(settings, name)
    assert isinstance(value, SecretStr)
    assert value.get_secret_value() == WORD
    shown = (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json())
    assert WORD not in "".join(shown)


@pytest.mark.parametrize("name", ["redis_url", "broker_url", "onoffice_url", "verify", "max_attempts"])
def test_a_fault_tells_no_value(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A password stands in the wrong setting, or in a URL that cannot be read; and pydantic shows what it was given."""
    env(monkeypatch, name, f"x://:{WORD}@host")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert WORD not in str(caught.value) + repr(caught.value)
    with pytest.raises(ConfigurationError) as told:
        load_settings()
    assert WORD not in str(told.value)
