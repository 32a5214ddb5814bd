"""What the API does: delete and create of relations, get of idsfromrelation, read of appointments (facts 2, 3, 6)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.appointments import CONFIRMATIONS, appointment
from sandbox.options import SandboxOptions
from sandbox.records import BadRead, read
from sandbox.state import ALL_TYPES, PREFIX, READ_ONLY_TYPES, Link, State

ACTION_PREFIX = "urn:onoffice-de-ns:smart:2.5:smartml:action:"
MAX_IDS = 500
MAX_ID = 2**63
TEXTS = {
    23: 'Missing configuration for actionId "%s"',
    25: 'Missing configuration for resourceType "%s"',
    75: 'Unknown field: "%s"',
    80: "Unknown record. Record may not exist or the permission rights are not set accordingly for this action.",
    132: "No or unknown relation given",
    167: 'Missing parameter "%s"',
    168: "Entry could not be deleted",
    169: "Appointment not found",
    173: "Could not create relation between address and estate",
    179: "Could not create relation cause of invalid relationinfos",
    219: "n:n relations are not allowed",
    228: "Given element or parameter was expected to be an integer: %s",
    235: "Unknown record id %s",
    257: "An error occurred while validating the filter: %s",
    302: "This action support only up to 500 Ids",
}


@dataclass(slots=True)
class Result:
    """What one action came to."""

    errorcode: int = 0
    message: str = "OK"
    records: list[dict[str, Any]] = field(default_factory=list)
    effect: str = ""
    cacheable: bool = False
    total: object = None  # meta.cntabsolute


def _error(code: int, value: object = "") -> Result:
    text = TEXTS.get(code, f"error {code}")
    return Result(code, text % str(value)[:100] if "%s" in text else text)


def run(state: State, options: SandboxOptions, action: Mapping[str, Any]) -> Result:
    """Do one action."""
    name = str(action.get("actionid", "")).removeprefix(ACTION_PREFIX)
    resource = action.get("resourcetype")
    parameters = action.get("parameters")
    if not isinstance(parameters, dict):
        return _error(167, "parameters")
    match name, resource:
        case "delete", "relation":
            return _delete(state, options, parameters)
        case "create", "relation":
            return _create(state, options, parameters)
        case "get", "idsfromrelation":
            return _get(state, options, parameters)
        case "read", "calendar":
            return _read_appointment(state, options, action)
        case "read", "estate" | "address":
            return _read(state, options, resource, parameters)
        case (("delete" | "create" | "get" | "read" | "modify"), _):
            return _error(25, resource)
        case _:
            return _error(23, action.get("actionid"))


def kind_of(parameters: Mapping[str, Any]) -> str | None:
    """The short form of the relation type, or None for an unknown one."""
    value = parameters.get("relationtype")
    if not isinstance(value, str) or not value.startswith(PREFIX):
        return None
    short = value.removeprefix(PREFIX)
    return short if short in ALL_TYPES else None


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < MAX_ID


def _fault(parameters: Mapping[str, Any], *names: str) -> Result | None:
    for name in ("relationtype", *names):
        if name not in parameters:
            return _error(167, name)
    if kind_of(parameters) is None:
        return _error(132)
    wrong = [name for name in names if not _is_id(parameters[name])]
    return _error(228, wrong[0]) if wrong else None


def _delete(state: State, options: SandboxOptions, parameters: Mapping[str, Any]) -> Result:
    fault = _fault(parameters, "parentid", "childid")
    if fault is not None:
        return fault
    link: Link = (kind_of(parameters) or "", parameters["parentid"], parameters["childid"])
    if state.hides(link[0], link[1]):
        return _error(80)
    if link not in state.links:
        return _error(options.absent_code, link[1]) if options.absent_code else _success(options)
    if link in state.undeletable or link[0] in state.undeletable_types or link[0] in READ_ONLY_TYPES:
        return _error(options.undeletable_code, link[1])
    state.delete(link, options.read_lag_s)
    result = _success(options)
    result.effect = "deleted"
    return result


def _success(options: SandboxOptions) -> Result:
    match options.delete_success_shape:
        case "record":
            return Result(records=[{"id": 0, "type": "relation", "elements": {"success": "success"}}])
        case "no_element":
            return Result(records=[{"id": 0, "type": "relation", "elements": []}])
        case _:
            return Result()


def _create(state: State, options: SandboxOptions, parameters: Mapping[str, Any]) -> Result:
    sides = {name: _as_list(parameters.get(name)) for name in ("parentid", "childid")}
    if len(sides["parentid"]) > 1 and len(sides["childid"]) > 1:
        return _error(219)
    scalars = {name: values[0] if values else None for name, values in sides.items() if name in parameters}
    fault = _fault({**parameters, **scalars}, "parentid", "childid")
    if fault is not None:
        return fault
    kind = kind_of(parameters) or ""
    links = [(kind, parent, child) for parent in sides["parentid"] for child in sides["childid"]]
    if {each for link in links for each in link[1:]} & state.unknown_records:
        return _error(options.unknown_record_code)
    if options.create_existing_code and any(link in state.links for link in links):
        return _error(options.create_existing_code)
    info = parameters.get("relationinfo")
    if info is not None and not _is_relationinfo(kind, info):
        return _error(179)
    for link in links:
        state.create(link, CONFIRMATIONS[info["statusTerminbestaetigung"]] if info else None)
    result = _success(options) if options.create_success_shape == "record" else Result()
    result.effect = "created"
    return result


def _is_relationinfo(kind: str, info: object) -> bool:
    return (
        kind == "calendar:address"
        and isinstance(info, dict)
        and set(info) == {"statusTerminbestaetigung"}
        and info["statusTerminbestaetigung"] in CONFIRMATIONS
    )


def _read_appointment(state: State, options: SandboxOptions, action: Mapping[str, Any]) -> Result:
    number = str(action.get("resourceid", ""))
    if not number.isascii() or not number.isdigit():
        return _error(167, "datestart")  # appointments of a period are not played here
    if int(number) in state.unknown_records | state.hidden_parents:
        return _error(options.unknown_appointment_code) if options.unknown_appointment_code else Result()
    shown = bool(action["parameters"].get("showConfirmationStatus"))
    shape = options.appointment_addresses if shown else "missing"
    return Result(records=[appointment(state, int(number), shape)], cacheable=True, total=1)


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _get(state: State, options: SandboxOptions, parameters: Mapping[str, Any]) -> Result:
    sides = [name for name in ("parentids", "childids") if name in parameters]
    if len(sides) != 1:
        return _error(167, "parentids")
    kind = kind_of(parameters)
    if kind is None:
        return _error(132)
    ids = _as_list(parameters[sides[0]])
    if len(ids) > MAX_IDS:
        return _error(302)
    if not all(_is_id(each) for each in ids):
        return _error(228, sides[0])
    look = state.children if sides[0] == "parentids" else state.parents
    found = {str(each): [str(related) for related in look(kind, each)] for each in ids}
    if options.read_absent == "missing":
        found = {queried: related for queried, related in found.items() if related}
    elements: object = found or ({} if options.read_nothing == "object" else [])
    record = {"id": "relatedIds", "type": "", "elements": elements}
    return Result(records=[record], cacheable=True)


def _read(state: State, options: SandboxOptions, resource: str, parameters: Mapping[str, Any]) -> Result:
    try:
        page = read(state.records, resource, parameters)
    except BadRead as bad:
        return _error(bad.code, bad.value)
    shown = int if options.record_ids == "number" else str
    records = [{"id": shown(n), "type": resource, "elements": fields} for n, fields in page.records]
    return Result(records=records, cacheable=True, total=page.total if options.record_count == "number" else None)
