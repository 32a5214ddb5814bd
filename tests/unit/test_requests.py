"""What is signed and sent (API facts 1); the vendor's golden vectors are in test_protocol.py."""

import json

from hypothesis import given
from hypothesis import strategies as st

from worker.onoffice.protocol import (
    GET,
    RELATION_TYPE_PREFIX,
    Action,
    Credentials,
    build_request,
    create_relation,
    delete_relation,
    harmless_read,
    sign,
)

CALENDAR_ADDRESS = "urn:onoffice-de-ns:smart:2.5:relationTypes:calendar:address"
CREDENTIALS = Credentials("testtoken", "testsecret")
TIMESTAMP = 1646228220


def delete(identifier: str = "job") -> Action:
    return delete_relation(identifier, CALENDAR_ADDRESS, 671, 153)


_values = st.integers() | st.text() | st.lists(st.integers())
_actions = st.builds(Action, st.text(), st.text(), st.text(), st.dictionaries(st.text(), _values), resourceid=st.text())


def test_each_kind_of_action_has_its_own_signature_and_all_share_the_timestamp() -> None:
    kinds = [delete("a"), harmless_read("b"), create_relation("c", CALENDAR_ADDRESS, 1, 2), delete("d")]
    sent = json.loads(build_request(CREDENTIALS, kinds, TIMESTAMP))["request"]["actions"]
    assert [each["hmac"] for each in sent] == [
        sign(CREDENTIALS, TIMESTAMP, action.resourcetype, action.actionid) for action in kinds
    ]
    assert len({each["hmac"] for each in sent}) == 3
    assert {each["timestamp"] for each in sent} == {TIMESTAMP}


@given(actions=st.lists(_actions, max_size=5), timestamp=st.integers(0, 2**40), token=st.text(), secret=st.text())
def test_what_is_built_reads_back_as_what_was_meant(
    actions: list[Action], timestamp: int, token: str, secret: str
) -> None:
    document = json.loads(build_request(Credentials(token, secret), actions, timestamp))
    assert document["token"] == token
    for sent, action in zip(document["request"]["actions"], actions, strict=True):
        assert sent["parameters"] == action.parameters
        assert list(sent["parameters"]) == sorted(action.parameters)
        assert (sent["identifier"], sent["actionid"]) == (action.identifier, action.actionid)
        assert (sent["resourcetype"], sent["resourceid"]) == (action.resourcetype, action.resourceid)


def test_credentials_never_show() -> None:
    secretive = Credentials("T0KEN", "5ECRET")
    for text in (repr(secretive), str(secretive), f"{secretive}", f"{[secretive]}"):
        assert "T0KEN" not in text
        assert "5ECRET" not in text


def test_harmless_read_only_reads() -> None:
    action = harmless_read("probe")
    assert (action.identifier, action.actionid, action.resourcetype) == ("probe", GET, "idsfromrelation")
    assert action.parameters == {"parentids": [1], "relationtype": RELATION_TYPE_PREFIX + "calendar:address"}
