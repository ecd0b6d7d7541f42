"""Values that are made when they are first needed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from sync.base.once import Once


def test_threads_that_need_it_first_get_the_same() -> None:
    """Two first requests at once: the one object hears the signal to stop, not one of two."""
    both = threading.Barrier(2)
    made = []

    def make() -> object:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)  # for the other thread, which must not come here
        made.append(object())
        return made[-1]

    once = Once(make)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda once: once(), [once, once])
    assert first is second
    assert len(made) == 1


def test_a_failure_is_not_kept() -> None:
    """The next call tries again."""
    outcomes = iter([None, "made"])

    def make() -> str:
        outcome = next(outcomes)
        if outcome is None:
            raise ValueError("not yet")
        return outcome

    once = Once(make)
    with pytest.raises(ValueError, match="not yet"):
        once()
    assert (once(), once()) == ("made", "made")
