"""A night's report as one HTML page that needs nothing else: no script, no font, no network. Every text is escaped."""

from collections.abc import Sequence
from html import escape
from importlib import resources

from gateway.reconciling.report import COUNTS, Report, against, approval_command, facts, moment
from worker.unlinking.night import TRUTH, Night, NightStatus, concern

MOODS = {
    NightStatus.DONE: "good",
    NightStatus.ABORTED: "bad",
    NightStatus.MISSED: "bad",
    NightStatus.STOPPED: "bad",
    NightStatus.EXPIRED: "mixed",
    NightStatus.SKIPPED: "mixed",
    NightStatus.SUPERSEDED: "mixed",
}
SHOWN = 14  # nights in the picture
WIDTH, HEIGHT, BASE, TOP = 920, 170, 140, 16  # of the picture
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render(report: Report) -> str:
    """The page."""
    night = report.night
    style = (resources.files(__package__) / "night.css").read_text(encoding="utf-8")
    sections = (_head(night), _notes(night), _counts(report), _picture(report), _over(night))
    more = (_resurrected(night), _story(night), _facts(night))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(night.id)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(section for section in (*sections, *more) if section)
        + "\n</main>\n</body>\n</html>\n"
    )


def _head(night: Night) -> str:
    kind = "Truth pass" if night.policy.startswith(TRUTH) else "Reconciliation"
    mood = MOODS.get(night.status, "open")
    if night.status is NightStatus.DONE and concern(night) is not None:
        mood = "mixed"
    why = f" {escape(night.why)}" if night.why else ""
    when = escape(moment(night.slot, night.zone))
    return (
        f'<header><p class="kind">{kind} of account {escape(night.account)}, night of {when}</p>'
        f"<h1>{escape(night.policy.removeprefix(TRUTH))}</h1>"
        f'<p class="who"><span class="badge {mood}">{escape(night.status)}</span>{why}</p></header>'
    )


def _notes(night: Night) -> str:
    """What a person should do now."""
    if night.status is not NightStatus.WAITING:
        return ""
    command = escape(approval_command(night))
    return f'<ul class="notes"><li>It waits for approval: <code>{command}</code></li></ul>'


def _counts(report: Report) -> str:
    rows = "".join(
        f'<tr><td class="number">{each.now:,}</td><td>{escape(COUNTS.get(name, name))}</td>'
        f'<td class="soft">{escape(against(each))}</td></tr>'
        for name, each in report.told.items()
    )
    rows += "".join(
        f'<tr><td class="number">{count:,}</td><td>failed for {escape(reason)}</td><td></td></tr>'
        for reason, count in report.night.failures.items()
    )
    return f"<section><h2>Counts</h2><table>{rows}</table></section>" if rows else ""


def _picture(report: Report) -> str:
    """The last nights side by side: what was found, and how much of it went."""
    before = [each for each in report.earlier if each.slot < report.night.slot]
    nights = [report.night, *before][:SHOWN][::-1]
    if len(nights) < 2 or report.night.policy.startswith(TRUTH):
        return ""
    keys = (("found", "links found"), ("gone", "of them unlinked"), ("none", "nothing was read or deleted"))
    legend = "".join(f'<span class="key {name}-key"></span>{label}' for name, label in keys)
    return f'<section><h2>The last nights</h2><p class="caption">{legend}</p>{_bars(nights)}</section>'


def _bars(nights: Sequence[Night]) -> str:
    highest = max(1, *(each.counts.get("found", 0) for each in nights))
    step = WIDTH / len(nights)
    width = min(46.0, step * 0.7)
    shapes = [f'<line class="axis" x1="0" x2="{WIDTH}" y1="{BASE}" y2="{BASE}"/>']
    for place, night in enumerate(nights):
        left = place * step + (step - width) / 2
        middle = left + width / 2
        if "found" in night.counts:
            shapes += [_bar("found", left, width, night.counts["found"] / highest)]
            shapes += [_bar("gone", left, width, night.counts.get("unlinked", 0) / highest)]
        else:
            shapes.append(f'<circle class="none" cx="{middle:.1f}" cy="{BASE - 8}" r="5"/>')
        label = moment(night.slot, night.zone)[5:10]
        shapes.append(f'<text x="{middle:.1f}" y="{BASE + 20}" text-anchor="middle">{escape(label)}</text>')
    title = "links found and unlinked in the last nights"
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(shapes)}</svg>'


def _bar(name: str, left: float, width: float, share: float) -> str:
    height = (BASE - TOP) * min(1.0, share)
    if share > 0:
        height = max(height, 2.0)
    return f'<rect class="{name}" x="{left:.1f}" y="{BASE - height:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _over(night: Night) -> str:
    rows = "".join(
        f"<tr><td>{escape(each['why'])}</td><td><code>{escape(each['option'])} {escape(each['value'])}</code></td></tr>"
        for each in night.over
    )
    return f"<section><h2>Over its brakes</h2><table>{rows}</table></section>" if rows else ""


def _resurrected(night: Night) -> str:
    if not night.resurrected:
        return ""
    rows = "".join(
        f'<tr><th>{escape(kind)}</th><td class="number">{parent}</td><td>{child}</td></tr>'
        for kind, parent, child in night.resurrected
    )
    more = night.counts.get("resurrected", 0) - len(night.resurrected)
    told = f'<p class="caption">and {more:,} more</p>' if more > 0 else ""
    return f"<section><h2>There again</h2><table>{rows}</table>{told}</section>"


def _story(night: Night) -> str:
    rows = "".join(
        f"<tr><th>{escape(moment(each.at, night.zone))}</th><td>{escape(each.text)}</td></tr>" for each in night.story
    )
    return f"<section><h2>What was done, and why</h2><table>{rows}</table></section>"


def _facts(night: Night) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts(night) if value)
    return f"<section><h2>The night</h2><table>{rows}</table></section>"
