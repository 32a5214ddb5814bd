"""Halts: accounts that must send nothing now. One hash, looked at by the limiter and before every request."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from worker.stores import keys
from worker.stores.scripts import AsyncRedis

ALL = "*"  # the name that halts every account


class HaltedBy(StrEnum):
    """Who halted an account, and so who may release it."""

    OPERATOR = "operator"  # stays until an operator resumes it
    CREDENTIALS = "credentials"  # the API refused the account; probed now and then
    OUTAGE = "outage"  # the API is down; probed often


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Why an account sends nothing."""

    by: HaltedBy
    why: str
    since: float  # Unix seconds on the clock of who halted it; for display only
    code: int | None = None


def encode(halt: Halt) -> str:
    """The value in the hash."""
    return json.dumps(asdict(halt))


def decode(value: bytes | str) -> Halt:
    """From the value in the hash."""
    fields = json.loads(value)
    return Halt(by=HaltedBy(fields["by"]), why=fields["why"], since=fields["since"], code=fields.get("code"))


class Halts:
    """The halts, for workers."""

    def __init__(self, client: AsyncRedis) -> None:
        self._client = client

    async def halt(self, account: str, halt: Halt) -> bool:
        """Halt an account; an existing halt stays as it is. True when this call did it."""
        return bool(await self._client.hsetnx(keys.HALTS, account, encode(halt)))

    async def release(self, account: str, by: HaltedBy) -> None:
        """Lift a halt of this kind."""
        value = await self._client.hget(keys.HALTS, account)
        if value is not None and decode(value).by is by:
            await self._client.hdel(keys.HALTS, account)

    async def all(self) -> dict[str, Halt]:
        """Every halt by account, `*` for all accounts."""
        stored: Any = await self._client.hgetall(keys.HALTS)
        return {name.decode(): decode(value) for name, value in stored.items()}

    async def may_probe(self, account: str, seconds: float) -> bool:
        """Whether this worker is the one to probe the account; nobody else is for `seconds`."""
        name, ms = keys.probe(account), int(seconds * 1000)
        if await self._client.set(name, 1, nx=True, px=ms):
            return True
        if await self._client.pttl(name) > ms:  # Redis' clock went back; the probe is over
            await self._client.pexpire(name, ms)
        return False
