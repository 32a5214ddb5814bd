"""A Redis that answers, and refuses: workers wait for it and go on by themselves, commands say what to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.refusing_redis import Fault, full_disk, out_of_memory, read_only_replica, takes_writes
from tests.faults.test_workers import many
from tests.harness import House, Process, eventually

FAULTS: tuple[tuple[Fault, str, str], ...] = (
    (full_disk, "MISCONF", "make room on its disk"),
    (out_of_memory, "OOM", "raise maxmemory"),
    (read_only_replica, "READONLY", "point UNLINKER_REDIS_URL at the primary"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with one worker, for all faults: it must outlive them."""
    house = House(tmp_path_factory.mktemp("refusing") / "house")
    try:
        house.start_sandbox()
        house.start_worker()
        yield house
    finally:
        house.close()


@pytest.mark.parametrize(("fault", "word", "cure"), FAULTS, ids=[fault.__name__ for fault, _, _ in FAULTS])
def test_a_worker_outlives_whatever_redis_refuses_and_says_what_to_do(
    home: House, tmp_path: Path, fault: Fault, word: str, cure: str
) -> None:
    """One worker was there before, one is started meanwhile; neither ends, and both go on by themselves."""
    worker = home.processes[1]
    before = home.unlink(*many(home, 1, first=1)[0], not_after=None)
    assert home.ended(before)["outcome"] == "unlinked"
    mend = fault(home.client)
    try:
        late = home.start("worker")  # with a name it would wait for that first
        for process in (worker, late):
            _says(process, word, cure)
        waiting = worker if word == "MISCONF" else late  # PING is refused then, so the other has not come so far
        _says(waiting, "consumer: Cannot connect", "")
        refused = home.here("unlink", "calendar:address", "1", "2")
        assert refused.returncode == 3
        assert word in refused.stderr
        assert cure in refused.stderr
        assert "start it" not in refused.stderr
        told = home.here("doctor")
        assert told.returncode in (1, 3), told.stdout
        assert word in told.stdout
    finally:
        mend()
    eventually(lambda: takes_writes(home.client))
    late.wait_for("ready")
    later = home.unlink(*many(home, 1, first=2)[0])
    assert home.ended(later)["outcome"] == "unlinked"
    assert worker.popen.poll() is None, worker.text()
    assert late.terminate() < 60


def _says(process: Process, word: str, cure: str) -> None:
    def found() -> bool:
        assert process.popen.poll() is None, process.text()
        return any(word in line and cure in line for line in process.text().splitlines())

    eventually(found)
