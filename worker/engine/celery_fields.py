"""What of a message only Celery uses. It takes the shapes on trust, and its consumer dies of others. Pure."""

from collections.abc import Callable, Mapping
from typing import Any


def misshapen(headers: Mapping[str, Any], properties: Mapping[str, Any], embed: object) -> str:
    """The sentence that names the first part that Celery could not use; "" if there is none.

    embed: the third part of the body.
    """
    if embed and not isinstance(embed, Mapping):
        return "what the body has for Celery (embed) must be an object"
    for_celery = embed if isinstance(embed, Mapping) else {}
    for place, fields in ((headers, _HEADERS), (properties, _PROPERTIES), (for_celery, _EMBED)):
        for name, (fits, shape) in fields.items():
            if (found := place.get(name)) is not None and not fits(found):
                return f"{name} must be {shape}"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int)


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def _are_limits(value: object) -> bool:
    if not isinstance(value, list):
        return False
    return not value or (len(value) == 2 and all(each is None or _is_number(each) for each in value))


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _are_signatures(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


def _are_stamps(value: object) -> bool:
    return value == [] or isinstance(value, Mapping)  # PHP writes what is empty as a list


_Field = tuple[Callable[[object], bool], str]
_TEXT: _Field = (_is_text, "text")
_SIGNATURES: _Field = (_are_signatures, "a list of signatures")
_HEADERS: Mapping[str, _Field] = {
    "timelimit": (_are_limits, "a list of two numbers of seconds, or null"),
    "retries": (_is_whole, "a whole number"),
    "group": _TEXT,
    "group_index": (_is_whole, "a whole number"),
    "root_id": _TEXT,
    "parent_id": _TEXT,
    "shadow": _TEXT,
    "stamped_headers": (_are_texts, "a list of names"),
    "stamps": (_are_stamps, "an object"),
    "replaced_task_nesting": (_is_whole, "a whole number"),
}
_PROPERTIES: Mapping[str, _Field] = {
    "correlation_id": _TEXT,
    "reply_to": _TEXT,
    "delivery_info": (_is_object, "an object"),
}
_EMBED: Mapping[str, _Field] = {
    "callbacks": _SIGNATURES,
    "errbacks": _SIGNATURES,
    "chain": _SIGNATURES,
    "chord": (_is_object, "a signature"),
}
