"""The lock of a run: leases in the ledger, renewed by a thread while the process lives, expiring
when it dies.

`max_instance_count = 1` is no lock; this is. A run may write to Aito only while `check` does not
raise.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from sync.base.clock import Clock
from sync.base.errors import Busy, LeaseLost, SyncError

RENEW_SECONDS = 30
SPARE_SECONDS = 80  # so long a run goes on while it cannot renew: two renewals may fail
MARGIN_SECONDS = 10  # more than the longest write may take: it is over before another run can begin


class Book(Protocol):
    """What a lease needs of the ledger."""

    def lease(self, tables: Sequence[str], run_id: str, seconds: int) -> tuple[int, int]: ...
    def renew(self, run_id: str, seconds: int) -> int: ...
    def release(self, run_id: str, unfinished: Sequence[str]) -> None: ...
    def holders(self, tables: Sequence[str]) -> dict[str, tuple[str, float]]: ...


class Lease:
    """Leases of some tables, held by one run. longest_write: seconds until a request to Aito is
    given up.

    A run that was killed blocks its tables for at most SPARE_SECONDS, MARGIN_SECONDS and the
    longest write together.
    """

    def __init__(self, book: Book, run_id: str, clock: Clock, longest_write: float) -> None:
        self._book = book
        self._run_id = run_id
        self._clock = clock
        self._margin = longest_write + MARGIN_SECONDS
        self._seconds = math.ceil(SPARE_SECONDS + self._margin)
        self._until = 0.0
        self._count = 0
        self.inherited = False  # whether a run before this one ended without having finished
        self.unfinished: list[str] = []  # tables to be left to the next run as such
        self._done = threading.Event()

    def take(self, tables: Sequence[str]) -> dict[str, Busy]:
        """Take the leases of `tables`; the error of each that another run holds."""
        asked = self._clock.monotonic()
        free, expired = self._book.lease(tables, self._run_id, self._seconds)
        busy = {} if free + expired == len(tables) else self._held_by_others(tables)
        self.inherited = expired > 0
        self._until = asked + self._seconds
        self._count = len(tables) - len(busy)
        return busy

    def _held_by_others(self, tables: Sequence[str]) -> dict[str, Busy]:
        holders = self._book.holders(tables)
        mine = {table for table, (run_id, _) in holders.items() if run_id == self._run_id}
        return {
            table: _busy(table, *holders.get(table, ("another", 1.0)))
            for table in tables
            if table not in mine
        }

    @property
    def taken(self) -> bool:
        """Whether this run has ever held a lease."""
        return self._count > 0

    def check(self) -> None:
        """Raises LeaseLost when nothing more may be written."""
        if self._clock.monotonic() > self._until - self._margin:
            raise LeaseLost(
                "the lease ran out or was taken by another run; nothing more is written, the next"
                " run continues"
            )

    def renew(self) -> None:
        """Prolong the leases once. Any failure is left to `check`, which sees the time run out."""
        asked = self._clock.monotonic()
        try:
            held = self._book.renew(self._run_id, self._seconds)
        except SyncError:
            return
        self._until = asked + self._seconds if held >= self._count else 0.0

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew in the background while the body runs, and give the leases back after it."""
        thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()
            self._release()

    def _keep(self) -> None:
        while not self._done.wait(RENEW_SECONDS):
            self.renew()

    def _release(self) -> None:
        try:
            self._book.release(self._run_id, self.unfinished)
        except SyncError:
            return  # it expires by itself


def _busy(table: str, run_id: str, seconds_left: float) -> Busy:
    wait = max(1, round(seconds_left + 0.5))
    return Busy(f"{table}: run {run_id} is at work on it; try again in {wait} s", wait)
