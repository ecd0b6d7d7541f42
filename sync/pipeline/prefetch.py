"""Reading ahead: the next items are made in a thread of their own while the caller works on the
one before.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from sync.model.batches import Batch

T = TypeVar("T")
# of batches that wait: half a second's sending, in which a query can run that nothing comes from
BYTES = 6_000_000


def ahead(items: Iterator[T], size: Callable[[T], int] = lambda _: BYTES) -> Iterator[T]:
    """The same items in the same order. Another one is made whenever fewer than BYTES wait.

    size: an item's bytes; without it one item waits, and no other is made until that is taken.
    """
    shelf = _Shelf(size)
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        reader.submit(shelf.fill, items)
        try:
            yield from shelf.items()
        finally:
            shelf.close()


def size(batch: Batch | None) -> int:
    """Bytes of a batch."""
    return len(batch.body) if batch else 0


class _Shelf(Generic[T]):
    """What waits between the reader and the caller, by its true size: batches may be of any."""

    def __init__(self, size: Callable[[T], int]) -> None:
        self._size = size
        self._waiting: deque[T] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._ended = False  # nothing more comes
        self._closed = False  # nothing more is wanted
        self._error: BaseException | None = None

    def fill(self, items: Iterator[T]) -> None:
        """Make items while there is room, to their end or the first error, which is the caller's
        to see.
        """
        try:
            while self._wanted() and (more := self._next(items)):
                self._put(*more)
        except BaseException as error:  # noqa: BLE001 - raised again where the items are used
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._bytes < BYTES)
            return not self._closed

    @staticmethod
    def _next(items: Iterator[T]) -> tuple[T] | None:
        for item in items:
            return (item,)
        return None

    def _put(self, item: T) -> None:
        with self._changed:
            self._waiting.append(item)
            self._bytes += self._size(item)
            self._changed.notify_all()

    def items(self) -> Iterator[T]:
        """What was made, in order; then the error that ended it, if one did."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    break
                item = self._waiting.popleft()
                self._bytes -= self._size(item)
                self._changed.notify_all()
            yield item
        if self._error:
            raise self._error

    def close(self) -> None:
        """Let the reader end after what it is at."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
