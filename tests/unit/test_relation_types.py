"""The relation types (API facts 5), and what is suggested to those who misspell one."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.unlinking.relation_types import (
    PREFIX,
    RELATION_TYPES,
    Deletable,
    ReadOnlyRelationType,
    RelationTypeError,
    parse_relationtype,
    require_deletable,
)

DOCUMENTED = [  # the delete page, word for word
    "urn:onoffice-de-ns:smart:2.5:relationTypes:estate:address:interested",
    "urn:onoffice-de-ns:smart:2.5:relationTypes:estate:estateUnit",
    "urn:onoffice-de-ns:smart:2.5:relationTypes:calendar:address",
    "urn:onoffice-de-ns:smart:2.5:relationTypes:calendar:estate",
    "urn:onoffice-de-ns:smart:2.5:relationTypes:agentsLog:file:attachment",
    "urn:onoffice-de-ns:smart:2.5:relationTypes:estate:address:buyer",
    "urn:onoffice-de-ns:smart:2.5:relationTypes:estate:address:renter",
    "urn:onoffice-de-ns:smart:2.5:relationTypes:estate:address:owner",
    "urn:onoffice-de-ns:smart:2.5:relationTypes:estate:address:contactPerson",
    "urn:onoffice-de-ns:smart:2.5:relationTypes:estate:address:contactPersonAll",
    "urn:onoffice-de-ns:smart:2.5:relationTypes:address:user:sync",
]
OTHERS = [
    "agentsLog:address",
    "agentsLog:estate",
    "address:contact:address",
    "user:messengerUser:is",
    "estate:user:officer",
    "estate:user:assignment",
    "estate:address:tenant",
    "estate:address:matching",
    "estate:allFiles",
    "estate:file:titelbild",
    "estate:file:grundriss",
    "estate:file:foto",
    "estate:file:allpictures",
    "estate:file:alllinks",
    "estate:file:allpicturesExceptTitelbild",
    "estate:mail",
    "estateTracking:estate",
    "complex:estate:units",
    "address:address:isTippgeberOf",
    "address:estate:tipp",
    "address:estate:offer",
    "address:estate:contacted",
    "address:estate:offerByAgentsLog",
    "address:estate:matching",
    "address:user:officer",
    "address:user:additionalOfficers",
    "address:user:strangeNameRelation",
    "address:file:attachment",
    "address:searchcriteria",
    "address:process",
    "address:resubmission",
    "address:mail",
    "agentsLog:attachment:download",
    "agentsLogMail:address",
    "agentsLogMail:estate",
    "billing:estate",
    "calendar:file:attachment",
    "customer:address:contact",
    "job:estate",
    "project:address",
    "project:estate",
    "project:calendar",
    "project:agentslog",
    "project:task:customer",
    "project:file:attachment",
    "task:address",
    "task:estate",
    "task:file:attachment",
    "templateManagement:email:attachment",
    "templateManagement:email:documentAttributes",
    "user:address",
    "user:address:birthday",
    "address:customer",
]


def test_the_list_is_complete() -> None:
    assert set(RELATION_TYPES) == {urn.removeprefix(PREFIX) for urn in DOCUMENTED} | set(OTHERS)
    assert all(short == kind.short for short, kind in RELATION_TYPES.items())


def test_how_sure_deleting_is() -> None:
    kinds = Counter(kind.deletable for kind in RELATION_TYPES.values())
    documented = {kind.urn for kind in RELATION_TYPES.values() if kind.deletable is Deletable.DOCUMENTED}
    assert documented == set(DOCUMENTED)
    assert kinds[Deletable.READ_ONLY] == 1
    assert kinds[Deletable.UNVERIFIED] == len(OTHERS) - 1


def test_what_can_be_made_anew() -> None:
    """Undo rests on this: the create page names all of the delete page and three more."""
    creatable = {kind.urn for kind in RELATION_TYPES.values() if kind.creatable}
    more = {"agentsLog:address", "agentsLog:estate", "address:contact:address"}
    assert creatable == set(DOCUMENTED) | {PREFIX + short for short in more}


@pytest.mark.parametrize(
    "short",
    ["estate:allFiles", "estate:file:allpictures", "estate:address:matching", "address:estate:matching",
     "address:user:strangeNameRelation", "user:address:birthday", "address:estate:offerByAgentsLog"],
)  # fmt: skip
def test_computed_views_say_so(short: str) -> None:
    assert "probably cannot be deleted" in RELATION_TYPES[short].note


@pytest.mark.parametrize(
    ("short", "parent", "child"),
    [
        ("calendar:address", "calendar", "address"),
        ("estate:address:owner", "estate", "address"),
        ("agentsLog:file:attachment", "agentsLog", "file"),
        ("address:user:sync", "address", "user"),
        ("estate:estateUnit", "estate", "estate"),
        ("complex:estate:units", "estate", "estate"),
        ("address:contact:address", "address", "address"),
        ("estate:allFiles", "estate", "file"),
    ],
)
def test_parent_and_child(short: str, parent: str, child: str) -> None:
    kind = RELATION_TYPES[short]
    assert (kind.parent, kind.child) == (parent, child)


@pytest.mark.parametrize("short", sorted(RELATION_TYPES))
def test_both_spellings_name_the_same(short: str) -> None:
    kind = parse_relationtype(short)
    assert kind is parse_relationtype(f"urn:onoffice-de-ns:smart:2.5:relationTypes:{short}")
    assert kind.short == short
    assert kind.urn == PREFIX + short


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("urn:onoffice-en-ns:smart:2.5:relationTypes:calendar:address", "calendar:address"),  # typo of the vendor
        ("urn:onoffice-dens:smart:2.5:relationTypes:calendar:address", "calendar:address"),  # another
        ("urn:onoffice-de-ns:smart:relationTypes:calendar:address", "calendar:address"),
        ("urn:onoffice-de-ns:smart:2.6:relationTypes:calendar:address", "calendar:address"),
        ("urn:onoffice-de-ns:smart:2.5:relationType:calendar:address", "calendar:address"),
        ("URN:ONOFFICE-DE-NS:SMART:2.5:RELATIONTYPES:CALENDAR:ADDRESS", "calendar:address"),
        ("relationTypes:calendar:address", "calendar:address"),
        (PREFIX + PREFIX + "calendar:address", "calendar:address"),
        (" calendar:address\n", "calendar:address"),
        (PREFIX + " calendar:address", "calendar:address"),
        ("calendar : address", "calendar:address"),
        ("Calendar:Address", "calendar:address"),
        ("agentslog:file:attachment", "agentsLog:file:attachment"),
        ("address:calendar", "calendar:address"),
        ("address:estate:owner", "estate:address:owner"),
        ("user:address:sync", "address:user:sync"),
        ("calendars:addresses", "calendar:address"),
        ("estate:estateUnits", "estate:estateUnit"),
        ("estate:address:owners", "estate:address:owner"),
        ("estate:adress:owner", "estate:address:owner"),
        ("calendar-address", "calendar:address"),
    ],
)  # fmt: skip
def test_near_misses_are_refused_with_a_suggestion(text: str, suggestion: str) -> None:
    with pytest.raises(RelationTypeError) as caught:
        parse_relationtype(text)
    assert caught.value.suggestion == suggestion
    assert f"did you mean {suggestion}?" in str(caught.value)


@pytest.mark.parametrize("text", ["", " ", PREFIX, "relation", "employee", "x" * 100_000, "42", ":::"])
def test_nothing_is_suggested_where_nothing_is_near(text: str) -> None:
    with pytest.raises(RelationTypeError) as caught:
        parse_relationtype(text)
    assert caught.value.suggestion is None
    assert len(str(caught.value)) < 300


@given(text=st.text() | st.lists(st.sampled_from(["calendar", "address", ":", PREFIX, " ", "s"])).map("".join))
def test_whatever_is_not_a_type_to_the_letter_is_refused(text: str) -> None:
    if text.removeprefix(PREFIX) in RELATION_TYPES:
        return
    with pytest.raises(RelationTypeError) as caught:
        parse_relationtype(text)
    assert caught.value.suggestion in {None, *RELATION_TYPES}
    assert str(caught.value).isprintable()


def test_read_only_types_are_refused() -> None:
    with pytest.raises(ReadOnlyRelationType, match="user:messengerUser:is is read only"):
        require_deletable(parse_relationtype("user:messengerUser:is"))


def test_all_other_types_may_be_tried() -> None:
    for kind in RELATION_TYPES.values():
        if kind.deletable is not Deletable.READ_ONLY:
            require_deletable(kind)
