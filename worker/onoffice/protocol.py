"""The onOffice API as a pure protocol: actions, signature, request body. No I/O, no clock.

Source: apidoc.onoffice.de, pages request-elemente-action, actions-datensatz-loeschen-relations, relationen.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ACTION_PREFIX = "urn:onoffice-de-ns:smart:2.5:smartml:action:"
DELETE = ACTION_PREFIX + "delete"
GET = ACTION_PREFIX + "get"
CREATE = ACTION_PREFIX + "create"
READ = ACTION_PREFIX + "read"
RELATION = "relation"
IDS_FROM_RELATION = "idsfromrelation"
RELATION_TYPE_PREFIX = "urn:onoffice-de-ns:smart:2.5:relationTypes:"
MAX_IDS_PER_READ = 500  # code 302 and the general bound of reads (API facts 4)


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Token (32 characters) and secret (64 characters) of one API user; masked in every repr."""

    token: str
    secret: str

    def __repr__(self) -> str:
        return "Credentials(token='**', secret='**')"


@dataclass(frozen=True, slots=True)
class Action:
    """One action of a request."""

    identifier: str  # any label; echoed in the result. Ours is the job's id
    actionid: str  # full URN
    resourcetype: str
    parameters: Mapping[str, object]
    resourceid: str = ""  # "" for relations; "0" would look for record 0 (API facts 1.2)


def delete_relation(identifier: str, relationtype: str, parentid: int, childid: int) -> Action:
    """Delete one link. `relationtype`: full URN."""
    return Action(
        identifier, DELETE, RELATION, {"childid": childid, "parentid": parentid, "relationtype": relationtype}
    )


def get_ids_from_relation(
    identifier: str, relationtype: str, *, parentids: Sequence[int] = (), childids: Sequence[int] = ()
) -> Action:
    """Read the links of up to 500 parents, or of up to 500 children. Raises ValueError for both, none, or more."""
    if bool(parentids) == bool(childids) or len(parentids) + len(childids) > MAX_IDS_PER_READ:
        raise ValueError(f"give 1 to {MAX_IDS_PER_READ} parentids or childids, not both")
    side = {"parentids": list(parentids)} if parentids else {"childids": list(childids)}
    return Action(identifier, GET, IDS_FROM_RELATION, {**side, "relationtype": relationtype})


def create_relation(
    identifier: str,
    relationtype: str,
    parentid: int,
    childid: int,
    relationinfo: Mapping[str, str] | None = None,
) -> Action:
    """Create one link. `relationinfo` is for appointments only (API facts 6.2)."""
    parameters: dict[str, object] = {"childid": childid, "parentid": parentid, "relationtype": relationtype}
    if relationinfo:
        parameters["relationinfo"] = dict(relationinfo)
    return Action(identifier, CREATE, RELATION, parameters)


def harmless_read(identifier: str) -> Action:
    """A read that changes nothing and needs no record to exist: tells whether credentials work."""
    return get_ids_from_relation(identifier, RELATION_TYPE_PREFIX + "calendar:address", parentids=[1])


def sign(credentials: Credentials, timestamp: int, resourcetype: str, actionid: str) -> str:
    """HMAC version 2: base64 of the raw SHA-256 digest (API facts 1.3). `timestamp`: Unix seconds."""
    message = f"{timestamp}{credentials.token}{resourcetype}{actionid}"
    digest = hmac.new(credentials.secret.encode(), message.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def build_request(credentials: Credentials, actions: Sequence[Action], timestamp: int) -> bytes:
    """The body of one request; every action is signed with the one `timestamp` (Unix seconds, read once).

    Parameters, resourceid and identifier are not signed, so actions of one kind share a signature.
    """
    signatures: dict[tuple[str, str], str] = {}
    documents = []
    for action in actions:
        kind = (action.resourcetype, action.actionid)
        if kind not in signatures:
            signatures[kind] = sign(credentials, timestamp, *kind)
        documents.append(
            {
                "actionid": action.actionid,
                "resourceid": action.resourceid,
                "resourcetype": action.resourcetype,
                "identifier": action.identifier,
                "timestamp": timestamp,
                "hmac": signatures[kind],
                "hmac_version": "2",
                "parameters": dict(sorted(action.parameters.items())),
            }
        )
    return json.dumps({"token": credentials.token, "request": {"actions": documents}}).encode()
