"""The address of a Redis or Valkey: read, checked, and written as all clients here understand it.

redis-py, kombu and Celery's result backend read the same URL, each with its own idea of it. Faults name the part and
the cure, and never the password.
"""

import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

EXAMPLE = "for example redis://user:password@127.0.0.1:6379/0"
SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
QUOTED = "write @ as %40, # as %23, / as %2F, ? as %3F, [ as %5B, ] as %5D and % as %25 in it"
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
# Celery's spelling, and redis-py's own
CERT_REQS = {"none": "none", "optional": "optional", "required": "required"} | {
    f"cert_{word}": word for word in ("none", "optional", "required")
}
_DATABASE = re.compile(r"/?|/[0-9]{1,5}")


def read_redis_url(url: str) -> str:
    """The URL as redis-py, kombu and Celery understand it. Raises ValueError with one sentence."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in SCHEMES:
        raise ValueError(f"must start with redis://, rediss://, valkey:// or valkeys://, {EXAMPLE}")
    if ";" in rest and "://" in rest:
        raise ValueError("names several servers; name one (a failover is done by its DNS name or by a proxy)")
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("holds a space or an invisible character; remove it, or write it as %20 in a password")
    parts = _split(rest)
    secure = SCHEMES[scheme.lower()] == "rediss"
    host, port = _host(parts), _port(parts)
    user, database, options = _user(parts), _database(parts), _options(parts, secure=secure)
    address = f"{SCHEMES[scheme.lower()]}://{user}{host}:{port}/{database}"
    return f"{address}?{options}" if options else address


def _split(rest: str) -> SplitResult:
    """What follows the scheme. An @ belongs to the password up to the last one before the host."""
    try:
        parts = urlsplit(f"//{rest}")
    except ValueError:  # brackets
        raise ValueError(f"its host cannot be read: an IPv6 address stands in [ ]; in a password, {QUOTED}") from None
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError(f"its password has a character that must be quoted: {QUOTED}")
    if parts.fragment or rest.endswith("#"):
        raise ValueError("has a # that means nothing here; remove it, or write it as %23 in a password")
    return parts


def _user(parts: SplitResult) -> str:
    """`user:password@`, quoted once, however it came."""
    userinfo, mark, _ = parts.netloc.rpartition("@")
    if not mark:
        return ""
    user, colon, password = userinfo.partition(":")
    if not colon and user:
        raise ValueError("has a user without a password; write :password@ for a password without a user")
    return f"{quote(unquote(user), safe='')}:{quote(unquote(password), safe='')}@"


def _host(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")[2]
    name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    if name in ("", "[]"):
        raise ValueError(f"names no host, {EXAMPLE}")
    return name


def _port(parts: SplitResult) -> int:
    host = parts.netloc.rpartition("@")[2]
    colon, text = host.rpartition("]")[2].partition(":")[1:]
    if not colon:
        return 6379
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        named = f"its port {text} is none" if text.isdigit() else "what follows the host's : is no port"
        raise ValueError(f"{named}; a port is a number from 1 to 65535, {EXAMPLE}")
    return int(text)


def _database(parts: SplitResult) -> int:
    if not _DATABASE.fullmatch(parts.path):
        raise ValueError("what follows the host's / is no number of a database, as in redis://127.0.0.1:6379/0")
    return int(parts.path.removeprefix("/") or 0)


def _options(parts: SplitResult, *, secure: bool) -> str:
    found: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name == "ssl_cert_reqs":
            if value.lower() not in CERT_REQS:
                raise ValueError("its ssl_cert_reqs must be required, optional or none")
            found[name] = CERT_REQS[value.lower()]
        elif name == "ssl_check_hostname":
            found[name] = str(value.lower() not in ("false", "0", "no")).lower()
        elif name in TLS_FILES:
            found[name] = value
        else:
            known = ", ".join(("ssl_cert_reqs", "ssl_check_hostname", *TLS_FILES))
            raise ValueError(f"its option {name!r} is none that is known here; there are {known}; remove it")
    if found and not secure:
        raise ValueError(f"its option {next(iter(found))!r} needs rediss:// (or valkeys://)")
    if secure:
        found.setdefault("ssl_cert_reqs", "required")  # Celery's result backend wants it said
        if found["ssl_cert_reqs"] == "none":
            found["ssl_check_hostname"] = "false"
    return urlencode(found, safe="/")
