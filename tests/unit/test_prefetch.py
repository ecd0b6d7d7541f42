"""Reading ahead: in order, bounded by the true size of what waits, and ended with its user."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sync.pipeline import prefetch as module
from sync.pipeline.prefetch import prefetch as ahead

WAIT = 10  # seconds after which a test gives up; nothing waits for so long


def counted(sizes: list[int], made: list[int], step: threading.Event) -> Iterator[int]:
    """The sizes; each is put on record when it is made."""
    for size in sizes:
        made.append(size)
        step.set()
        yield size


def settled(made: list[int], step: threading.Event, seconds: float = 0.2) -> int:
    """How many were made once no other comes for so many seconds."""
    while step.wait(seconds):
        step.clear()
    return len(made)


@pytest.mark.parametrize(
    "sizes", [[1] * 50, [2_000] + [5_000_000] * 20, [module.BUFFER_BYTES - 1, 9_000_000, 1, 1]]
)
def test_by_true_size(sizes: list[int]) -> None:
    """A small item opens no door for large ones: fewer than BYTES wait when another is begun."""
    made: list[int] = []
    step = threading.Event()
    taken = 0
    for item in ahead(counted(sizes, made, step), lambda size: size):
        taken += 1
        waiting = made[taken : settled(made, step, 0.01)]
        assert sum(waiting[:-1]) < module.BUFFER_BYTES
        assert item == sizes[taken - 1]
    assert taken == len(sizes)


def test_without_a_size_one_waits() -> None:
    """The next is begun when the one that waited is taken."""
    made: list[int] = []
    step = threading.Event()
    items = ahead(counted([1, 2, 3, 4], made, step))
    assert next(items) == 1
    assert settled(made, step) == 2
    assert list(items) == [2, 3, 4]


def test_an_error_comes_in_its_place() -> None:
    """What was made before it is used first."""

    def items() -> Iterator[int]:
        yield 1
        raise ValueError("the second")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="the second"):
        next(found)


def test_the_reader_ends_with_its_user() -> None:
    """Whoever stops in the middle leaves no thread behind."""
    before = threading.active_count()
    items = ahead(iter(range(1000)))
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]  # a generator
    assert threading.active_count() == before
