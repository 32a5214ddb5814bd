"""Nights: what became of each slot of a policy. One process at a time looks after a policy's nights, by a lease.

For processes without a loop. Raises redis.exceptions.RedisError when the server cannot be reached.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis

from worker.stores import keys
from worker.stores.scripts import Call, Word, run_now
from worker.unlinking.night import Night
from worker.unlinking.slots import Timing

KEPT = 90  # nights of each policy
LEASE = 60.0  # seconds; renewed while somebody is at work


class NightLost(Exception):
    """Somebody else looks after these nights now, since we were silent for too long. Nothing may be done any more."""


class Opened(StrEnum):
    """What became of beginning a night."""

    OPENED = "opened"
    EXISTS = "exists"  # the slot has its night already
    BUSY = "busy"  # another night of the policy is open
    LOST = "lost"  # the lease is another's


@dataclass(frozen=True, slots=True)
class Handled:
    """The last slot of a schedule that was dealt with, or when the schedule was first seen."""

    schedule: str  # a new schedule begins anew: what it would have wanted earlier is not caught up
    slot: float  # Unix seconds


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """The plan of a night that waits for approval."""

    content: bytes
    seconds: float  # how long it is kept


def schedule_of(timing: Timing) -> str:
    """What tells schedules apart."""
    return f"{timing.cron} {timing.zone}"


class Nights:
    """All nights. `clock`: Unix seconds; the server's if left out, since workers' may differ."""

    def __init__(self, client: "redis.Redis", clock: Callable[[], float] | None = None) -> None:
        self._client = client
        self._clock = clock

    def now(self) -> float:
        """Unix seconds."""
        if self._clock is not None:
            return self._clock()
        seconds, micros = self._client.time()
        return float(seconds + micros / 1e6)

    def take(self, policy: str, token: str, seconds: float = LEASE) -> bool:
        """Whether we look after this policy's nights from here on."""
        return self._lease(policy, token, seconds, free=True)

    def renew(self, policy: str, token: str, seconds: float = LEASE) -> bool:
        """Whether we still do."""
        return self._lease(policy, token, seconds, free=False)

    def give_back(self, policy: str, token: str) -> None:
        """We no longer do."""
        self._lease(policy, token, 0, free=False)

    def _lease(self, policy: str, token: str, seconds: float, *, free: bool) -> bool:
        arguments: list[Word] = [token, int(seconds * 1000), int(free)]
        return bool(run_now(self._client, Call("night_lease", [keys.night_lease(policy)], arguments)))

    def begin(self, token: str, night: Night, handled: Handled | None = None) -> Opened:
        """Write a night down for the first time. `handled`: the schedule asked for it."""
        names = [
            keys.night(night.id),
            keys.nights_of(night.policy),
            keys.NIGHTS_OPEN,
            keys.NIGHTS_HANDLED,
            keys.NIGHTS_POLICIES,
            keys.night_lease(night.policy),
        ]
        dealt_with = "" if handled is None else json.dumps([handled.schedule, handled.slot])
        arguments: list[Word] = [token, night.policy, night.id, _packed(night), int(night.slot * 1000)]
        arguments += [int(night.is_open), dealt_with, KEPT, keys.night("")]
        return Opened(run_now(self._client, Call("night_open", names, arguments)).decode())

    def save(self, token: str, night: Night, plan: KeptPlan | None = None) -> None:
        """Write down what has become of it, and the plan that waits with it. Raises NightLost."""
        names = [keys.night(night.id), keys.NIGHTS_OPEN, keys.night_lease(night.policy), keys.night_plan(night.id)]
        arguments: list[Word] = [token, night.policy, night.id, _packed(night), int(night.is_open)]
        if plan is not None:
            arguments += [max(1, int(plan.seconds * 1000)), plan.content]
        if not run_now(self._client, Call("night_save", names, arguments)):
            raise NightLost(f"night {night.id} is looked after by somebody else")

    def get(self, night: str) -> Night | None:
        """One night, or None."""
        stored: Any = self._client.get(keys.night(night))
        return None if stored is None else _unpacked(stored)

    def open_night(self, policy: str) -> Night | None:
        """The night of a policy that is not over."""
        found: Any = self._client.hget(keys.NIGHTS_OPEN, policy)
        return None if found is None else self.get(found.decode())

    def open_nights(self) -> list[Night]:
        """All that are not over."""
        stored: Any = self._client.hvals(keys.NIGHTS_OPEN)
        return [night for each in stored if (night := self.get(each.decode())) is not None]

    def of_policy(self, policy: str, count: int = KEPT) -> list[Night]:
        """A policy's nights, the latest first."""
        ids: Any = self._client.zrevrange(keys.nights_of(policy), 0, count - 1)
        stored: Any = self._client.mget([keys.night(each.decode()) for each in ids]) if ids else []
        return [_unpacked(each) for each in stored if each is not None]

    def policies(self) -> list[str]:
        """Every policy that has nights, truth passes too."""
        stored: Any = self._client.smembers(keys.NIGHTS_POLICIES)
        return sorted(each.decode() for each in stored)

    def handled(self, policy: str) -> Handled | None:
        """How far its slots were dealt with."""
        stored: Any = self._client.hget(keys.NIGHTS_HANDLED, policy)
        return None if stored is None else Handled(*json.loads(stored))

    def note_handled(self, policy: str, handled: Handled) -> None:
        """A schedule was seen for the first time: slots count from here on."""
        self._client.hset(keys.NIGHTS_HANDLED, policy, json.dumps([handled.schedule, handled.slot]))

    def plan(self, night: str) -> bytes | None:
        """The plan of a night that waits."""
        stored: Any = self._client.get(keys.night_plan(night))
        return None if stored is None else bytes(stored)

    def drop_plan(self, night: str) -> None:
        """It is no longer needed."""
        self._client.delete(keys.night_plan(night))

    def first_in(self, name: str, seconds: float) -> bool:
        """Whether nobody asked this within the last `seconds`: for what shall not be told again and again."""
        return bool(self._client.set(keys.told(name), 1, nx=True, px=int(seconds * 1000)))


def _packed(night: Night) -> str:
    return json.dumps(night.document(), separators=(",", ":"))


def _unpacked(stored: bytes) -> Night:
    return Night.from_document(json.loads(stored))
