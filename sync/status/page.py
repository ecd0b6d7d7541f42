"""The status page: facts in, one self-contained HTML page out. No script, nothing from elsewhere,
every text escaped.

Plots are SVG without words in it, stretched to whatever width there is; their axes are HTML beside
them, so that they stay readable on a phone. Here is only geometry and wording; what it looks like
is in page.html.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from sync.evaluation.judge import interval

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
WIDTH, HEIGHT = 1000, 100  # of every plot, in its own units
THICK = 60  # a bar at most: of two spans neither is to be a wall
HOVER = (
    720  # bars of a page that tell their numbers to a mouse; with more the page grows past 300 kB
)
RECENT = 8  # spans that are told in numbers as well, for those who do not see the plot
SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
STATES = {
    "ok": "ok",
    "running": "running",
    "partial": "to be continued",
    "failed": "failed",
    "never": "not run yet",
}
MARKS = {"ok": "✓", "running": "↻", "partial": "…", "failed": "✕", "never": "○"}
LOOK = "!"

Fact = Mapping[str, Any]


def render(facts: Fact) -> str:
    """The page."""
    tables = [_table(table) for table in facts["tables"]]
    bad = [table for table in tables if table["attention"]]
    hover = sum(len(table["rows"]) for table in tables) <= HOVER
    return _template().render(
        generated=moment(facts["generated_at"]),
        tables=tables,
        bad=len(bad),
        hover=hover,
        empty=all(table["state"] == "never" for table in tables),
    )


def trouble(error: str) -> str:
    """The page when there are no facts: what is wrong, in the error's own words."""
    return _template().render(
        trouble=error, generated=None, tables=[], bad=1, empty=False, hover=False
    )


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "ago": ago,
        "age": age,
        "moment": moment,
        "count": count,
        "percent": percent,
        "day": day,
    }
    return environment.from_string(
        (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    )


def _table(table: Fact) -> dict[str, Any]:
    evaluations = [_evaluation(each) for each in table["evaluations"]]
    state, doubts = table["state"], _doubts(table, evaluations)
    plain = {"word": STATES.get(state, state), "mark": MARKS.get(state, "?"), "kind": state}
    told = (
        {"word": doubts[0], "mark": LOOK, "kind": "partial"} if doubts and state == "ok" else plain
    )
    return {
        **table,
        **told,
        "attention": bool(doubts) or state in ("failed", "partial"),
        "plot": rows_plot(table["rows"]),
        "recent": table["rows"][: -RECENT - 1 : -1],
        "evaluations": evaluations,
    }


def _doubts(table: Fact, evaluations: Sequence[Fact]) -> list[str]:
    """What is to be looked at although the last run ended well, the worst first."""
    found = {
        "overdue": table["freshness"]["stale"],
        "accuracy is low": any(each["low"] for each in evaluations),
        "evaluation failed": any(each["failure"] and not each["again"] for each in evaluations),
    }
    return [word for word, true in found.items() if true]


def _evaluation(each: Fact) -> dict[str, Any]:
    latest, least = each["latest"], each["min_accuracy"]
    measured = (
        latest is not None and latest["accuracy"] is not None and bool(latest["test_samples"])
    )
    told = latest is not None and latest["accuracy"] is not None and latest["test_samples"] != 0
    low = told and least is not None and latest["accuracy"] < least
    margin = _margin(latest["accuracy"], latest["test_samples"]) if measured and latest else None
    running, failure = each["running"], each["failure"]
    again = bool(running and failure and running["started_at"] > failure["started_at"])
    return {
        **each,
        "plot": accuracy_plot(each["accuracy"], least),
        "low": low,
        "measured": measured,
        "margin": margin,
        "again": again,
        "recent": each["accuracy"][: -RECENT - 1 : -1],
    }


def _margin(accuracy: float, cases: float) -> float:
    low, high = interval(accuracy, cases)
    return (high - low) / 2


# -- plots


def rows_plot(spans: Sequence[Fact]) -> dict[str, Any] | None:
    """Bars of the rows uploaded and rejected in each span of time."""
    if not spans:
        return None
    most = max((s["uploaded"] or 0) + (s["rejected"] or 0) for s in spans)
    top, place = _nice(most), _Places(spans)
    bars = [_bar(span, place, top) for span in spans]
    failed = sum(s["not_ok"] for s in spans)
    return {
        "bars": bars,
        "paths": {kind: "".join(bar["paths"][kind] for bar in bars) for kind in bars[0]["paths"]},
        "top": top,
        "half": top / 2 if top % 2 == 0 else None,
        "first": day(spans[0]["start"]),
        "last": day(spans[-1]["start"]),
        "each": _span(spans[0]["seconds"]),
        "failed": failed,
        "rejected": any(s["rejected"] for s in spans),
        "told": (
            f"Rows per {_span(spans[0]['seconds'])} from {day(spans[0]['start'])} to"
            f" {day(spans[-1]['start'])}: {count(sum(s['uploaded'] or 0 for s in spans))} uploaded,"
            f" at most {count(most)} in one span, {count(sum(s['rejected'] or 0 for s in spans))}"
            f" rejected, {failed} runs not ok."
        ),
    }


def _bar(span: Fact, place: _Places, top: float) -> dict[str, Any]:
    good, bad = ((span[name] or 0) / top * HEIGHT for name in ("uploaded", "rejected"))
    height = good + (max(bad, 3) if bad else 0)  # a reject among a million rows is to be seen
    odd = f", {span['not_ok']} of {span['runs']} runs not ok" if span["not_ok"] else ""
    title = f"{day(span['start'])}: {count(span['uploaded'] or 0)} uploaded"
    title += f", {count(span['rejected'])} rejected" if span["rejected"] else ""
    width, middle = min(place.width * 0.8, THICK), place.left(span) + place.width / 2
    left = middle - width / 2
    paths = {
        "bar": _box(left, HEIGHT, width, good),
        "reject": _box(left, HEIGHT - good, width, height - good),
        "notok": f"M{_short(middle)} {HEIGHT}h.01" if span["not_ok"] else "",
    }
    return {"paths": paths, "title": title + odd}


def _box(left: float, bottom: float, width: float, height: float) -> str:
    """The path of a bar; none for one without height."""
    if not height:
        return ""
    return f"M{_short(left)} {_short(bottom)}h{_short(width)}v-{_short(height)}h-{_short(width)}z"


def accuracy_plot(points: Sequence[Fact], least: float | None) -> dict[str, Any] | None:
    """Accuracy with its 95 % interval, and the base accuracy, over time; both from 0 to 1."""
    if not points:
        return None
    place = _Places(points)
    middles = [place.left(point) + place.width / 2 for point in points]
    bounds = [interval(point["accuracy"], max(1.0, point["test_samples"])) for point in points]
    dots = [(x, point["accuracy"]) for x, point in zip(middles, points, strict=True)]
    if len(points) == 1:  # a line and a band need two ends
        middles, bounds, points = [0, WIDTH], bounds * 2, [*points, *points]
    upper = [(x, high) for x, (_, high) in zip(middles, bounds, strict=True)]
    lower = [(x, low) for x, (low, _) in zip(middles, bounds, strict=True)]
    based = [
        (x, p["base_accuracy"])
        for x, p in zip(middles, points, strict=True)
        if p["base_accuracy"] is not None
    ]
    line = [(x, p["accuracy"]) for x, p in zip(middles, points, strict=True)]
    return {
        "band": _line([*upper, *reversed(lower)]),
        "line": _line(line),
        "base": _line(based) if len(based) > 1 else None,
        "least": None if least is None else _short((1 - least) * HEIGHT),
        "dots": (
            [(_short(x), _short((1 - y) * HEIGHT)) for x, y in dots]
            if len(dots) <= RECENT * 4
            else []
        ),
        "first": day(points[0]["start"]),
        "last": day(points[-1]["start"]),
        "told": _told(points),
    }


def _told(points: Sequence[Fact]) -> str:
    """What the plot shows, in a sentence."""
    last, values = points[-1], [point["accuracy"] for point in points]
    margin = _margin(last["accuracy"], max(1.0, last["test_samples"]))
    base = (
        "" if last["base_accuracy"] is None else f", base accuracy {percent(last['base_accuracy'])}"
    )
    return (
        f"Accuracy from {day(points[0]['start'])} to {day(last['start'])}: between"
        f" {percent(min(values))} and {percent(max(values))}; last {percent(last['accuracy'])},"
        f" give or take {percent(margin)}{base}."
    )


class _Places:
    """Where on the width spans of time lie."""

    def __init__(self, spans: Sequence[Fact]) -> None:
        self._first, self._seconds = spans[0]["start"], spans[0]["seconds"]
        self.width = WIDTH / ((spans[-1]["start"] - self._first) / self._seconds + 1)

    def left(self, span: Fact) -> float:
        """The left edge of a span."""
        return float((span["start"] - self._first) / self._seconds * self.width)


def _line(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_short(x)},{_short((1 - y) * HEIGHT)}" for x, y in points)


def _short(number: float) -> str:
    return f"{number:.1f}".rstrip("0").rstrip(".")


def _nice(most: float) -> float:
    """The end of an axis: a round number, not below the most there is."""
    power = 10 ** math.floor(math.log10(max(most, 1)))
    return float(
        next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= most)
    )


# -- wording


def ago(seconds: int | None) -> str:
    """An age for people."""
    return "never" if seconds is None else f"{age(seconds)} ago"


def age(seconds: int) -> str:
    """A length of time in the largest unit that does it justice."""
    size, unit = next(((s, u) for s, u in SPANS if abs(seconds) >= 2 * s), SPANS[-1])
    return f"{seconds // size} {unit}"


def _span(seconds: int) -> str:
    size, unit = next((s, u) for s, u in SPANS if seconds % s == 0)
    number = seconds // size
    words = {"d": "day", "h": "hour", "min": "minute", "s": "second"}
    return words[unit] if number == 1 else f"{number} {words[unit]}s"


def moment(text: str) -> str:
    """A time for people, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def day(seconds: int) -> str:
    """The start of a span for people: the day, and the time where it is not midnight."""
    return datetime.fromtimestamp(seconds, UTC).strftime(
        "%Y-%m-%d" if seconds % 86_400 == 0 else "%Y-%m-%d %H:%M"
    )


def count(number: float) -> str:
    """A number with its thousands apart."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(share: float) -> str:
    """A share in percent."""
    return f"{share * 100:.1f} %"
