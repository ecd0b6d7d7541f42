"""The lock of a run: leases in the ledger, renewed by a thread while the process lives.

A lease expires when its process dies. `max_instance_count = 1` is no lock, this is: a run may
write to Aito only while `check` does not raise.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from sync.base.clock import Clock
from sync.base.errors import Busy, LeaseLost, SyncError
from sync.ledger.leases import Holder, Taken

RENEW_SECONDS = 30
SPARE_SECONDS = 80  # a run may go on so long without renewal: two renewals may fail
# The last write ends so long before another run may begin, by clocks that differ a little.
MARGIN_SECONDS = 10
_UNKNOWN_HOLDER = Holder("another", 1.0)


class LeaseStore(Protocol):
    """Where leases are kept; see ledger.leases.LeaseTable."""

    def take(self, tables: Sequence[str], run_id: str, seconds: int) -> Taken:
        """Take the leases of tables for so many seconds."""
        ...

    def renew(self, run_id: str, seconds: int) -> int:
        """Prolong the run's leases. Returns how many it still holds."""
        ...

    def release(self, run_id: str, unfinished: Sequence[str]) -> None:
        """Give the run's leases back."""
        ...

    def holders(self, tables: Sequence[str]) -> dict[str, Holder]:
        """Who holds which of the tables."""
        ...


class RunLease:
    """The leases that one run holds.

    A run that was killed blocks its tables for at most SPARE_SECONDS, MARGIN_SECONDS and the
    longest write together.
    """

    def __init__(self, store: LeaseStore, run_id: str, clock: Clock, longest_write: float) -> None:
        """longest_write: seconds until a request to the target is given up."""
        self._store = store
        self._run_id = run_id
        self._clock = clock
        self._margin = longest_write + MARGIN_SECONDS
        self._seconds = math.ceil(SPARE_SECONDS + self._margin)
        self._until = 0.0
        self._held = 0
        self._stop_renewing = threading.Event()
        self._unfinished: Mapping[str, str] = {}

    def take(self, tables: Sequence[str]) -> dict[str, Busy]:
        """Take the leases of tables. Returns the error of each that another run holds."""
        requested = self._clock.monotonic()
        taken = self._store.take(tables, self._run_id, self._seconds)
        others = [table for table in tables if table not in taken.tables]
        holders = self._store.holders(others) if others else {}
        self._unfinished = taken.unfinished
        self._until = requested + self._seconds
        self._held = len(taken.tables)
        return {table: _busy(table, holders.get(table, _UNKNOWN_HOLDER)) for table in others}

    @property
    def unfinished(self) -> Mapping[str, str]:
        """The tables that an earlier run has left unfinished, each with the id of that run."""
        return self._unfinished

    @property
    def taken(self) -> bool:
        """Whether this run has held a lease."""
        return self._held > 0

    def check(self) -> None:
        """Raises LeaseLost when nothing more may be written."""
        if self._clock.monotonic() > self._until - self._margin:
            raise LeaseLost(
                "the lease ran out or was taken by another run; nothing more is written, "
                "the next run continues"
            )

    def renew(self) -> None:
        """Prolong the leases once. After a failure `check` sees the time run out."""
        requested = self._clock.monotonic()
        try:
            held = self._store.renew(self._run_id, self._seconds)
        except SyncError:
            return
        still_held = held >= self._held
        self._until = requested + self._seconds if still_held else 0.0

    @contextmanager
    def kept(self, unfinished: set[str]) -> Iterator[None]:
        """Renew in the background while the body runs, then give the leases back.

        unfinished: the tables that are not done; the body removes those that it has finished.
        """
        thread = threading.Thread(target=self._renew_regularly, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop_renewing.set()
            thread.join()
            self._release(sorted(unfinished))

    def _renew_regularly(self) -> None:
        while not self._stop_renewing.wait(RENEW_SECONDS):
            self.renew()

    def _release(self, unfinished: Sequence[str]) -> None:
        try:
            self._store.release(self._run_id, unfinished)
        except SyncError:
            return  # the leases expire by themselves


def _busy(table: str, holder: Holder) -> Busy:
    wait = max(1, round(holder.seconds_left + 0.5))
    return Busy(f"{table}: run {holder.run_id} is at work on it; try again in {wait} s", wait)
