"""The stamps of a message: what `revoke_by_stamped_headers` names jobs by. Pure."""

from collections.abc import Mapping
from typing import Any

from worker.stores.cancelling import stamp


def stamps_of(headers: Mapping[str, Any]) -> list[str]:
    """Every stamp as `stamp` writes it; what is none is left out."""
    names, stamps = headers.get("stamped_headers"), headers.get("stamps")
    if not isinstance(names, list) or not isinstance(stamps, Mapping):
        return []
    values = [(name, stamps[name]) for name in names if isinstance(name, str) and name in stamps]
    return [stamp(name, each) for name, value in values for each in (value if isinstance(value, list) else [value])]
