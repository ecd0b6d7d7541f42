"""A real drop is told once, noise is not, and what is below min_accuracy always is."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from sync.evaluation.judge import Measurement, judge, judge_each
from sync.model.basis import Basis
from sync.model.statistics import interval


def measured(
    accuracies: Iterable[float], cases: int, seed: int, base: float = 0.3
) -> list[Measurement]:
    """Nights of so many cases, each right with the night's probability."""
    dice = random.Random(seed)
    return [
        Measurement(sum(dice.random() < p for _ in range(cases)) / cases, base, cases)
        for p in accuracies
    ]


def told(runs: list[Measurement], min_accuracy: float | None = None) -> list[str | None]:
    """What is said each night, when each is judged by those before it, as the nights come."""
    return judge_each(runs, min_accuracy)


@pytest.mark.parametrize("accuracy", [0.3, 0.5, 0.7, 0.9, 0.98])
@pytest.mark.parametrize("seed", range(4))
def test_noise_does_not_cry_wolf(accuracy: float, seed: int) -> None:
    """100 nights of 50 cases and nothing but chance: at most 5 findings, and mostly none."""
    findings = [finding for finding in told(measured([accuracy] * 100, 50, seed)) if finding]
    assert len(findings) <= 2 < 5


def test_noise_over_many_seeds() -> None:
    """Over 2,000 nights of 50 cases there is less than one finding in 300."""
    nights = [finding for seed in range(20) for finding in told(measured([0.75] * 100, 50, seed))]
    assert sum(finding is not None for finding in nights) < len(nights) / 300


@pytest.mark.parametrize(
    ("before", "after", "cases"), [(0.85, 0.5, 50), (0.8, 0.6, 200), (0.8, 0.7, 1000)]
)
def test_a_drop_is_told_once(before: float, after: float, cases: int) -> None:
    """A real drop is told within two nights and not in the nights after, but for one time in
    twenty.
    """
    twice = 0
    for seed in range(20):
        found = told(measured([before] * 30 + [after] * 30, cases, seed))
        nights = [n for n, finding in enumerate(found) if finding and n >= 30]
        assert nights[0] <= 32
        assert "dropped" in str(found[nights[0]])
        twice += len(nights) > 1
    assert twice <= 1


def test_small_nights_are_taken_together() -> None:
    """A drop too small for one night of 50 cases is seen within two weeks."""
    late = 0
    for seed in range(20):
        found = told(measured([0.8] * 30 + [0.6] * 14, 50, seed))
        late += not any(found[30:])
    assert late <= 1


def test_a_drop_after_a_recovery_is_another() -> None:
    """Down, up and down again are two findings: recovery itself is none."""
    nights = [0.8] * 20 + [0.5] * 10 + [0.8] * 20 + [0.5] * 10
    found = told(measured(nights, 500, 1))
    assert [n for n, finding in enumerate(found) if finding] == [20, 50]


def test_a_night_is_judged_by_the_nights_before_it() -> None:
    """The newest result is judged as it is in the whole series."""
    runs = measured([0.8] * 10 + [0.5] * 5, 500, 2)
    reports = told(runs)
    assert any(reports)
    assert reports == [judge(run, runs[:night], None) for night, run in enumerate(runs)]


def test_below_the_minimum_is_told_always() -> None:
    """min_accuracy is the user's own number: every night below it is told, those at it or above
    are not.
    """
    found = told([Measurement(p, None, 50) for p in (0.59, 0.58, 0.6, 0.61, 0.59)], 0.6)
    assert ["below min_accuracy 0.6" in str(finding) for finding in found] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_guessing_is_told_once() -> None:
    """An evaluation that does not beat its base accuracy is told once, not each night."""
    found = told(measured([0.48] * 60, 1000, 1, base=0.5))
    assert sum("no better" in str(finding) for finding in found) == 1
    assert judge(Measurement(0.7, 0.5, 1000), [], None) is None


def test_few_cases_cannot_show_that_it_guesses() -> None:
    """50 cases a night never suffice to rule out that the model is worth something."""
    assert not any(told([Measurement(0.5, 0.5, 50)] * 9))


def test_trifles_are_not_worth_a_mail() -> None:
    """With a million cases half a point is significant, and no finding."""
    assert (
        told([Measurement(0.8, 0.3, 10**6)] * 20 + [Measurement(0.795, 0.3, 10**6)]) == [None] * 21
    )


def test_swings_that_come_every_week_are_known() -> None:
    """Weekends are worse by more than sampling explains; after the first ones they are no news."""
    week = [0.8, 0.8, 0.8, 0.8, 0.8, 0.75, 0.75]
    found = told(measured(week * 12, 5000, 3))
    assert sum(finding is not None for finding in found[14:]) <= 2


def test_runs_without_cases_say_nothing() -> None:
    """An evaluation that tested no row is neither judged nor held against others."""
    assert (
        told([Measurement(0.8, 0.5, 100), Measurement(0.0, 0.0, 0), Measurement(0.8, 0.5, 100)])
        == [None] * 3
    )


@pytest.mark.parametrize("cases", [1, 50, 10**7])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_the_interval_holds_the_share(share: float, cases: int) -> None:
    """Whatever the share, it lies in its interval, which lies within 0 and 1 and shrinks with the
    cases.
    """
    low, high = interval(share, cases)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    assert high - low < 2.1 / cases**0.5


# -- what changed with it

BEFORE = Basis('{"question": "q", "columns": {"page": "1", "referrer": "1"}}', "1.0", 1000, 500)


def after_a_change(**changed: object) -> str | None:
    """What is said of a real drop between two nights, whose bases differ so."""
    nights = [Measurement(0.72, 0.3, 500, BEFORE)] * 10
    return judge(Measurement(0.5, 0.3, 500, replace(BEFORE, **changed)), nights, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "from 0.720 in the 10 runs before"),
        (
            {"definition": '{"question": "q", "columns": {"page": "1", "referrer": "2"}}'},
            "after column `referrer` was redefined",
        ),
        ({"engine": "1.1"}, "after Aito's build became 1.1 (was 1.0)"),
        ({"cases": 300}, "after `cases` became 300 (was 500)"),
        ({"rows": 500}, "after the table went from 1,000 to 500 rows"),
        ({"rows": 900}, "before"),
    ],
)
def test_a_drop_names_what_changed_with_it(changed: dict[str, object], said: str) -> None:
    """Column, build, cases or rows: what differs between the night and the one before it."""
    found = after_a_change(**changed)
    assert found
    assert found.startswith("accuracy dropped to 0.500")
    assert found.endswith(said)


def test_another_question_is_not_compared() -> None:
    """A lower accuracy after `predict` was changed is no drop."""
    other = '{"question": "r", "columns": {"page": "1", "referrer": "1"}}'
    assert after_a_change(definition=other) is None
    assert after_a_change(definition=None) is not None
