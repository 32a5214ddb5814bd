"""Fixtures for all tests. The Valkey is a real one from a wheel; a missing service is an error, never a skip."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import redis
import redis.asyncio
from celery import Celery

from config.embedded_valkey import ensure_running, stop
from sandbox import Sandbox
from tests.harness import House

# the first text on a new machine takes hypothesis seconds, and tests must not depend on the machine's speed
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# of a mutant it is enough to know that it is dead: no search for the smallest input that shows it, and no luck
hypothesis.settings.register_profile(
    "mutants",
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(autouse=True, scope="session")
def processes_can_be_interrupted() -> None:
    """A shell starts what runs in its background with Ctrl-C ignored, and our processes would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests see neither the caller's UNLINKER_ variables nor a .env file."""
    for name in [name for name in os.environ if name.startswith("UNLINKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Valkey for the whole session; `make mutants` has one at hand."""
    if at_hand := os.environ.get("TEST_VALKEY"):
        yield at_hand
        return
    home = tmp_path_factory.mktemp("valkey")
    yield ensure_running(home)
    stop(home)


@pytest.fixture
def redis_url(valkey: str) -> str:
    """The URL of an empty Valkey."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    return valkey


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator["redis.asyncio.Redis"]:
    """A client of an empty Valkey."""
    client = redis.asyncio.Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    """A sandbox in this process."""
    async with Sandbox() as box:
        yield box


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A Valkey and a sandbox of its own; workers are started by the test."""
    house = House(tmp_path / "house")
    try:
        house.start_sandbox()
        yield house
    finally:
        house.close()


@pytest.fixture
def app(house: House) -> Iterator[Celery]:
    """Another Celery application, which sends jobs to the house and waits for results."""
    with Celery(broker=house.redis_url, backend=house.redis_url) as app:
        yield app
        app.backend.result_consumer._pubsub = None  # results that are freed later would wait for a Redis that is gone
