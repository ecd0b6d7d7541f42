"""The geometry of the plots: SVG paths for rows over time and for accuracy over time. Pure.

A plot is WIDTH by HEIGHT units and is stretched to the width of the page. Its axes are HTML beside
it, which stays readable on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sync.config import spell_duration
from sync.model.statistics import interval
from sync.status.wording import count, day, percent, span

WIDTH, HEIGHT = 1000, 100
MAX_BAR_WIDTH = 60
BAR_SHARE = 0.8  # of the width that a bar has
SMALLEST_REJECT = 3  # height: a reject among a million rows is visible
MAX_DOTS = 32  # points that are drawn as dots too
ROUND_NUMBERS = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)

Fact = Mapping[str, Any]
Point = tuple[float, float]  # place on the width, share from 0 to 1
KINDS = ("bar", "reject", "notok")  # classes of the paths of a bar


# -- rows


def rows_plot(bars: Sequence[Fact]) -> dict[str, Any] | None:
    """Bars of the rows uploaded and rejected. None when there is nothing to draw."""
    most = max((_height(bar) for bar in bars), default=0)
    failed = sum(bar["not_ok"] for bar in bars)
    if not most and not failed:
        return None
    top, axis = _round_up(most), _Axis(bars)
    drawn = [_bar(bar, axis, top) for bar in bars]
    return {
        "bars": drawn,
        "paths": {kind: "".join(bar["paths"][kind] for bar in drawn) for kind in KINDS},
        "top": top,
        "half": top / 2 if top % 2 == 0 else None,
        "first": day(bars[0]["start"]),
        "last": day(bars[-1]["start"]),
        "each": span(bars[0]["seconds"]),
        "failed": failed,
        "rejected": any(bar["rejected"] for bar in bars),
        "text": _describe_rows(bars, most, failed),
    }


def _height(bar: Fact) -> int:
    return (bar["uploaded"] or 0) + (bar["rejected"] or 0)


def _bar(bar: Fact, axis: _Axis, top: float) -> dict[str, Any]:
    """The paths of one bar and its title."""
    good = (bar["uploaded"] or 0) / top * HEIGHT
    bad = (bar["rejected"] or 0) / top * HEIGHT
    if bad:
        bad = max(bad, SMALLEST_REJECT)
    width, middle = min(axis.step * BAR_SHARE, MAX_BAR_WIDTH), axis.middle(bar)
    left = middle - width / 2
    dot = f"M{_short(middle)} {HEIGHT}h.01"
    paths = {
        "bar": _box(left, HEIGHT, width, good),
        "reject": _box(left, HEIGHT - good, width, bad),
        "notok": dot if bar["not_ok"] else "",
    }
    return {"paths": paths, "title": _bar_title(bar)}


def _bar_title(bar: Fact) -> str:
    title = f"{day(bar['start'])}: {count(bar['uploaded'])} uploaded"
    if bar["rejected"]:
        title += f", {count(bar['rejected'])} rejected"
    if bar["not_ok"]:
        title += f", {bar['not_ok']} of {bar['runs']} runs not ok"
    return title


def _describe_rows(bars: Sequence[Fact], most: int, failed: int) -> str:
    """What the plot shows, for those who do not see it."""
    uploaded = sum(bar["uploaded"] or 0 for bar in bars)
    rejected = sum(bar["rejected"] or 0 for bar in bars)
    return (
        f"Rows per {span(bars[0]['seconds'])} from {day(bars[0]['start'])} to"
        f" {day(bars[-1]['start'])}: {count(uploaded)} uploaded, at most {count(most)} in one bar,"
        f" {count(rejected)} rejected, {failed} runs not ok."
    )


# -- accuracy


def accuracy_plot(points: Sequence[Fact], minimum: float | None) -> dict[str, Any] | None:
    """Accuracy with its 95 % interval, and the base accuracy. None when there is nothing to draw.

    minimum: `min_accuracy`.
    """
    if not points:
        return None
    axis = _Axis(points)
    middles = [axis.middle(point) for point in points]
    accuracy = [(x, point["accuracy"]) for x, point in zip(middles, points, strict=True)]
    base = [
        (x, point["base_accuracy"])
        for x, point in zip(middles, points, strict=True)
        if point["base_accuracy"] is not None
    ]
    dots = accuracy if len(accuracy) <= MAX_DOTS else []
    if len(points) == 1:
        accuracy, base = _across(accuracy), _across(base)
    return {
        "band": _band(points, middles),
        "line": _line(accuracy),
        "base": _line(base) if len(base) > 1 else None,
        "minimum": None if minimum is None else _short((1 - minimum) * HEIGHT),
        "dots": [(_short(x), _short((1 - y) * HEIGHT)) for x, y in dots],
        "first": day(points[0]["start"]),
        "last": day(points[-1]["start"]),
        "text": _describe_accuracy(points),
    }


def margin(accuracy: float, cases: float) -> float:
    """Half the width of the 95 % interval."""
    low, high = interval(accuracy, max(1.0, cases))
    return (high - low) / 2


def _band(points: Sequence[Fact], middles: Sequence[float]) -> str:
    """The polygon of the 95 % interval."""
    lower, upper = list[Point](), list[Point]()
    for x, point in zip(middles, points, strict=True):
        low, high = interval(point["accuracy"], max(1.0, point["test_samples"]))
        lower.append((x, low))
        upper.append((x, high))
    if len(points) == 1:
        lower, upper = _across(lower), _across(upper)
    return _line([*upper, *reversed(lower)])


def _across(points: Sequence[Point]) -> list[Point]:
    """A single point as a line over the whole width; no point as none."""
    return [(x, y) for _, y in points for x in (0, WIDTH)]


def _describe_accuracy(points: Sequence[Fact]) -> str:
    """What the plot shows, for those who do not see it."""
    last, values = points[-1], [point["accuracy"] for point in points]
    text = (
        f"Accuracy from {day(points[0]['start'])} to {day(last['start'])}: between"
        f" {percent(min(values))} and {percent(max(values))}; last {percent(last['accuracy'])},"
        f" plus or minus {percent(margin(last['accuracy'], last['test_samples']))}"
    )
    if last["base_accuracy"] is not None:
        text += f", base accuracy {percent(last['base_accuracy'])}"
    return f"{text}."


# -- retention


def retention_plot(points: Sequence[Fact], keep: int | None, chosen: int | None) -> Fact | None:
    """Accuracy over the length of history, with its 95 % interval. None without a point.

    Histories stand at equal distances. keep: in the configuration. chosen: recommended.
    The vertical axis begins at the lowest round tenth that is needed.
    """
    if not points:
        return None
    ordered = sorted(points, key=lambda point: point["history"])
    step = WIDTH / len(ordered)
    middles = [(place + 0.5) * step for place in range(len(ordered))]
    bottom, top = _range(ordered)

    def height(share: float) -> float:
        return (share - bottom) / (top - bottom)

    accuracy = [(x, height(p["accuracy"])) for x, p in zip(middles, ordered, strict=True)]
    lows = [(x, height(p["low"])) for x, p in zip(middles, ordered, strict=True)]
    highs = [(x, height(p["high"])) for x, p in zip(middles, ordered, strict=True)]
    base = [
        (x, height(p["base_accuracy"]))
        for x, p in zip(middles, ordered, strict=True)
        if p["base_accuracy"] is not None
    ]
    places = {p["history"]: _short(x) for x, p in zip(middles, ordered, strict=True)}
    return {
        "band": _line([*highs, *reversed(lows)]) if len(ordered) > 1 else "",
        "line": _line(accuracy) if len(ordered) > 1 else "",
        "base": _line(base) if len(base) > 1 else None,
        "dots": [(_short(x), _short((1 - y) * HEIGHT)) for x, y in accuracy],
        "chosen": places.get(chosen) if chosen is not None else None,
        "keep": places.get(keep) if keep is not None else None,
        "labels": [spell_duration(point["history"]) for point in ordered],
        "bottom": f"{bottom * 100:.0f} %",
        "top": f"{top * 100:.0f} %",
        "text": _describe_retention(ordered, keep, chosen),
    }


def _range(points: Sequence[Fact]) -> tuple[float, float]:
    """The ends of the vertical axis, in whole tenths."""
    bases = [point["base_accuracy"] for point in points if point["base_accuracy"] is not None]
    lowest = min([point["low"] for point in points] + bases)
    highest = max([point["high"] for point in points] + bases)
    return math.floor(lowest * 10) / 10, max(0.1, math.ceil(highest * 10) / 10)


def _describe_retention(points: Sequence[Fact], keep: int | None, chosen: int | None) -> str:
    """What the plot shows, for those who do not see it."""
    shown = ", ".join(
        f"{spell_duration(point['history'])} {percent(point['accuracy'])}" for point in points
    )
    advice = "none is recommended" if chosen is None else f"{spell_duration(chosen)} is recommended"
    present = "everything is kept" if keep is None else f"{spell_duration(keep)} is kept"
    return f"Accuracy by length of history: {shown}; {advice}, {present} now."


# -- geometry


class _Axis:
    """The axis of time: where bars and points lie on the width."""

    def __init__(self, bars: Sequence[Fact]) -> None:
        self._first, self._seconds = bars[0]["start"], bars[0]["seconds"]
        steps = (bars[-1]["start"] - self._first) / self._seconds + 1
        self.step = WIDTH / steps

    def middle(self, bar: Fact) -> float:
        """The middle of a bar."""
        place = (bar["start"] - self._first) / self._seconds
        return float((place + 0.5) * self.step)


def _box(left: float, bottom: float, width: float, height: float) -> str:
    """The path of a bar; an empty one for a bar without height."""
    if not height:
        return ""
    return f"M{_short(left)} {_short(bottom)}h{_short(width)}v-{_short(height)}h-{_short(width)}z"


def _line(points: Sequence[Point]) -> str:
    return " ".join(f"{_short(x)},{_short((1 - y) * HEIGHT)}" for x, y in points)


def _short(number: float) -> str:
    return f"{number:.1f}".rstrip("0").rstrip(".")


def _round_up(most: float) -> float:
    """The end of an axis: the next round number."""
    power = 10 ** math.floor(math.log10(max(most, 1)))
    fitting = (step * power for step in ROUND_NUMBERS if step * power >= most)
    return float(next(fitting))
