"""Whether an evaluation's result needs attention. Pure: it replays the earlier results.

An accuracy that was measured on few cases varies by chance. So the last few results are compared
with the results before them, with the standard error of both: that of the binomial distribution,
and that of the variation between the earlier results, such as weekends. A shift of more than
SIGNIFICANT standard errors starts a new level, and later results are compared with that level.
So a drop is reported once. A finding names what changed with it: a column, the engine's build,
`keep`, `cases` or the number of rows. Results that answer another question are not compared.

    below min_accuracy         reported every time: it is the user's own number
    dropped                    reported once: a new, lower level begins. It is not reported when two
                               recent results were as low, such as those of every weekend
    no better than guessing    reported once, until it has been clearly better again: the pooled
                               results do not exceed the base accuracy, and there are enough cases
                               to exclude a gain of USEFUL_GAIN
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sync.model.basis import UNKNOWN, Basis, changes, is_comparable
from sync.model.records import EvaluationRecord
from sync.model.statistics import standard_error

# Standard errors. One night in 4,000 exceeds it by chance in each direction, and each night is
# compared once for each of SPANS.
SIGNIFICANT = 3.5
# How many last results are pooled. Four nights show a drop that one night of 50 cases does not.
SPANS = (1, 2, 4)
MAX_REFERENCE = 10  # results of the level that newer results are compared with
# With a million cases every difference is significant. A smaller drop needs no attention.
SMALLEST_DROP = 0.01
RECENT = 14  # results: two weeks of nights. A level that two of them had is not new
KNOWN_FOR = 30  # results: for a month after a drop, a level that was seen before is not reported
USEFUL_GAIN = 0.05  # accuracy above the base accuracy


@dataclass(frozen=True)
class Measurement:
    """One finished evaluation.

    cases: rows that were predicted. 0: not known, because the query did not select the number.
    basis: what could change the result.
    """

    accuracy: float
    base_accuracy: float | None
    cases: int
    basis: Basis = UNKNOWN


def measurement(record: EvaluationRecord) -> Measurement | None:
    """What a finished evaluation measured; None when it predicted no row or has not finished."""
    accuracy = record.figures.get("accuracy")
    cases = record.figures.get("test_samples")
    if record.state != "finished" or accuracy is None or cases == 0:
        return None
    base_accuracy = record.figures.get("base_accuracy")
    return Measurement(accuracy, base_accuracy, int(cases or 0), record.basis)


def judge(new: Measurement, past: Iterable[Measurement], min_accuracy: float | None) -> str | None:
    """What to report about the newest result, or None.

    past: the results before it, oldest first.
    """
    comparable = [result for result in past if is_comparable(result.basis, new.basis)]
    return judge_each([*comparable, new], min_accuracy)[-1]


def judge_each(results: Iterable[Measurement], min_accuracy: float | None) -> list[str | None]:
    """What to report about each result, judged by those before it. results: oldest first."""
    level = _Level()
    reports = []
    for result in results:
        findings = [_below(result, min_accuracy), *level.add(result)]
        reports.append("; ".join(finding for finding in findings if finding) or None)
    return reports


def _below(new: Measurement, min_accuracy: float | None) -> str | None:
    if min_accuracy is None or new.accuracy >= min_accuracy:
        return None
    return f"accuracy {new.accuracy:.3f} is below min_accuracy {min_accuracy:g}"


class _Level:
    """The results since the last shift."""

    def __init__(self) -> None:
        self._results: list[Measurement] = []
        self._recent: list[Measurement] = []  # the last results, of any level
        self._since_drop = KNOWN_FOR  # results since a drop was reported
        self._reported_guessing = False

    def add(self, result: Measurement) -> list[str]:
        """Add a result. Returns what is new about it."""
        if result.cases <= 0:
            return []
        self._results.append(result)
        self._recent = [*self._recent, result][-RECENT - max(SPANS) :]
        self._since_drop += 1
        findings = (self._drop(), self._guessing())
        return [finding for finding in findings if finding]

    def _drop(self) -> str | None:
        """Look for a shift before each span of last results. A shift starts a new level."""
        for span in SPANS:
            before, after = self._results[:-span][-MAX_REFERENCE:], self._results[-span:]
            if before and _shifted(before, after):
                self._results = after
                is_lower = _accuracy(after) < _accuracy(before)
                return self._report_drop(before, after) if is_lower else None
        return None

    def _report_drop(
        self, before: Sequence[Measurement], after: Sequence[Measurement]
    ) -> str | None:
        known = self._since_drop < KNOWN_FOR and self._was_as_low(after)
        self._since_drop = 0
        return None if known else _describe_drop(before, after)

    def _was_as_low(self, after: Sequence[Measurement]) -> bool:
        """Whether two of the recent results had about this accuracy too."""
        earlier = self._recent[: -len(after)][-RECENT:]
        if len(earlier) < 2:
            return False
        second_lowest = sorted(result.accuracy for result in earlier)[1]
        accuracy = _accuracy(after)
        tolerance = max(2 * standard_error(accuracy, _cases(after)), SMALLEST_DROP)
        return accuracy > second_lowest - tolerance

    def _guessing(self) -> str | None:
        results = self._results[-MAX_REFERENCE:]
        base = _base_accuracy(results)
        if base is None:
            return None
        accuracy, cases = _accuracy(results), _cases(results)
        error = math.hypot(standard_error(accuracy, cases), standard_error(base, cases))
        gain = accuracy - base
        if gain > SIGNIFICANT * error:
            self._reported_guessing = False
        may_be_useful = gain + SIGNIFICANT * error > USEFUL_GAIN
        if self._reported_guessing or gain > 0 or may_be_useful:
            return None
        self._reported_guessing = True
        return (
            f"accuracy {accuracy:.3f} is no better than base_accuracy {base:.3f}, which is the"
            " accuracy of guessing"
        )


def _shifted(before: Sequence[Measurement], after: Sequence[Measurement]) -> bool:
    """Whether the two differ by more than chance, and by enough to need attention."""
    pooled = _accuracy([*before, *after])
    error = math.hypot(
        standard_error(pooled, _cases(before)),
        standard_error(pooled, _cases(after)),
        _variation(before) / math.sqrt(len(after)),
    )
    difference = abs(_accuracy(before) - _accuracy(after))
    return difference > max(SIGNIFICANT * error, SMALLEST_DROP)


def _variation(results: Sequence[Measurement]) -> float:
    """The standard deviation between results, less what sampling explains."""
    if len(results) < 2:
        return 0.0
    mean = _accuracy(results)
    variance = sum((result.accuracy - mean) ** 2 for result in results) / (len(results) - 1)
    sampling = sum(standard_error(mean, result.cases) ** 2 for result in results) / len(results)
    return math.sqrt(max(0.0, variance - sampling))


def _describe_drop(before: Sequence[Measurement], after: Sequence[Measurement]) -> str:
    last = "the last run" if len(after) == 1 else f"the last {len(after)} runs"
    earlier = "the run" if len(before) == 1 else f"the {len(before)} runs"
    causes = " and ".join(changes(before[-1].basis, after[-1].basis))
    return (
        f"accuracy dropped to {_accuracy(after):.3f} in {last}, from {_accuracy(before):.3f} in"
        f" {earlier} before{', after ' if causes else ''}{causes}"
    )


def _accuracy(results: Sequence[Measurement]) -> float:
    """The share of right predictions in all results together."""
    return sum(result.accuracy * result.cases for result in results) / _cases(results)


def _base_accuracy(results: Sequence[Measurement]) -> float | None:
    """The base accuracy of all results together; None when one of them has none."""
    total = 0.0
    for result in results:
        if result.base_accuracy is None:
            return None
        total += result.base_accuracy * result.cases
    return total / _cases(results)


def _cases(results: Sequence[Measurement]) -> int:
    return sum(result.cases for result in results)
