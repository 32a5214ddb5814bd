"""Who sits at the keyboard."""

import getpass
import os
import socket
import sys

import typer

from config.visible import visible
from gateway.exits import CommandError, Exit


def name() -> str:
    """User and machine, for the audit."""
    try:
        user = getpass.getuser()
    except OSError:
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def ask(question: str) -> None:
    """Go on only if the answer is yes. Raises CommandError where nobody can answer, and when the answer is no."""
    if not sys.stdin.isatty():
        raise CommandError(Exit.BAD_INPUT, f"{question} Nobody can answer here: say --yes")
    if not typer.confirm(visible(question), err=True):
        raise CommandError(Exit.BRAKE, "nothing was done")
