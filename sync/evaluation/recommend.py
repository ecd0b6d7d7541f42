"""How much history to keep, from accuracies that were measured for several histories. Pure.

It is a decision between histories, not the search for the highest number:

    no better than guessing   no history's accuracy exceeds its base accuracy: not enough evidence
    enough                    its accuracy is shown to be less than `margin` below that of each
                              other history. The shortest such history is recommended
    worse                     it is shown to be less accurate than another history
    undecided                 neither is shown: the test has too few cases

Where no history is enough, the longest one that is not worse is recommended if any is worse. If all
are undecided, there is not enough evidence.

A history that is too short by more than the margin is compared with the best one, too. So it passes
as enough with a probability of ALPHA divided by the number of comparisons, and any such history
passes with a probability of ALPHA at most (Bonferroni; Hsu's comparisons with the best).

All histories are tested on the same rows. Where the target tells which of them it predicted right,
the comparison is paired (Agresti and Min 2005), otherwise it is not (Agresti and Caffo 2000).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from sync.model.statistics import standard_error

MARGIN = 0.02  # accuracy that a shorter history may cost
ALPHA = 0.05  # chance of recommending a history that costs more than the margin
GUESSING_ALPHA = 0.01  # chance of taking guessing for knowing

Standing = Literal["enough", "worse", "undecided"]
Trend = Literal["rises", "falls", "level"]


@dataclass(frozen=True)
class Point:
    """The accuracy with one history, in seconds.

    right: a bit for each test row, 1 where the prediction was right; None: not reported.
    test: what identifies the test rows. Two points are paired when it is the same.
    train_rows: rows that were learned from. mean_ms: the target's own time for one prediction.
    """

    history: int
    accuracy: float
    base_accuracy: float | None
    cases: int
    right: int | None = None
    test: str = ""
    train_rows: float | None = None
    mean_ms: float | None = None


@dataclass(frozen=True)
class Difference:
    """Accuracy of one history less that of another, with its interval. Chance is accounted for."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """What the accuracies say.

    history: the recommended one, seconds; None: not enough evidence.
    kind: why. standings: of each history. trend: of the end of the curve.
    needed_cases: so many cases would decide; None: more cases do not help.
    """

    history: int | None
    kind: Literal["enough", "longest", "guessing", "undecided", "single"]
    standings: Mapping[int, Standing]
    trend: Trend
    best: int
    needed_cases: int | None = None


def recommend(points: Sequence[Point], margin: float = MARGIN) -> Verdict:
    """The verdict on at least one point. points: of different histories."""
    ordered = sorted(points, key=lambda point: point.history)
    best = max(ordered, key=lambda point: point.accuracy).history
    if not _is_above_base(ordered):
        undecided: dict[int, Standing] = {point.history: "undecided" for point in ordered}
        return Verdict(None, "guessing", undecided, "level", best)
    if len(ordered) == 1:
        return Verdict(None, "single", {best: "undecided"}, "level", best)
    standings = {point.history: _standing(point, ordered, margin) for point in ordered}
    trend = _trend(ordered)
    enough = [history for history, standing in standings.items() if standing == "enough"]
    if enough:
        return Verdict(enough[0], "enough", standings, trend, best)
    needed = _needed_cases(ordered, standings, margin)
    left = [history for history, standing in standings.items() if standing != "worse"]
    if len(left) == len(ordered):
        return Verdict(None, "undecided", standings, trend, best, needed)
    return Verdict(left[-1], "longest", standings, trend, best, needed)


def _is_above_base(points: Sequence[Point]) -> bool:
    """Whether an accuracy exceeds its base accuracy by more than chance."""
    z = _z(GUESSING_ALPHA, len(points))
    return any(_gain(point) > z * _gain_error(point) for point in points)


def _gain(point: Point) -> float:
    return point.accuracy - (point.base_accuracy or 0.0)


def _gain_error(point: Point) -> float:
    base = point.base_accuracy or 0.0
    return math.hypot(
        standard_error(point.accuracy, point.cases), standard_error(base, point.cases)
    )


def _standing(point: Point, points: Sequence[Point], margin: float) -> Standing:
    others = [other for other in points if other.history != point.history]
    z = _z(ALPHA, len(others))
    behind = [difference(other, point, z) for other in others]
    if all(each.high < margin for each in behind):
        return "enough"
    return "worse" if any(each.low > 0 for each in behind) else "undecided"


def _trend(points: Sequence[Point]) -> Trend:
    """Whether the longest history is shown to be better, or worse, than shorter ones.

    It rises when the longest is better than one of the two before it, and has the highest accuracy.
    """
    longest, others = points[-1], points[:-1]
    z = _z(ALPHA, len(others))
    if any(difference(other, longest, z).low > 0 for other in others):
        return "falls"
    highest = all(longest.accuracy >= other.accuracy for other in others)
    better = any(difference(longest, other, z).low > 0 for other in others[-2:])
    return "rises" if highest and better else "level"


def _needed_cases(
    points: Sequence[Point], standings: Mapping[int, Standing], margin: float
) -> int | None:
    """About how many cases would decide on the longest history that is undecided.

    None: none is undecided, or there are as many cases.
    """
    undecided = [point for point in points if standings[point.history] == "undecided"]
    if not undecided:
        return None
    chosen, z = undecided[-1], _z(ALPHA, len(points) - 1)
    gaps = [difference(other, chosen, z) for other in points if other.history != chosen.history]
    width = max(gap.high - gap.low for gap in gaps if gap.high >= margin)
    needed = math.ceil(chosen.cases * (width / 2 / margin) ** 2)
    return needed if needed > chosen.cases else None


def difference(first: Point, second: Point, z: float) -> Difference:
    """The accuracy of `first` less that of `second`. z: half the interval, in standard errors."""
    if _is_paired(first, second):
        value, error = _paired(first.right or 0, second.right or 0, first.cases)
    else:
        value, error = _unpaired(first, second)
    return Difference(value, value - z * error, value + z * error)


def _is_paired(first: Point, second: Point) -> bool:
    is_reported = first.right is not None and second.right is not None
    return is_reported and first.test == second.test and first.cases == second.cases


def _paired(first: int, second: int, cases: int) -> tuple[float, float]:
    """Difference and standard error. Half a case is added to each kind of case."""
    only_first = (first & ~second).bit_count() + 0.5
    only_second = (second & ~first).bit_count() + 0.5
    size = cases + 2
    value = (only_first - only_second) / size
    variance = (only_first + only_second) / size - value**2
    return value, math.sqrt(variance / size)


def _unpaired(first: Point, second: Point) -> tuple[float, float]:
    """Difference and standard error. One case of each kind is added on both sides."""
    shares = [(p.accuracy * p.cases + 1) / (p.cases + 2) for p in (first, second)]
    sizes = [p.cases + 2 for p in (first, second)]
    variance = sum(s * (1 - s) / n for s, n in zip(shares, sizes, strict=True))
    return shares[0] - shares[1], math.sqrt(variance)


def _z(alpha: float, comparisons: int) -> float:
    """Standard errors that one of so many one-sided comparisons exceeds with probability alpha."""
    return NormalDist().inv_cdf(1 - alpha / max(1, comparisons))


# -- the answer's test rows


def right_rows(accurate: Iterable[int], wrong: Iterable[int]) -> tuple[int, list[int]]:
    """The bits of `Point.right`, and the offsets of the test rows in their order."""
    right = set(accurate)
    offsets = sorted(right | set(wrong))
    bits = sum(1 << place for place, offset in enumerate(offsets) if offset in right)
    return bits, offsets
