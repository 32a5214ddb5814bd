"""A night's report, as a document and as text: how it ended, its counts beside earlier ones, what was done and why."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from config.visible import visible
from worker.unlinking.night import Drift, Night, drift

# what each count says, in the order in which they are told
COUNTS = {
    "scope": "records looked at",
    "found": "links found",
    "wanted": "rows of the list of what may stay",
    "kept": "links that may stay",
    "unseen": "links left: the record that decides cannot be seen",
    "planned": "links to be unlinked",
    "changed": "links of the plan that may stay by now, or are gone",
    "unlinked": "unlinked",
    "already_absent": "already absent",
    "failed": "failed",
    "cancelled": "not sent: the run was cancelled",
    "resurrected": "links there again that were unlinked before",
    "journalled": "deletions since the last good night",
    "still_gone": "of them still gone",
    "unread": "links that could not be looked at",
    "verified": "deletions nobody could vouch for, seen to be gone now",
    "lost": "jobs past their deadline that nobody worked on",
    "settled": "of them brought back to be settled",
    "letters": "dead letters looked at",
    "closed": "of them closed: the link is gone",
}


ALWAYS = ("found", "planned", "unlinked", "failed", "journalled", "still_gone", "resurrected", "lost")


@dataclass(frozen=True, slots=True)
class Report:
    """A night with what is needed to tell of it."""

    night: Night
    earlier: Sequence[Night]  # of the same policy, the latest first

    @property
    def drift(self) -> dict[str, Drift]:
        """Its counts in the order they are told, each beside earlier ones."""
        found = drift(self.night, self.earlier)
        return {name: found[name] for name in (*COUNTS, *found) if name in found}

    @property
    def told(self) -> dict[str, Drift]:
        """Those that there is something to say of: what is none, and was none, only lengthens the list."""
        return {name: each for name, each in self.drift.items() if each.now or each.last or name in ALWAYS}

    def document(self) -> dict[str, object]:
        """The night as JSON, with its drift."""
        return self.night.document() | {"drift": {name: asdict(each) for name, each in self.drift.items()}}


def approval_command(night: Night) -> str:
    """What approves of a night's plan as it stands."""
    options = "".join(f" {each['option']} {each['value']}" for each in night.over)
    return f"unlinker reconcile apply {night.id}{options} --because TEXT"


def moment(at: float | None, zone: str) -> str:
    """A time for people, by the clock of a zone."""
    return "" if at is None else datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S %Z")


def facts(night: Night) -> Iterator[tuple[str, str]]:
    """What there is to say besides counts and story."""
    zone = night.zone
    yield "night", night.id
    yield "slot", moment(night.slot, zone)
    yield "began", moment(night.started_at, zone)
    yield "ended", moment(night.ended_at, zone)
    yield "account", night.account
    yield "relation type", night.relationtype
    yield "run", night.run or ""
    yield "approved", f"{night.approved_by}: {night.approved_because}" if night.approved_by else ""
    yield "waits until", moment(night.expires_at, zone) if night.is_open else ""
    yield "missed before", f"{night.missed} slots" if night.missed else ""


def against(each: Drift) -> str:
    """A count beside earlier ones."""
    if each.last is None:
        return "first night"
    difference = each.now - each.last
    change = f"{difference:+,} since the last night" if difference else "as the last night"
    return f"{change}; {each.mean:,.10g} on average"


def text(report: Report) -> str:
    """For a terminal, a mail, a log."""
    night = report.night
    lines = [f"{night.policy}: {night.status}" + (f": {night.why}" if night.why else ""), ""]
    lines += [f"  {name:<14} {value}" for name, value in facts(night) if value]
    if report.told:
        lines.append("")
    lines += [f"  {each.now:>9,}  {COUNTS.get(name, name)} ({against(each)})" for name, each in report.told.items()]
    lines += [f"  {count:>9,}  failed for {reason}" for reason, count in night.failures.items()]
    if night.over:
        lines += ["", "over its brakes:"]
        lines += [f"  {each['why']}; allow it with {each['option']} {each['value']}" for each in night.over]
    if night.resurrected:
        more = night.counts.get("resurrected", 0) - len(night.resurrected)
        lines += ["", "there again:"]
        lines += [f"  {kind} {parent} -> {child}" for kind, parent, child in night.resurrected]
        lines += [f"  and {more} more"] if more > 0 else []
    lines += ["", "what was done:"]
    lines += [f"  {moment(each.at, night.zone)}  {each.text}" for each in night.story]
    return "\n".join(map(visible, lines)) + "\n"
