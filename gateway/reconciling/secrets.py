"""Secrets that a policy names: looked up when they are needed, and shown nowhere."""

from collections.abc import Mapping
from pathlib import Path

from gateway.reconciling.source_errors import SourceUnusable
from worker.unlinking.policies import Reference


def resolved(value: str | Reference, environ: Mapping[str, str]) -> str:
    """The value itself, or what it refers to. Raises SourceUnusable that says what is not set, never what is."""
    if isinstance(value, str):
        return value
    if value.env:
        found = environ.get(value.env, "")
        if not found:
            raise SourceUnusable(f"environment variable {value.env} is not set")
        return found
    try:
        found = Path(value.file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceUnusable(f"{value.file} cannot be read: {getattr(error, 'strerror', None) or 'no UTF-8'}") from None
    if not found:
        raise SourceUnusable(f"{value.file} is empty")
    return found
