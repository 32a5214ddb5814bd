"""A short storm; `make storm` runs the long one."""

import random
from pathlib import Path

import pytest

from tests.faults import bulk_storm
from tests.faults.storm import run


@pytest.mark.timeout(240)
def test_a_short_storm(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"SEED={seed}")  # noqa: T201  # shown by pytest when the test fails
    figures = run(tmp_path / "house", seed, jobs=800, kills=5)
    assert figures.kills == 5
    assert figures.redis_kills >= 1


@pytest.mark.timeout(300)
def test_a_run_of_a_hundred_thousand_rows_that_is_killed_everywhere(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"SEED={seed}")  # noqa: T201  # shown by pytest when the test fails
    bulk_storm.storm(tmp_path / "house", seed, bulk_storm.Size(100_000, worker_kills=3, redis_kills=1))
