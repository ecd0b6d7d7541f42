"""Prefetch: a thread makes the next items while the caller works on the one before."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from sync.model.batches import Batch

T = TypeVar("T")
# Batches that wait hold about half a second's sending: a query can start meanwhile.
BUFFER_BYTES = 6_000_000


def prefetch(items: Iterator[T], size: Callable[[T], int] = lambda _: BUFFER_BYTES) -> Iterator[T]:
    """The same items in the same order. Another one is made while fewer than BUFFER_BYTES wait.

    size: bytes of an item. Without it one item waits at most.
    """
    buffer = _Buffer(size)
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        reader.submit(buffer.fill, items)
        try:
            yield from buffer.items()
        finally:
            buffer.close()


def batch_bytes(batch: Batch | None) -> int:
    """Bytes of a batch."""
    return len(batch.body) if batch else 0


class _Buffer(Generic[T]):
    """What waits between the reader and the caller, bounded by its bytes."""

    def __init__(self, size: Callable[[T], int]) -> None:
        self._size = size
        self._waiting: deque[T] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._ended = False  # nothing more comes
        self._closed = False  # nothing more is wanted
        self._error: BaseException | None = None

    def fill(self, items: Iterator[T]) -> None:
        """Make items while there is room, up to their end or the first error.

        `items` raises that error to the caller.
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
            self._changed.wait_for(lambda: self._closed or self._bytes < BUFFER_BYTES)
            return not self._closed

    @staticmethod
    def _next(items: Iterator[T]) -> tuple[T] | None:
        """The next item, in a tuple because an item may be None or empty. None at the end."""
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
