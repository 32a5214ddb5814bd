"""Texts of strangers, made safe to show: what a terminal would obey stands there as an escape. Pure.

Such texts are onOffice's, a producer's, a file's or its name's. Everything that commands, logs and files show of them
goes through one of these three.
"""

import json
import re
from typing import Any

# what moves the cursor or changes colours (C0, C1), the direction of a line, or begins a new one; and halves of pairs
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NOT_ASCII = re.compile(r"[^\x20-\x7e\n]")


def visible(text: str, keep: str = "") -> str:
    """For a terminal, on one line: what cannot be printed is an escape, as Python writes it. `keep`: left as it is."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else repr(each)[1:-1] for each in text)


def tame(text: str) -> str:
    """For a file that may be shown in a terminal: as it is, but for what a terminal obeys."""
    return _OBEYED.sub(lambda found: repr(found[0])[1:-1], text)


def json_text(document: Any, indent: int | None = None) -> str:
    """JSON with umlauts as they are, and everything that cannot be printed as its escape: nothing is lost."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    return _NOT_ASCII.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)
