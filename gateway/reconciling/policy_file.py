"""Reading a policies file: all its faults at once."""

import tomllib
from pathlib import Path
from typing import Any

from gateway.reconciling.building import build
from gateway.reconciling.faults import Fault, Faults, PolicyFileError
from gateway.reconciling.toml_lines import key_lines
from worker.unlinking.policies import Policies


def load_policies(path: Path) -> Policies:
    """The policies of a file. Raises PolicyFileError."""
    policies, faults = examine_policies(path)
    if faults.found:
        raise PolicyFileError(path, faults.found)
    return policies


def examine_policies(path: Path) -> tuple[Policies, Faults]:
    """Those policies of a file that can be read, and what is wrong with the rest. Raises PolicyFileError: no TOML."""
    document, faults = _read(path)
    return build(document, faults, path.resolve().parent), faults


def _read(path: Path) -> tuple[dict[str, Any], Faults]:
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        return tomllib.loads(text), Faults(key_lines(text))
    except OSError as error:
        raise PolicyFileError(path, [Fault("", f"cannot be read: {error.strerror or error}")]) from None
    except UnicodeDecodeError as error:
        raise PolicyFileError(path, [Fault("", f"is not UTF-8: {error.reason} at byte {error.start}")]) from None
    except tomllib.TOMLDecodeError as error:
        raise PolicyFileError(path, [_syntax_fault(str(error))]) from None


def _syntax_fault(message: str) -> Fault:
    """tomllib tells the place in its text: `Expected '=' after a key in a key/value pair (at line 3, column 5)`."""
    text, _, place = message.rpartition(" (at ")
    line = place.removeprefix("line ").partition(",")[0]
    return Fault("", f"no TOML: {message}", int(line) if text and line.isdigit() else None)
