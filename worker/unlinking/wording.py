"""Numbers of things in sentences."""


def links(count: int) -> str:
    """`1 link`, `18,000 links`."""
    return f"{count:,} link" + ("" if count == 1 else "s")
