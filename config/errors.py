"""The one error of this package: what the person who starts a process has to mend."""

from collections.abc import Sequence


class ConfigurationError(Exception):
    """The environment cannot be used as it is. `faults` holds one sentence per fault; all are found at once."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))
