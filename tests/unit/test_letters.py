"""A dead letter as its record tells it: the deadline that a redrive keeps to."""

import pytest

from worker.stores.letter import Letter

SEEN = 1_700_000_000  # Unix seconds
WEEK = 7 * 86_400  # a job's life, promise 7; written here anew, so that the code's number is checked


@pytest.mark.parametrize(
    ("record", "deadline"),
    [
        ({"first_seen": SEEN}, SEEN + WEEK),
        ({"first_seen": SEEN, "not_after": SEEN + 60}, SEEN + 60),
        ({"first_seen": SEEN, "not_after": SEEN + WEEK + 60}, SEEN + WEEK),
        ({"first_seen": SEEN, "not_after": SEEN + 60, "deadline": SEEN + 30}, SEEN + 30),
        ({}, WEEK),
    ],
)
def test_the_deadline_a_job_had(record: dict[str, int], deadline: float) -> None:
    letter = Letter("j", {name: str(1000 * seconds) for name, seconds in record.items()})
    assert letter.deadline == deadline
