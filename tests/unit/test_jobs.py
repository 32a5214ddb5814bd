"""Relation types and jobs: what is accepted, and what the error says otherwise."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.unlinking.errors import BadArguments, UnknownRelationType, UnlinkError
from worker.unlinking.job import Job
from worker.unlinking.relation_types import (
    PREFIX,
    RELATION_TYPES,
    Deletable,
    ReadOnlyRelationType,
    RelationTypeError,
    parse_relationtype,
    require_deletable,
)

GOOD = {"relationtype": "calendar:address", "parentid": 671, "childid": 153}


def test_the_delete_page_names_eleven_types() -> None:
    documented = [kind for kind in RELATION_TYPES.values() if kind.deletable is Deletable.DOCUMENTED]
    assert len(documented) == 11
    assert all(kind.creatable for kind in documented)


@pytest.mark.parametrize("short", sorted(RELATION_TYPES))
def test_short_form_and_urn_name_the_same_type(short: str) -> None:
    assert parse_relationtype(short) is parse_relationtype(PREFIX + short)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("urn:onoffice-en-ns:smart:2.5:relationTypes:calendar:address", "calendar:address"),
        ("urn:onoffice-dens:smart:2.5:relationTypes:calendar:address", "calendar:address"),
        ("urn:onoffice-de-ns:smart:2.4:relationTypes:calendar:address", "calendar:address"),
        ("Calendar:Address", "calendar:address"),
        ("estate:address:contactperson", "estate:address:contactPerson"),
        ("address:calendar", "calendar:address"),
        (" calendar:address ", "calendar:address"),
        ("calender:address", "calendar:address"),
        ("estate:adress:owner", "estate:address:owner"),
        ("zebra", None),
    ],
)
def test_near_misses_get_a_suggestion(text: str, suggestion: str | None) -> None:
    with pytest.raises(RelationTypeError) as caught:
        parse_relationtype(text)
    assert caught.value.suggestion == suggestion
    assert suggestion is None or suggestion in str(caught.value)


@given(st.text())
def test_no_text_raises_anything_but_our_error(text: str) -> None:
    with contextlib.suppress(RelationTypeError):
        assert parse_relationtype(text).short in RELATION_TYPES


def test_a_read_only_type_is_refused_at_once() -> None:
    with pytest.raises(ReadOnlyRelationType):
        require_deletable(parse_relationtype("user:messengerUser:is"))
    with pytest.raises(UnknownRelationType, match="read only"):
        Job.from_arguments("x", {**GOOD, "relationtype": "user:messengerUser:is"})


def test_a_job_survives_its_own_arguments() -> None:
    job = Job.from_arguments("x", {**GOOD, "requested_by": "crm", "not_after": "2026-01-31T18:00:00+01:00"})
    assert job.terms.not_after == 1769878800.0
    assert job.account == "default"
    assert Job.from_arguments("x", job.as_arguments()) == job


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parentid": "671"}, "parentid must be an integer, not str"),
        ({"parentid": True}, "parentid must be an integer, not bool"),
        ({"childid": 0}, "childid must be a positive record id"),
        ({"childid": 2**63}, "childid must be a positive record id"),
        ({"relationtype": 5}, "relationtype must be text"),
        ({"account": 5}, "account must be text"),
        ({"reason": "x" * 501}, "reason must be text of at most 500"),
        ({"not_after": "tomorrow"}, "not_after must be Unix seconds or an ISO 8601 time"),
        ({"not_after": "2026-01-31T18:00:00"}, "not_after needs a time zone"),
        ({"not_after": 1e300}, "not_after must be"),
        ({"colour": "red"}, "'colour' is no argument"),
    ],
)
def test_bad_arguments_say_which_and_why(change: dict[str, object], words: str) -> None:
    with pytest.raises(BadArguments) as caught:
        Job.from_arguments("x", {**GOOD, **change})
    assert words in caught.value.text


@given(st.dictionaries(st.sampled_from([*GOOD, "account", "not_after", "x"]), st.none() | st.integers() | st.text()))
def test_no_arguments_raise_anything_but_a_reason(arguments: dict[str, object]) -> None:
    with contextlib.suppress(UnlinkError):
        assert Job.from_arguments("x", arguments).relation.parentid > 0
