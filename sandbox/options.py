"""What can be set: the facts nobody has tried on a live account are options here, each with its section of the facts.

[I] inferred, [U] unknown: see docs/onoffice-facts.md.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

DEFAULT_TOKEN = "sandbox-token-0123456789abcdefgh"  # 32 characters  # noqa: S105  # the sandbox's own, made up
DEFAULT_SECRET = "sandbox-secret-0123456789abcdefghijklmnopqrstuvwxyz-0123456789AB"  # 64  # noqa: S105  # as above


@dataclass(frozen=True, slots=True)
class SandboxAccount:
    """One customer/API user."""

    name: str
    token: str
    secret: str
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """How this onOffice behaves."""

    accounts: tuple[SandboxAccount, ...] = (SandboxAccount("default", DEFAULT_TOKEN, DEFAULT_SECRET),)
    seed_links: bool = True  # begin with a handful of links
    latency_ms: float = 0.0  # before each answer
    limit_per_second: float | None = None  # requests per account; above it 429. Facts 4: none is known [U]
    max_actions: int | None = None  # per request; above it the whole request fails. Facts 1.5 [U]
    timestamp_window_s: int = 120  # facts 1.2 [D]
    auth_shape: Literal["action", "request"] = "action"  # where an HMAC error shows. Facts 2.3 [O]
    mixed_top: Literal["97", "first", "200"] = "97"  # top level of a batch with good and bad actions. Facts 2.3 [U]
    stop_after_failure: bool = False  # later actions of a batch are not run, and have no result. Facts 1.5 [U]
    absent_code: int = 168  # delete of a link that is not there; 0 is success. Facts 3 [U]
    undeletable_code: int = 168  # delete of a link that is kept. Facts 3 [I]
    delete_success_shape: Literal["record", "no_element", "no_records"] = "record"  # facts 2.2 [I]
    read_absent: Literal["missing", "empty"] = "missing"  # how an id without links shows. Facts 6.1 [O]
    read_nothing: Literal["object", "list"] = "object"  # {} or [] when no id has links. Facts 6.1 [I]
    read_lag_s: float = 0.0  # seconds that reads go on showing a deleted link. Facts 7.5 [U]
    create_existing_code: int = 0  # create of a link that is there. Facts 6.2 [U]
    create_success_shape: Literal["no_records", "record"] = "no_records"  # facts 6.2 [U]
    appointment_addresses: Literal["list", "map", "missing"] = "list"  # facts 6.2 [D]; a map with gaps 7.1 [O]
    unknown_record_code: int = 80  # create of a link of a record that is gone. Facts 3 [I]
    unknown_appointment_code: int = 169  # read of an appointment that is gone; 0 is no record. Facts 3 [I]
    record_ids: Literal["number", "text"] = "number"  # ids of records of read. Facts 7.1 [O]
    record_count: Literal["number", "null"] = "number"  # cntabsolute of a read of records. Facts 7.1 [O]
    log_size: int = 100_000  # requests kept in the log


class BadOption(ValueError):
    """An option that does not exist, or a value it cannot have."""


def changed(options: SandboxOptions, changes: dict[str, Any]) -> SandboxOptions:
    """`options` with `changes` from outside. Raises BadOption with a sentence that names the fault."""
    hints = get_type_hints(SandboxOptions)
    known = {each.name for each in fields(SandboxOptions)} - {"accounts"}
    for name, value in changes.items():
        if name not in known:
            raise BadOption(f"{name!r} is no option; there are {', '.join(sorted(known))}")
        if get_origin(hints[name]) is Literal and value not in get_args(hints[name]):
            raise BadOption(f"{name} must be one of {', '.join(map(str, get_args(hints[name])))}, not {value!r}")
        if hints[name] is bool and not isinstance(value, bool):
            raise BadOption(f"{name} must be true or false, not {value!r}")
        if hints[name] in (int, float) and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise BadOption(f"{name} must be a number, not {value!r}")
    return replace(options, **changes)
