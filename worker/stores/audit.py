"""What operators did: who, when, what to, how many, and why. One stream that only grows."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis

from worker.stores import keys

KEPT = 100_000  # acts; some 30 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing an operator did, or began to do."""

    action: str  # the command: replay, discard, halt, resume, cancel, undo, ...
    by: str
    because: str = ""
    wanted: Mapping[str, object] = field(default_factory=dict)  # the filter, or what was named
    count: int | None = None  # how many it touched; None while it runs
    at: float = 0.0  # Unix seconds on the server's clock; set when it is read

    def document(self) -> dict[str, object]:
        """As users see it."""
        return {
            "at": self.at,
            "action": self.action,
            "by": self.by,
            "because": self.because,
            "filter": dict(self.wanted),
            "count": self.count,
        }


class Audit:
    """Writes and reads. Raises redis.exceptions.RedisError."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def note(self, act: Act) -> None:
        """Write one down."""
        fields = {"action": act.action, "by": act.by, "because": act.because, "filter": json.dumps(dict(act.wanted))}
        if act.count is not None:
            fields["count"] = str(act.count)
        self._client.xadd(keys.AUDIT, fields, maxlen=KEPT, approximate=True)  # type: ignore[arg-type]  # its type is invariant

    def acts(self, since: float | None = None, last: int = KEPT) -> Iterator[Act]:
        """The last so many since a moment (Unix seconds), oldest first."""
        start = "-" if since is None else str(int(since * 1000))
        stored: Any = self._client.xrevrange(keys.AUDIT, "+", start, count=last)
        for entry_id, fields in reversed(stored):
            named = {name.decode(): value.decode() for name, value in fields.items()}
            yield Act(
                action=named["action"],
                by=named["by"],
                because=named["because"],
                wanted=json.loads(named["filter"]),
                count=int(named["count"]) if "count" in named else None,
                at=int(entry_id.split(b"-")[0]) / 1000,
            )
