"""Options that several commands share, written down once."""

import functools
import inspect
from collections.abc import Callable
from typing import Any


def expanding(name: str, build: Callable[..., object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose parameter `name` is made by `build`: Typer sees the parameters of `build` in its place."""
    parts = inspect.signature(build).parameters

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def expanded(**values: Any) -> None:
            given = {part: values.pop(part) for part in parts}
            command(**values, **{name: build(**given)})

        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command).parameters.values():
            parameters += parts.values() if parameter.name == name else [parameter]
        keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        expanded.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]  # what Typer reads first
        expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in keywords}
        return expanded

    return decorate
