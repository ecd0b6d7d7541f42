"""The pause before a request is sent again."""

from __future__ import annotations

import pytest

from sync.base.backoff import Backoff
from sync.base.clock import Clock, Deadline


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.slept.append(seconds)
        self.seconds += seconds

    def deadline(self, left: float, stopped: bool = False) -> Deadline:
        """A deadline so many seconds from now."""
        clock = Clock(monotonic=lambda: self.seconds, sleep=self.sleep)
        return Deadline.after(clock, left, lambda: stopped)


def longest(low: float, high: float) -> float:
    """Always draws the upper bound."""
    assert low == 0.0
    return high


def test_pauses_double_up_to_the_longest() -> None:
    """0.5, 1, 2, 4, 8 and then 15 seconds at most."""
    time, backoff = Time(), Backoff(attempts=9, uniform=longest)
    for attempt in range(1, 9):
        assert backoff.pause(attempt, time.deadline(1000))
    assert time.slept == [0.5, 1, 2, 4, 8, 15, 15, 15]


def test_jitter_is_full() -> None:
    """A pause may be anything from nothing to its whole length."""
    time = Time()
    for _ in range(300):
        assert Backoff().pause(1, time.deadline(1000))
    assert 0 <= min(time.slept) < 0.1
    assert 0.4 < max(time.slept) <= 0.5


def test_no_attempt_is_left() -> None:
    """After the last attempt nothing is waited for."""
    time = Time()
    assert not Backoff(attempts=3).pause(3, time.deadline(1000), retry_after=1)
    assert time.slept == []


@pytest.mark.parametrize(("named", "waited"), [(3, 3), (0, 0), (-9, 0), (15, 15), (86400, 15)])
def test_retry_after_is_obeyed_within_bounds(named: float, waited: float) -> None:
    """A Retry-After replaces the drawn pause, but never makes it longer than the longest."""
    time = Time()
    assert Backoff().pause(1, time.deadline(1000), retry_after=named)
    assert time.slept == [waited]


def test_never_past_the_deadline() -> None:
    """A pause that would end at the deadline or after it is not begun."""
    time = Time()
    assert not Backoff().pause(1, time.deadline(3), retry_after=3)
    assert not Backoff().pause(1, time.deadline(1000, stopped=True), retry_after=1)
    assert time.slept == []
    assert Backoff().pause(1, time.deadline(3.1), retry_after=3)
