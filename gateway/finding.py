"""What one check of `doctor` found, and what to do about it."""

from dataclasses import asdict, dataclass

ALLOWED_SKEW = 120.0  # seconds, API facts 1.2
WORRYING_SKEW = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    fine: bool
    text: str
    advice: str = ""
    unreachable: bool = False

    def document(self) -> dict[str, object]:
        """For --json."""
        return asdict(self)


def clock_finding(name: str, skew: float) -> Finding:
    """How far this machine's clock is ahead of another, in seconds."""
    text = f"{skew:+.1f} s"
    if abs(skew) < WORRYING_SKEW:
        return Finding(name, True, text)
    advice = "set this machine's clock (NTP)"
    if abs(skew) >= ALLOWED_SKEW:
        advice += "; until then its workers sign by onOffice's clock, one request later"
    return Finding(name, False, text, advice)
