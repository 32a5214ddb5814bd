"""What a producer sent when its arguments cannot be used: kept as JSON text, bounded, without secrets. Pure."""

import json
import re
from collections.abc import Mapping

MOST = 2000  # characters that are kept
DEEPEST = 20  # levels that are kept
MASK = "***"
_SECRET_NAME = re.compile(r"token|secret|passw|hmac|credential|api_?key|auth", re.IGNORECASE)
_LONG = re.compile(r"[A-Za-z0-9+/=_-]{32,}")  # onOffice's tokens have 32 characters, its secrets 64
_HARMLESS = re.compile(r"\d+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")  # a number; a UUID


def as_sent(value: object) -> str:
    """JSON text of at most MOST characters. What may be a secret, by its name or its looks, is masked."""
    try:
        text = json.dumps(_masked(value, DEEPEST), ensure_ascii=False, default=str)
        text.encode()
    except (ValueError, RecursionError):  # no text that could be stored: a number too long, half a surrogate pair
        text = json.dumps(f"a {type(value).__name__} that cannot be shown")
    return text if len(text) <= MOST else text[: MOST - 1] + "…"


def as_sent_text(text: str) -> str:
    """A text without what may be a secret."""
    return _LONG.sub(lambda found: found[0] if _HARMLESS.fullmatch(found[0]) else MASK, text)


def _masked(value: object, depth: int) -> object:
    if depth == 0:
        return "..."
    if isinstance(value, str):
        return as_sent_text(value[: 2 * MOST])
    if isinstance(value, Mapping):
        return {
            as_sent_text(str(name)): MASK if _SECRET_NAME.search(str(name)) else _masked(each, depth - 1)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(each, depth - 1) for each in value[:MOST]]
    return value
