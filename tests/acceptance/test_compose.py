"""The commands of docker-compose.yml, run as they stand, with the services' names put to loopback."""

from pathlib import Path
from typing import Any

import yaml

from sandbox import DEFAULT_SECRET, DEFAULT_TOKEN
from tests.harness import Control, House

ROOT = Path(__file__).parents[2]


def test_worker_and_sandbox_run_as_the_file_says(tmp_path: Path) -> None:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    house = House(tmp_path / "house")
    try:
        _, *sandbox_command = services["sandbox"]["command"]
        assert sandbox_command == ["sandbox", "--host", "0.0.0.0", "--port", "8099"]  # noqa: S104  # inside its container
        sandbox_command[2], sandbox_command[4] = "127.0.0.1", "0"
        url = house.start(*sandbox_command).wait_for("sandbox: ").split()[1]
        house.sandbox = Control(url.split("/api/")[0])
        _, *worker_command = services["worker"]["command"]
        environment = {
            **services["worker"]["environment"],
            "UNLINKER_REDIS_URL": house.redis_url,
            "UNLINKER_ONOFFICE_URL": url,
            "UNLINKER_ONOFFICE_TOKEN": DEFAULT_TOKEN,
            "UNLINKER_ONOFFICE_SECRET": DEFAULT_SECRET,
        }
        worker = house.start(*worker_command, **environment)
        worker.wait_for("ready")
        assert house.ended(house.unlink("calendar:address", 671, 153))["outcome"] == "unlinked"
        assert '"event":' in worker.text(), "LOG_FORMAT=json"
    finally:
        house.close()
