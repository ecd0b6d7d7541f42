"""Reading ahead: the next items are made in a thread of their own while the caller works on the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sync.batches import Batch

T = TypeVar("T")
LEAST = 2  # batches: one that waits and one that is fetched, so that neither side waits for the other's hiccups
BYTES = 8_000_000  # of batches that wait: half a second's sending, in which a query can run that nothing comes from


def ahead(items: Iterator[T], room: Callable[[T], int] = lambda _: 1) -> Iterator[T]:
    """The same items in the same order. room: how many may be on their way or wait, judged by the last that came."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        upcoming = deque([reader.submit(next, items, end)])
        try:
            while (item := upcoming.popleft().result()) is not end:
                for _ in range(room(item) - len(upcoming)):  # type: ignore[arg-type]  # not the sentinel
                    upcoming.append(reader.submit(next, items, end))
                yield item  # type: ignore[misc]
        finally:
            for asked in upcoming:
                asked.cancel()


def room(batch: Batch | None) -> int:
    """Room for batches like this one, small as they may be or large; None: of an unknown size."""
    return LEAST if batch is None else max(LEAST, BYTES // len(batch.body))
