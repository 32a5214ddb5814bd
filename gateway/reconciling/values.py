"""Single values of a policies file: each function returns the value, or raises ValueError that says what it must be."""

import re
from typing import Any
from urllib.parse import urlsplit

from worker.onoffice.pages import LIST_OPERATORS, OPERATORS
from worker.unlinking.job import MAX_ID

_SECRET_NAME = re.compile(r"auth|key|token|secret|cookie|pass|pwd", re.IGNORECASE)
_ELSEWHERE = "put it into an environment variable or a file of its own, and name that with {0}_env or {0}_file"


def dsn(value: str) -> str:
    """A database's URL without a secret in it."""
    parts = urlsplit(value)
    if "://" not in value:
        raise ValueError("must be a URL like sqlite:////srv/crm.db or postgresql+psycopg://host/crm")
    if parts.password or _SECRET_NAME.search(parts.query):
        raise ValueError(f"has a password in it; {_ELSEWHERE.format('dsn')}")
    return value


def url(value: str) -> str:
    """A web address without a secret in it."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must start with https:// and name a host")
    if parts.password or _SECRET_NAME.search(parts.query):
        raise ValueError(f"has a secret in it; {_ELSEWHERE.format('url')}")
    return value


def plain_headers(value: dict[str, str]) -> dict[str, str]:
    """Headers that are no secrets."""
    secret = [name for name in value if _SECRET_NAME.search(name)]
    if secret:
        raise ValueError(f"{', '.join(secret)} looks like a secret; {_ELSEWHERE.format('headers')}")
    return value


def id_row(value: object) -> tuple[int, ...]:
    """A record id, or [parentid, childid]."""
    row = value if isinstance(value, list) else [value]
    if not row or len(row) > 2 or not all(_is_record_id(each) for each in row):
        raise ValueError("must be a positive record id, or [parentid, childid]")
    return tuple(row)


def _is_record_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_ID


def condition(value: object) -> tuple[str, str, Any]:
    """[field, operator, value], as the API's filter has them."""
    if not isinstance(value, list) or len(value) != 3 or not isinstance(value[0], str) or not value[0]:
        raise ValueError("must be [field, operator, value], like ['status', '=', '1']")
    name, operator, wanted = value
    if operator not in OPERATORS:
        raise ValueError(f"{operator!r} is no operator; there are {', '.join(OPERATORS)}")
    many = operator in LIST_OPERATORS
    values = wanted if isinstance(wanted, list) else [wanted]
    if isinstance(wanted, list) is not many or not values or not all(_is_plain(each) for each in values):
        raise ValueError(f"{operator!r} takes {'a list of texts or numbers' if many else 'one text or number'}")
    return name, operator, tuple(values) if many else wanted


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
