"""A report as one HTML page that needs nothing else: no script, no picture, no font. Pure; every text is escaped."""

from collections.abc import Iterator
from datetime import tzinfo
from html import escape
from importlib import resources

from gateway.report import chart
from gateway.report.summary import Summary, percent, took, when
from gateway.report.summary import rows as rows_of
from gateway.report.terminal import brakes, steered
from worker.unlinking.report import Open, Part
from worker.unlinking.runs import RunState

NAMES = {
    Part.SUCCEEDED: "succeeded",
    Part.ALREADY_ABSENT: "already absent",
    Part.ALREADY_PRESENT: "already present",
    Part.FAILED: "failed",
    Part.UNPROCESSED: "unprocessed",
}
OPEN_NAMES = {
    Open.NOT_SENT: "not sent",
    Open.SENT: "request out, outcome not known yet",
    Open.CANCELLED: "cancelled before they were sent",
    Open.REFUSED: "refused when planned",
}
TITLES = {"unlink": "Clean-up run", "restore": "Restore run"}


def render(summary: Summary, zone: tzinfo | None) -> str:
    """The page. `zone`: in which its times are told."""
    title = f"{TITLES.get(summary.run.fields['action'], 'Run')} {summary.run.id}"
    style = (resources.files(__package__) / "page.css").read_text(encoding="utf-8")
    sections = (_head(summary, zone), _notes(summary), _outcome(summary), _progress(summary))
    more = (_failures(summary), _open(summary), _facts(summary, zone), _files(summary))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(section for section in (*sections, *more) if section)
        + "\n</main>\n</body>\n</html>\n"
    )


def _head(summary: Summary, zone: tzinfo | None) -> str:
    run = summary.run
    kind = TITLES.get(run.fields["action"], "Run")
    end = "ended" if run.is_over else "state of"
    moment = summary.until if run.is_over else summary.made_at
    return (
        f'<header><p class="kind">{kind} of account {escape(run.fields["account"])}</p>'
        f"<h1>{escape(run.fields['because'] or 'no reason given')}</h1>"
        f'<p class="who"><span class="badge {_mood(summary)}">{escape(_state(summary))}</span> '
        f"asked for by {escape(run.fields['by'])}, {end} {escape(when(moment, zone))}</p></header>"
    )


def _state(summary: Summary) -> str:
    run = summary.run
    if run.state is RunState.DONE:
        failed = "all failed" if _all_failed(summary) else "not all succeeded"
        return "done" if summary.succeeded else f"done, {failed}"
    if run.state is RunState.STOPPED:
        return "stopped by a brake"
    return str(run.state)


def _mood(summary: Summary) -> str:
    if summary.run.state is RunState.STOPPED or _all_failed(summary):
        return "bad"
    if summary.run.state is RunState.DONE:
        return "good" if summary.succeeded else "mixed"
    return "open"


def _all_failed(summary: Summary) -> bool:
    return summary.counts.by_part[Part.FAILED] == summary.counts.rows > 0


def _notes(summary: Summary) -> str:
    state = [summary.told_state] if summary.told_state != summary.run.state else []
    items = "".join(f"<li>{escape(note)}</li>" for note in [*state, *summary.notes])
    return f'<ul class="notes">{items}</ul>' if items else ""


def _outcome(summary: Summary) -> str:
    parts, whole = summary.counts.parts, summary.counts.rows
    segments = "".join(
        f'<span class="{part}" style="flex-grow:{count}"></span>' for part, count in parts.items() if count
    )
    tiles = "".join(
        f'<div class="tile {part}"><b>{count:,}</b><span>{NAMES[Part(part)]}</span><i>{percent(count, whole)}</i></div>'
        for part, count in parts.items()
    )
    return f'<section><div class="stack">{segments}</div><div class="tiles">{tiles}</div></section>'


def _progress(summary: Summary) -> str:
    picture = chart.progress(summary.points, summary.run.layout.rows)
    speed = ", ".join(_speed(summary))
    legend = chart.LEGEND if picture and summary.run.failed else ""
    text = f'<p class="caption">{escape(speed)}</p>{legend}' if speed else ""
    if not picture and not text:
        return ""
    return f"<section><h2>Progress</h2>{text}{picture}</section>"


def _speed(summary: Summary) -> Iterator[str]:
    run = summary.run
    if summary.seconds > 0:
        yield f"{summary.processed:,} of {rows_of(run.layout.rows)} in {took(summary.seconds)}"
    if summary.rate is not None:
        yield f"{summary.rate:,.1f} a second on average"
    if summary.share_of_limit is not None:
        yield f"{summary.share_of_limit:.1%} of what the account's limit allows"


def _failures(summary: Summary) -> str:
    failures = summary.counts.failures
    if not failures:
        return ""
    run = escape(summary.run.id)
    rows = "".join(
        f"<tr><th>{escape(each.reason)}</th><td>{escape(each.happened)}"
        f'<div class="example">for example: {escape(each.example)}</div></td>'
        f"<td>{escape(each.advice)}</td></tr>"
        for each in failures
    )
    return (
        f'<section class="long"><h2>Failures by reason</h2>{chart.reasons(failures)}'
        f'<table class="advice"><tr><th>reason</th><th>what happened</th><th>what to do</th></tr>{rows}</table>'
        f"<p>List them with <code>unlinker dead list --run {run}</code>, and send them again with "
        f"<code>unlinker dead replay --run {run} --reason REASON --because TEXT</code>.</p></section>"
    )


def _open(summary: Summary) -> str:
    if not summary.counts.open:
        return ""
    rows = "".join(
        f'<tr><th>{escape(OPEN_NAMES[Open(reason)])}</th><td class="number">{count:,}</td></tr>'
        for reason, count in summary.counts.open.most_common()
    )
    return f"<section><h2>Unprocessed</h2><table>{rows}</table></section>"


def _facts(summary: Summary, zone: tzinfo | None) -> str:
    run = summary.run.document()
    left_out = summary.counts.rows - summary.run.layout.rows
    facts = [
        ("run", summary.run.id),
        ("source", run["source"]),
        ("planned", f"{rows_of(summary.run.layout.rows)} to send, {left_out:,} left out"),
        ("began", when(summary.began_at, zone)),
        ("ended", when(summary.until, zone) if summary.run.is_over else ""),
        ("brakes", brakes(summary)),
        ("last steered", steered(summary)),
        ("plan", summary.plan),
        ("report made", when(summary.made_at, zone)),
    ]
    rows = "".join(f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in facts if value)
    return f"<section><h2>The run</h2><table>{rows}</table></section>"


def _files(summary: Summary) -> str:
    rows = "".join(
        f'<tr><th><a href="{part}.csv">{part}.csv</a></th><td class="number">{rows_of(count)}</td></tr>'
        for part, count in summary.counts.parts.items()
    )
    return (
        "<section><h2>Files beside this page</h2>"
        f'<table>{rows}<tr><th><a href="summary.json">summary.json</a></th><td>this page as JSON</td></tr></table>'
        "</section>"
    )
