"""What is wrong with a policies file: every fault with the line and the key where it is mended."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gateway.reconciling.toml_lines import Key, line_of
from gateway.reconciling.toml_lines import Path as KeyPath

Table = TypeVar("Table", bound=BaseModel)
UNKNOWN_KEY, MISSING, TYPE_OF_TABLE = "extra_forbidden", "missing", ("model_type", "dict_type")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    key: str  # with dots; "" for the whole file
    text: str
    line: int | None = None  # from 1

    def sentence(self, path: Path) -> str:
        """For people."""
        place = f"{path}:{self.line}" if self.line else str(path)
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class PolicyFileError(Exception):
    """The file cannot be used as it is."""

    def __init__(self, path: Path, faults: list[Fault]) -> None:
        self.path = path
        self.faults = sorted(faults, key=lambda fault: (fault.line or 0, fault.key))
        super().__init__("\n".join(fault.sentence(path) for fault in self.faults))


@dataclass(slots=True)
class Faults:
    """Where the faults of one file gather."""

    lines: Mapping[KeyPath, int]
    found: list[Fault] = field(default_factory=list)

    def add(self, path: KeyPath, text: str) -> None:
        """One more. `path`: of the key that has to be changed."""
        self.found.append(Fault(".".join(map(str, path)), text, line_of(self.lines, path)))

    def table(self, model: type[Table], raw: object, path: KeyPath) -> Table | None:
        """`raw` as a table; None when it has faults, which are added."""
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            for each in error.errors():
                self._add_from_model(model, path, each["loc"], (each["type"], each["msg"]))
            return None

    def _add_from_model(
        self, model: type[BaseModel], path: KeyPath, where: tuple[Key, ...], what: tuple[str, str]
    ) -> None:
        kind, message = what
        place, entry = where, ""
        for depth, each in enumerate(where):
            if isinstance(each, int):  # within a list, which stands on one line as far as we know
                place, entry = where[:depth], f"entry {each + 1}: "
                break
        if kind == UNKNOWN_KEY:
            near = difflib.get_close_matches(str(where[-1]), _names(model, where[:-1]), n=1)
            text = "is no key here" + (f"; did you mean {near[0]}?" if near else "")
        elif kind == MISSING:
            text = "is missing"
        elif kind in TYPE_OF_TABLE:
            text = "must be a table"
        else:
            text = message.replace("Input should be", "must be").replace("Value error, ", "")
        self.add(path + place, entry + text)


def _names(model: type[BaseModel], where: tuple[Key, ...]) -> list[str]:
    """The keys of the table at a place within a model's table."""
    for name in where:
        annotation = model.model_fields[str(name)].annotation
        inner = [each for each in getattr(annotation, "__args__", ()) if isinstance(each, type)]
        found = next((each for each in inner if issubclass(each, BaseModel)), None)
        if found is None:
            return []
        model = found
    return list(model.model_fields)
