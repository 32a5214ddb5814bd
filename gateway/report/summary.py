"""The summary of a report: what there is to say of a run beside its rows. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from gateway.following import Capacity
from worker.stores.runs import Pace, Run
from worker.unlinking.attribution import By
from worker.unlinking.outcome import Kind
from worker.unlinking.report import Open
from worker.unlinking.report_counts import Counts
from worker.unlinking.runs import RunState

MOST_POINTS = 300  # of the progress that are kept; a picture shows no more


@dataclass(frozen=True, slots=True)
class Point:
    """How far the run was."""

    seconds: float  # since its start
    done: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One report's. Times are Unix seconds."""

    run: Run
    made_at: float
    counts: Counts
    pace: Sequence[Pace]  # oldest first
    capacity: Capacity | None  # None: the account is not set here
    plan: str | None  # path of the plan's file that was read
    missing: str = ""  # what the report lacks

    @property
    def began_at(self) -> float | None:
        """When the first row could be sent; None for a run that has not begun."""
        return _moment(self.run, "started_at")

    @property
    def until(self) -> float:
        """When it ended; for one that is held up, when it last got on."""
        ended = _moment(self.run, "ended_at")
        if ended is not None:
            return ended
        if self.run.state is RunState.RUNNING:
            return self.made_at
        return max([self.began_at or self.made_at, *(each.at for each in self.pace)])

    @property
    def seconds(self) -> float:
        """How long it took so far, pauses included."""
        return 0.0 if self.began_at is None else max(0.0, self.until - self.began_at)

    @property
    def processed(self) -> int:
        """Rows that the workers got through; those that were cancelled are not among them."""
        return self.run.done - self.run.counts[Kind.CANCELLED]

    @property
    def rate(self) -> float | None:
        """Rows a second on average; None where nothing can be said."""
        return self.processed / self.seconds if self.seconds > 0 else None

    @property
    def share_of_limit(self) -> float | None:
        """Of what the account's limit allows, as it is set here."""
        if self.capacity is None or self.rate is None:
            return None
        return min(1.0, self.rate / self.capacity.rows_per_second)

    @property
    def lost(self) -> int:
        """Rows that have ended, and of which nobody knows how any more."""
        without = self.counts.open[Open.NOT_SENT] + self.counts.open[Open.SENT]
        return max(0, self.run.done - (self.run.layout.rows - without))

    @property
    def succeeded(self) -> bool:
        """Whether every row came true."""
        return self.counts.succeeded and not self.lost

    @property
    def points(self) -> list[Point]:
        """The progress, from the start to now, thinned out."""
        if self.began_at is None:
            return []
        points, seconds = [Point(0.0, 0, 0)], 0.0
        for each in self.pace[:: -(-len(self.pace) // MOST_POINTS) or 1]:
            seconds = min(self.seconds, max(seconds, each.at - self.began_at))  # a server's clock may be set back
            points.append(Point(seconds, min(each.done, self.processed), each.failed))
        return [*points, Point(self.seconds, self.processed, self.run.failed)]

    @property
    def notes(self) -> list[str]:
        """What whoever reads the report must know."""
        return [note for note in self._notes() if note]

    @property
    def told_state(self) -> str:
        """Where the run is, and what brought it there."""
        state, why, who = self.run.state, self.run.fields.get("why", ""), self.run.fields.get("steered_by", "")
        reason = f": {why}" if why else ""
        if state is RunState.STOPPED:
            return f"stopped by a brake{reason}"
        if state in (RunState.PAUSED, RunState.CANCELLED):
            return f"{state} by {who}{reason}"
        return str(state)

    def _notes(self) -> Iterator[str]:
        yield _STATE_NOTES.get(self.run.state, "").format(run=self.run.id) if not self.run.is_over else ""
        yield self.missing
        if self.lost:
            yield f"{rows(self.lost)} ended, but how is no longer kept; they are among the unprocessed ones"
        if self.counts.unproven:
            yield (
                f"{rows(self.counts.unproven)} ended well, but not proven (proven: no): no such link was seen, "
                "and this account has not been seen to see links of that type; or a read went on showing it"
            )
        if self.counts.seen_when_planned:
            yield (
                f"{rows(self.counts.seen_when_planned)} had been seen when they were planned, and were absent when "
                "their turn came (seen_when_planned: yes)"
            )
        if self.counts.by[By.UNKNOWN]:
            yield (
                f"of {rows(self.counts.by[By.UNKNOWN])} nobody knows who removed the link, if it is gone (by: unknown)"
                "; an undo lists them apart"
            )
        if self.counts.mended:
            yield f"{rows(self.counts.mended)} failed in the run, and a replay of their dead letters did them since"

    def document(self) -> dict[str, object]:
        """As users see it; always the same keys. Times are Unix seconds."""
        fields, run = self.run.fields, self.run.document()
        named = ("run", "state", "over", "why", "account", "action", "by", "because", "source")
        times = ("started_at", "ended_at", "steered_at", "steered_by")
        brakes = {
            "canary": int(fields["canary"]),
            "canary_passed": "canary_passed" in fields,
            "max_failure_rate": run["max_failure_rate"],
            "stopped_at": _moment(self.run, "stopped_at"),
        }
        return {
            **{name: run[name] for name in named},
            "made_at": self.made_at,
            **{name: run[name] for name in times},
            "seconds": round(self.seconds, 3),
            "rows_per_second": None if self.rate is None else round(self.rate, 3),
            "share_of_limit": None if self.share_of_limit is None else round(self.share_of_limit, 4),
            "plan": self.plan,
            "planned": {"sent": self.run.layout.rows, "left_out": self.counts.rows - self.run.layout.rows},
            **self.counts.document(),
            "lost": self.lost,
            "succeeded": self.succeeded,
            "brakes": brakes,
            "notes": self.notes,
            "progress": [[round(each.seconds, 3), each.done, each.failed] for each in self.points],
        }


_STATE_NOTES = {
    RunState.LOADING: "the run has not begun: its rows are stored, and nothing is sent yet",
    RunState.RUNNING: "the run is still going on; make the report again when it is over",
    RunState.PAUSED: "the run is paused; `unlinker bulk resume {run}` lets it go on",
    RunState.STOPPED: "a brake stopped the run; `unlinker bulk resume {run}` lets it go on, "
    "`unlinker bulk cancel {run}` ends it",
    RunState.CANCELLED: "the run is cancelled, and its last requests are coming back; make the report again",
}


def _moment(run: Run, name: str) -> float | None:
    text = run.fields.get(name)
    return None if text is None else int(float(text)) / 1000


def when(moment: float | None, zone: tzinfo | None) -> str:
    """A moment for people; "" for none. `zone`: None for that of this machine."""
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def took(seconds: float) -> str:
    """A span of time for people."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes} min"
    if minutes:
        return f"{minutes} min {rest} s"
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"


def rows(count: int) -> str:
    """A number of rows, for people."""
    return "1 row" if count == 1 else f"{count:,} rows"


def percent(part: int, whole: int) -> str:
    """A share for people, with nothing rounded up to all, or down to nothing."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.1:
        return "< 0.1 %"
    if 99.9 < share < 100:
        return "> 99.9 %"
    return f"{share:.1f} %"
