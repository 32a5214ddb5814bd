"""What can be wrong with a list."""


class SourceUnusable(Exception):
    """Why one source cannot be used: it cannot be reached, is cut short, or is not what it should be."""


class SourceFailed(Exception):
    """A list that cannot be had. The text names the policy's key and says why, without any secret."""
