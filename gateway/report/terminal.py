"""A report on a terminal: tables, bars and a curve; plain where nobody sees colours."""

import sys
from collections.abc import Iterator, Sequence
from datetime import tzinfo

from rich.console import Console
from rich.text import Text

from gateway.output import note, print_table
from gateway.report.curve import at
from gateway.report.summary import Point, Summary, percent, took, when
from worker.unlinking.report import Part
from worker.unlinking.runs import RunState

TELLING = (RunState.PAUSED, RunState.CANCELLED)  # states that say who steered
WIDTH, HEIGHT = 60, 8  # of the curve, in characters
BAR = 24
FINE = " ▁▂▃▄▅▆▇█"
PLAIN = " .:|"  # where the terminal knows ASCII only
MARK = "x"  # of failed rows, where there are no colours
STYLES = {
    Part.SUCCEEDED: "green",
    Part.ALREADY_ABSENT: "cyan",
    Part.ALREADY_PRESENT: "cyan",
    Part.FAILED: "red",
    Part.UNPROCESSED: "yellow",
}


def show(summary: Summary, zone: tzinfo | None) -> None:
    """Print it on standard output, the notes on standard error."""
    print_table(None, ("", ""), [[name, value] for name, value in facts(summary, zone) if value])
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    blocks = FINE if console.encoding.startswith("utf") else PLAIN
    console.print()
    for part, count in summary.counts.parts.items():
        bar = _bar(count, summary.counts.rows, blocks)
        line = f"{part:<16} {count:>11,}  {percent(count, summary.counts.rows):>9}  {bar}"
        console.print(Text(line.rstrip(), STYLES[Part(part)] if count else "dim"))
    if len(summary.points) > 1 and summary.seconds > 0:
        console.print()
        mark = "" if console.color_system else MARK
        for text in curve_lines(summary.points, summary.run.layout.rows, blocks, mark):
            console.print(text)
    if summary.counts.failures:
        console.print()
        _show_failures(summary, blocks)
    for each in summary.notes:
        note(each)


def facts(summary: Summary, zone: tzinfo | None) -> list[tuple[str, str]]:
    """What is said of the run as a whole."""
    run = summary.run.document()
    rate, share = summary.rate, summary.share_of_limit
    return [
        ("run", summary.run.id),
        ("state", summary.told_state),
        ("action", f"{run['action']} of account {run['account']}"),
        ("source", str(run["source"] or "")),
        ("by", str(run["by"])),
        ("because", str(run["because"])),
        ("began", when(summary.began_at, zone)),
        ("took" if summary.run.is_over else "took so far", took(summary.seconds)),
        ("speed", "" if rate is None else f"{rate:,.1f} rows a second on average"),
        ("limit", "" if share is None else f"{share:.1%} of what the account's limit allows"),
        ("brakes", brakes(summary)),
        ("last steered", steered(summary)),
    ]


def brakes(summary: Summary) -> str:
    """The bounds of the run, and what they did."""
    fields, layout = summary.run.fields, summary.run.layout
    passed = "passed" if "canary_passed" in fields else "not passed"
    canary = f"canary of {layout.first} {passed}" if layout.canary else "no canary"
    stopped = "; stopped the run" if "stopped_at" in fields else ""
    return f"{canary}; stop above {float(fields['max_failure_rate']):.1%} failures{stopped}"


def steered(summary: Summary) -> str:
    """Who paused, resumed or cancelled it last, and why; "" where its state tells that already."""
    who, why = summary.run.fields.get("steered_by", ""), summary.run.fields.get("why", "")
    if not who or summary.run.state in TELLING:
        return ""
    return f"by {who}: {why}" if why else f"by {who}"


def _show_failures(summary: Summary, blocks: str) -> None:
    failures = summary.counts.failures
    whole = sum(failure.count for failure in failures)
    rows = [
        [failure.reason, f"{failure.count:,}", _bar(failure.count, whole, blocks), failure.example, failure.advice]
        for failure in failures
    ]
    print_table(None, ("failed", "rows", "", "for example", "what to do"), rows)


def _bar(part: int, whole: int, blocks: str) -> str:
    """At least one block for a count that is not 0."""
    return blocks[-1] * max(round(BAR * part / whole), 1 if part else 0) if whole else ""


def _height(rows: float, total: int, fine: int) -> int:
    """In parts of a block; at least one for a count that is not 0."""
    return max(round(rows / total * HEIGHT * fine), 1 if rows >= 1 else 0)


def curve_lines(points: Sequence[Point], total: int, blocks: str, mark: str = "") -> Iterator[Text]:
    """The progress over time, the failed rows at its foot in red, or drawn with `mark`."""
    last = points[-1].seconds
    columns = [at(points, last * (number + 1) / WIDTH) for number in range(WIDTH)]
    fine = len(blocks) - 1
    heights = [(_height(done, total, fine), _height(failed, total, fine)) for done, failed in columns]
    label = len(f"{total:,}")
    for level in range(HEIGHT - 1, -1, -1):
        name = f"{total:,}" if level == HEIGHT - 1 else "0" if level == 0 else ""
        line = Text(f"{name:>{label}} |")
        for done, failed in heights:
            block = blocks[max(0, min(fine, done - level * fine))]
            has_failed = failed > level * fine
            line.append(mark if mark and has_failed else block, "red" if has_failed else "green")
        yield line
    yield Text(f"{'':>{label}} +{'-' * WIDTH}")
    legend = f"rows done over time{f', {mark} failed' if mark and points[-1].failed else ''}"
    yield Text(f"{'':>{label}}  {legend:<{WIDTH - 16}}{took(last):>16}")
