"""Whether an evaluation's result should worry somebody. Pure: it replays the past runs and
remembers nothing itself.

An accuracy measured on few cases is mostly chance. So a run, or the last few runs taken together,
is held against the runs before them with the sampling error of both: that of the binomial
distribution, and on top of it what the past runs themselves have swung by, such as weekends. What
has shifted by more than Z such errors starts a new level, which later runs are held against: a drop
is told in the night it is seen and not in the nights after.

    below min_accuracy         told every time; it is the user's own number
    dropped                    told once: the run begins a new, lower level; and not again soon when two of the last
                               runs were as low, so that weekends are told of the first time
    no better than guessing    told once, until it has been clearly better again: the pooled runs do not beat the base
                               accuracy, and the cases are enough to show that they will not by much
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

# errors that count as no chance: one night in 4,000 each way, and every night asks for each of
# SPANS
Z = 3.5
SPANS = (
    1,
    2,
    4,
)  # so many last runs are pooled: a drop that one night of 50 cases hides shows within a week
REFERENCE = 10  # so many runs of the level are what the newer ones are held against
# with a million cases every trifle is significant; a point is the least that is worth a mail
SMALLEST_DROP = 0.01
REMEMBERED = 14  # an accuracy that two of so many last runs had is no news: two weeks of nights,
KNOWN = 30  # if a drop was told within so many, or was known already: a month
USEFUL_GAIN = 0.05  # guessing is said to be as good when a gain of this much can be ruled out


@dataclass(frozen=True)
class Run:
    """One finished evaluation.

    test_samples 0: not told, as a query that selects its figures may leave it out.
    """

    accuracy: float
    base_accuracy: float | None
    test_samples: int


def judge(new: Run, past: Iterable[Run], min_accuracy: float | None) -> str | None:
    """What is to be said about the newest run, or None.

    past: the finished runs before it, oldest first.
    """
    *_, finding = findings([*past, new], min_accuracy)
    return finding


def findings(runs: Iterable[Run], min_accuracy: float | None) -> Iterator[str | None]:
    """What is to be said about each of the runs, judged by those before it. Oldest first."""
    level = _Level()
    for run in runs:
        found = [_below(run, min_accuracy), *level.take(run)]
        yield "; ".join(finding for finding in found if finding) or None


def _below(new: Run, min_accuracy: float | None) -> str | None:
    if min_accuracy is None or new.accuracy >= min_accuracy:
        return None
    return f"accuracy {new.accuracy:.3f} is below min_accuracy {min_accuracy:g}"


class _Level:
    """The runs since the last shift."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._late: list[Run] = []  # the last runs, whatever their level
        self._since_told = KNOWN  # runs since a drop was told
        self._told_guessing = False

    def take(self, run: Run) -> list[str]:
        """Add a run; what is new about it."""
        if run.test_samples <= 0:
            return []
        self._runs.append(run)
        self._late = [*self._late, run][-REMEMBERED - max(SPANS) :]
        self._since_told += 1
        return [finding for finding in (self._dropped(), self._guessing()) if finding]

    def _dropped(self) -> str | None:
        """Look for a shift behind each span of last runs; a shift of either direction starts a new
        level.
        """
        for span in SPANS:
            before, after = self._runs[:-span][-REFERENCE:], self._runs[-span:]
            if before and _shifted(before, after):
                self._runs = after
                return (
                    self._told_drop(before, after) if _accuracy(after) < _accuracy(before) else None
                )
        return None

    def _told_drop(self, before: Sequence[Run], after: Sequence[Run]) -> str | None:
        known = self._since_told < KNOWN and self._was_as_low(after)
        self._since_told = 0
        return None if known else _drop(before, after)

    def _was_as_low(self, after: Sequence[Run]) -> bool:
        """Whether two of the runs before had about this accuracy too: it is known then, or one of
        those weekends.
        """
        others = sorted(run.accuracy for run in self._late[: -len(after)][-REMEMBERED:])
        now, error = _accuracy(after), _error(_accuracy(after), _cases(after))
        return len(others) > 1 and now > others[1] - max(2 * error, SMALLEST_DROP)

    def _guessing(self) -> str | None:
        runs = self._runs[-REFERENCE:]
        if any(run.base_accuracy is None for run in runs):
            return None
        base = _pooled([(run.base_accuracy or 0.0, run.test_samples) for run in runs])
        gain = _accuracy(runs) - base
        error = math.hypot(_error(_accuracy(runs), _cases(runs)), _error(base, _cases(runs)))
        if gain > Z * error:
            self._told_guessing = False
        if self._told_guessing or gain > 0 or gain + Z * error > USEFUL_GAIN:
            return None
        self._told_guessing = True
        return (
            f"accuracy {_accuracy(runs):.3f} is no better than base_accuracy {base:.3f}, which is"
            " to guess"
        )


def _shifted(before: Sequence[Run], after: Sequence[Run]) -> bool:
    """Whether the two differ by more than chance, and by enough to matter."""
    together = _accuracy([*before, *after])
    error = math.hypot(_error(together, _cases(before)), _error(together, _cases(after)))
    error = math.hypot(error, _swing(before) / math.sqrt(len(after)))
    return abs(_accuracy(before) - _accuracy(after)) > max(Z * error, SMALLEST_DROP)


def _swing(runs: Sequence[Run]) -> float:
    """The standard deviation between runs that sampling does not explain."""
    if len(runs) < 2:
        return 0.0
    mean = _accuracy(runs)
    variance = sum((run.accuracy - mean) ** 2 for run in runs) / (len(runs) - 1)
    sampling = sum(_error(mean, run.test_samples) ** 2 for run in runs) / len(runs)
    return math.sqrt(max(0.0, variance - sampling))


def _drop(before: Sequence[Run], after: Sequence[Run]) -> str:
    nights = "the last run" if len(after) == 1 else f"the last {len(after)} runs"
    known = "the run" if len(before) == 1 else f"the {len(before)} runs"
    return (
        f"accuracy dropped to {_accuracy(after):.3f} in {nights}, from {_accuracy(before):.3f} in"
        f" {known} before"
    )


def _accuracy(runs: Sequence[Run]) -> float:
    return _pooled([(run.accuracy, run.test_samples) for run in runs])


def _cases(runs: Sequence[Run]) -> int:
    return sum(run.test_samples for run in runs)


def _pooled(shares: Sequence[tuple[float, int]]) -> float:
    return sum(share * cases for share, cases in shares) / sum(cases for _, cases in shares)


def _error(share: float, cases: int) -> float:
    """The standard error of a share.

    A share of 0 or 1 is no certainty: two cases more of each kind are assumed.
    """
    smoothed = (share * cases + 2) / (cases + 4)
    return math.sqrt(smoothed * (1 - smoothed) / (cases + 4))


def interval(share: float, cases: float) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's formula: within 0 and 1 whatever the share is."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * cases)) / (1 + z2 / cases)
    half = 1.96 / (1 + z2 / cases) * math.sqrt(share * (1 - share) / cases + z2 / (4 * cases**2))
    return max(0.0, middle - half), min(1.0, middle + half)
