"""A short storm; `make storm` runs the long one."""

import random
from pathlib import Path

import pytest

from tests.faults.storm import run


@pytest.mark.timeout(240)
def test_a_short_storm(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"SEED={seed}")  # noqa: T201  # shown by pytest when the test fails
    figures = run(tmp_path / "house", seed, jobs=800, kills=5)
    assert figures.kills == 5
    assert figures.redis_kills >= 1
