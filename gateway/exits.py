"""Exit codes of the contract, and the error that carries one to the end of the process."""

from enum import IntEnum


class Exit(IntEnum):
    """What a shell script can go by."""

    DONE = 0
    NOT_ALL_SUCCEEDED = 1  # ended, but some jobs did not succeed
    BAD_INPUT = 2
    UNREACHABLE = 3  # a service cannot be reached
    BRAKE = 4  # stopped by a brake


class CommandError(Exception):
    """Ends a command with one line on stderr and an exit code."""

    def __init__(self, code: Exit, message: str) -> None:
        self.code = code
        super().__init__(message)
