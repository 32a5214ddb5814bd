"""The Lua scripts of this package: loaded from their files, run alone or many in one round trip.

A script whose first line is `-- with NAME, NAME` has the functions of those files too.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import redis.asyncio
from redis.exceptions import NoScriptError

Word = str | bytes | int | float
WITH = "-- with "
AsyncRedis = redis.asyncio.Redis


@dataclass(frozen=True, slots=True)
class Call:
    """One script with its keys and arguments."""

    script: str  # file name without .lua
    keys: Sequence[str]
    arguments: Sequence[Word]


def _read(script: str) -> str:
    return (resources.files(__package__) / "lua" / f"{script}.lua").read_text(encoding="utf-8")


@cache
def _source(script: str) -> tuple[str, str]:
    text = _read(script)
    first, _, _ = text.partition("\n")
    if first.startswith(WITH):
        text = "\n".join([*(_read(part) for part in first.removeprefix(WITH).split(", ")), text])
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _evalsha(call: Call) -> tuple[Any, ...]:
    return (_source(call.script)[1], len(call.keys), *call.keys, *call.arguments)


async def run(client: AsyncRedis, call: Call, first: Call | None = None) -> Any:
    """The script's reply. `first`: what runs instead on a server that has restarted and so does not know the script.

    Raises redis.exceptions.RedisError.
    """
    try:
        return await client.evalsha(*_evalsha(call))
    except NoScriptError:
        call = first or call
        return await client.eval(_source(call.script)[0], len(call.keys), *call.keys, *call.arguments)


def run_now(client: "redis.Redis", call: Call) -> Any:
    """As `run`, for processes without a loop."""
    try:
        return client.evalsha(*_evalsha(call))
    except NoScriptError:
        return client.eval(_source(call.script)[0], len(call.keys), *call.keys, *call.arguments)
