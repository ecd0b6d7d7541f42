"""The part of PromQL that the alarms use, over samples in memory.

`sum by (L) (increase(M{a="b"}[Ns]))`, `max(M{...})`, `or`, `vector(0)`, a comparison with a number,
and `unless`. A counter's sample is one line; a gauge's holds its value for five minutes.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

Vector = dict[str, float]  # value of the label that is grouped by ("" without one) -> number


@dataclass(frozen=True)
class Sample:
    """One line that a counter counts, or one reading of a gauge."""

    at: float
    labels: dict[str, str] = field(default_factory=dict)
    value: float = 1


Series = dict[str, list[Sample]]  # by the metric's name
Test = Callable[[Series, float], Vector]

LOOK_BACK = 300  # seconds for which a gauge's last reading counts
AGGREGATE = re.compile(
    r"^(?P<how>sum|max)(?: by \((?P<by>\w+)\) )?\((?:increase\()?(?P<metric>[\w:]+)"
    r"\{(?P<labels>[^}]*)\}(?:\[(?P<window>\d+)s\]\))?\)$"
)
COMPARED = re.compile(r"^(?P<vector>.*) (?P<sign>[<>]) (?P<limit>[\d.]+)$")


def compiled(query: str) -> Test:
    """A query as a function of series and time: the label values for which it is true."""
    left, _, right = query.replace(" unless on (table) ", " unless ").partition(" unless ")
    test = _compared(left)
    if not right:
        return test
    without = _compared(right)

    def both(series: Series, now: float) -> Vector:
        found = test(series, now)
        hidden = without(series, now) if found else {}
        return {label: value for label, value in found.items() if label not in hidden}

    return both


def _compared(text: str) -> Test:
    parts = COMPARED.match(text)
    assert parts, f"not understood: {text}"
    inner, limit, above = parts["vector"], float(parts["limit"]), parts["sign"] == ">"
    either = [_vector(each) for each in inner.strip("(").split(" or ")]

    def test(series: Series, now: float) -> Vector:
        found: Vector = {}
        for vector in either:
            found = {**vector(series, now), **found}
        return {k: v for k, v in found.items() if (v > limit if above else v < limit)}

    return test


def _vector(text: str) -> Test:
    """A part of an `or`. The brackets of the whole are left on it."""
    if text.startswith("vector(0)"):
        return lambda series, now: {"": 0.0}
    return _aggregate(text if text.count("(") == text.count(")") else text[:-1])


def _aggregate(text: str) -> Test:
    parts = AGGREGATE.match(text)
    assert parts, f"not understood: {text}"
    wanted = dict(re.findall(r'(\w+)="([^"]*)"', parts["labels"]))
    window = float(parts["window"] or LOOK_BACK)
    combine: Callable[[list[float]], float] = sum if parts["how"] == "sum" else max

    def vector(series: Series, now: float) -> Vector:
        groups: dict[str, list[float]] = {}
        for sample in _between(series.get(parts["metric"], []), now - window, now):
            if wanted.items() <= sample.labels.items():
                groups.setdefault(sample.labels.get(parts["by"] or "", ""), []).append(sample.value)
        return {label: combine(values) for label, values in groups.items()}

    return vector


def _between(samples: list[Sample], after: float, until: float) -> list[Sample]:
    """Of samples in the order of time: those after a moment, up to another."""

    def at(sample: Sample) -> float:
        return sample.at

    return samples[bisect_right(samples, after, key=at) : bisect_right(samples, until, key=at)]
