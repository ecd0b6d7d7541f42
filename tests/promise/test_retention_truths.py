"""Planted truths become the right recommendation; `python -m tests.promise.retention_truths`."""

from __future__ import annotations

import pytest

from tests.promise.retention_truths import TRUTHS, main, verdict_on


@pytest.mark.parametrize("name", TRUTHS)
def test_a_planted_truth_is_found(name: str) -> None:
    """Stable, changed, weak and noise: a few seeds of each."""
    found = [TRUTHS[name].expected(verdict_on(TRUTHS[name], seed)[0]) for seed in range(2)]
    assert found == [True, True]


@pytest.mark.slow
def test_over_many_seeds() -> None:
    """As often as is asked for, of 200 seeds of each kind."""
    assert main(["--seeds", "200"]) == 0
