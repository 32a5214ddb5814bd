"""docker-compose.yml and Dockerfile, as far as they can be checked without an engine."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import PREFIX, Settings
from gateway.cli import app

ROOT = Path(__file__).parents[2]
SERVICE_KEYS = {
    "image", "build", "command", "environment", "volumes", "depends_on", "healthcheck", "profiles", "restart",
    "stop_grace_period",
}  # fmt: skip


@pytest.fixture
def compose() -> dict[str, Any]:
    """The file as YAML."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def test_services_are_well_formed(compose: dict[str, Any]) -> None:
    assert set(compose) == {"services", "volumes"}
    assert set(compose["services"]) == {"redis", "worker", "scheduler", "sandbox"}
    for service in compose["services"].values():
        assert set(service) <= SERVICE_KEYS
        assert ("image" in service) != ("build" in service)
        assert set(service.get("depends_on", {})) <= set(compose["services"])
    assert compose["services"]["sandbox"]["profiles"] == ["demo"]


def test_redis_keeps_what_it_is_given(compose: dict[str, Any]) -> None:
    command = compose["services"]["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert compose["services"]["redis"]["volumes"]


def test_every_setting_in_it_exists(compose: dict[str, Any]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(compose["services"]["worker"]["environment"]) <= known


def test_commands_are_commands_of_ours(compose: dict[str, Any]) -> None:
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    for name in ("worker", "scheduler", "sandbox"):
        program, command, *_ = compose["services"][name]["command"]
        assert program == "unlinker"
        assert command in known


def test_the_image_holds_every_package(compose: dict[str, Any]) -> None:
    text = (ROOT / "Dockerfile").read_text()
    for package in ("config", "worker", "tasks", "gateway", "sandbox"):
        assert f"COPY {package} ./{package}" in text
    assert "--require-hashes -r requirements.lock" in text


def test_compose_accepts_it() -> None:
    """Only where Docker's own check is installed; the tests above hold everywhere."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        return
    checked = subprocess.run(
        ["docker", "compose", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
