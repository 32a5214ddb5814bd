"""What a look means for what was said of a link."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.onoffice.errors import RequestUnanswered
from worker.unlinking.judging import Sight
from worker.unlinking.outcome import Kind
from worker.unlinking.truth import (
    GRACE,
    Found,
    OpenJob,
    closes_letter,
    is_lost,
    is_resurrected,
    judge_deletion,
)
from worker.unlinking.viewer import Unread, View

UNREAD = Unread(error=RequestUnanswered("no answer"))
VIEWS = st.sampled_from([Sight.PRESENT, Sight.ABSENT, Sight.NOT_SEEN, UNREAD])


@pytest.mark.parametrize(
    ("view", "proven", "found"),
    [
        (Sight.PRESENT, True, Found.THERE),
        (Sight.PRESENT, False, Found.THERE),
        (Sight.ABSENT, True, Found.STILL_GONE),
        (Sight.ABSENT, False, Found.VERIFIED),
        (Sight.NOT_SEEN, True, Found.STILL_GONE),
        (Sight.NOT_SEEN, False, Found.UNVERIFIED),
        (UNREAD, True, Found.UNREAD),
        (UNREAD, False, Found.UNREAD),
    ],
)
def test_deletions(view: View, proven: bool, found: Found) -> None:
    assert judge_deletion(view, proven=proven) is found


@pytest.mark.parametrize(
    ("newest", "restored", "resurrected"),
    [
        ("unlinked", False, True),
        ("already_absent", False, True),
        ("restored", True, False),
        ("already_present", True, False),
        ("unlinked", True, False),
        ("dead", False, False),
        ("expired", False, False),
        (None, False, False),
    ],
)
def test_what_explains_a_link_that_is_there(newest: str | None, restored: bool, resurrected: bool) -> None:
    assert is_resurrected(newest, restored=restored) is resurrected


@given(VIEWS, st.booleans())
def test_only_what_was_seen_closes_a_letter(view: View, restore: bool) -> None:
    """A link that is not seen, without proof, may be hidden: no letter is closed by a guess."""
    closed = closes_letter(view, restore=restore)
    if restore:
        assert closed == (Kind.ALREADY_PRESENT if view is Sight.PRESENT else None)
    else:
        assert closed == (Kind.ALREADY_ABSENT if view is Sight.ABSENT else None)


@given(st.floats(0, 2e9), st.floats(0, 2e9), st.booleans(), st.booleans())
def test_lost_is_what_nobody_holds_past_its_deadline(deadline: float, now: float, held: bool, waits: bool) -> None:
    job = OpenJob(id="x", deadline=deadline, held=held, waits=waits)
    assert is_lost(job, now) is (not held and not waits and now - GRACE > deadline)
