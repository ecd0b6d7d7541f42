"""The lease by itself: how long this run may write, whatever BigQuery and the clock do."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from sync.base.clock import Clock
from sync.base.errors import LeaseLost, Unavailable
from sync.ledger import lease as lease_module
from sync.ledger.lease import SPARE_SECONDS, RunLease
from sync.ledger.leases import Holder, Taken

LONGEST_WRITE = 60
WAIT = 10  # seconds after which a test gives up; nothing waits for so long


class Book:
    """A ledger of one lease. free: this run gets it. held: leases that it still has."""

    def __init__(self, free: int = 1) -> None:
        self.free = self.held = free
        self.down = False
        self.asked_for = 0
        self.seconds_left = 12.3
        self.released: list[list[str]] = []

    def take(self, tables: Sequence[str], run_id: str, seconds: int) -> Taken:
        self.asked_for = seconds
        return Taken(frozenset(tables) if self.free else frozenset())

    def renew(self, run_id: str, seconds: int) -> int:
        if self.down:
            raise Unavailable("BigQuery is down")
        return self.held

    def release(self, run_id: str, unfinished: Sequence[str]) -> None:
        self.released.append(list(unfinished))

    def holders(self, tables: Sequence[str]) -> dict[str, Holder]:
        return {"t": Holder("other", self.seconds_left)}


class Seconds:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.at = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.at)


def taken(book: Book, seconds: Seconds) -> RunLease:
    lease = RunLease(book, "mine", seconds.clock, LONGEST_WRITE)
    assert lease.take(["t"]) == {}
    return lease


def test_it_runs_out() -> None:
    """Without renewal writing ends so long before another run may begin that the last write is
    over by then.
    """
    book, seconds = Book(), Seconds()
    lease = taken(book, seconds)
    assert book.asked_for > SPARE_SECONDS + LONGEST_WRITE
    seconds.at = SPARE_SECONDS
    lease.check()
    seconds.at += 0.1
    with pytest.raises(LeaseLost):
        lease.check()


def test_renewal_prolongs_it() -> None:
    """From the moment of asking, not of the answer."""
    seconds = Seconds()
    lease = taken(Book(), seconds)
    for _ in range(10):
        seconds.at += SPARE_SECONDS / 2
        lease.renew()
        lease.check()


def test_a_renewal_that_fails_changes_nothing() -> None:
    """BigQuery may be down for a moment; the time that was left is still ours, and no more."""
    book, seconds = Book(), Seconds()
    lease = taken(book, seconds)
    book.down, seconds.at = True, 60
    lease.renew()
    lease.check()
    seconds.at = SPARE_SECONDS + 1
    with pytest.raises(LeaseLost):
        lease.check()


def test_a_lease_that_another_run_took_is_lost_at_once() -> None:
    """Whatever the clock says."""
    book, seconds = Book(), Seconds()
    lease = taken(book, seconds)
    book.held = 0
    lease.renew()
    with pytest.raises(LeaseLost):
        lease.check()


def test_busy_tells_by_whom_and_for_how_long() -> None:
    """The error names the run and the seconds; there is nothing to write for this run."""
    lease = RunLease(Book(free=0), "mine", Seconds().clock, LONGEST_WRITE)
    busy = lease.take(["t"])
    assert (busy["t"].status, busy["t"].retry_after) == (409, 13)
    assert "run other is at work on it" in str(busy["t"])


def test_whether_a_lease_was_taken() -> None:
    """Not before it is asked for, and not when another run holds it: nothing is recorded then."""
    lease = RunLease(Book(), "mine", Seconds().clock, LONGEST_WRITE)
    assert not lease.taken
    lease.take(["t"])
    assert lease.taken
    busy = RunLease(Book(free=0), "mine", Seconds().clock, LONGEST_WRITE)
    busy.take(["t"])
    assert not busy.taken


def test_one_of_two_leases_is_lost() -> None:
    """A run that lost a table writes nothing more, though it still holds the other."""
    book, seconds = Book(), Seconds()
    lease = RunLease(book, "mine", seconds.clock, LONGEST_WRITE)
    assert lease.take(["a", "b"]) == {}
    book.held = 1
    lease.renew()
    with pytest.raises(LeaseLost):
        lease.check()


class SlowBook(Book):
    """A ledger that answers after 50 seconds."""

    def __init__(self, seconds: Seconds) -> None:
        super().__init__()
        self._seconds = seconds

    def take(self, tables: Sequence[str], run_id: str, seconds: int) -> Taken:
        self._seconds.at += 50
        return super().take(tables, run_id, seconds)

    def renew(self, run_id: str, seconds: int) -> int:
        self._seconds.at += 50
        return super().renew(run_id, seconds)


@pytest.mark.parametrize("renewed", [False, True])
def test_it_counts_from_the_request(renewed: bool) -> None:
    """BigQuery may set the end long before its answer arrives."""
    seconds = Seconds()
    lease = taken(SlowBook(seconds), seconds)
    requested = 0.0
    if renewed:
        requested = seconds.at
        lease.renew()
    seconds.at = requested + SPARE_SECONDS + 1
    with pytest.raises(LeaseLost):
        lease.check()


def test_busy_for_less_than_a_second() -> None:
    """Whoever is told to wait waits."""
    book = Book(free=0)
    book.seconds_left = 0.0
    lease = RunLease(book, "mine", Seconds().clock, LONGEST_WRITE)
    assert lease.take(["t"])["t"].retry_after == 1


class BusyBook(Book):
    """A ledger whose renewal takes a while. log: what was done, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []
        self.begun = threading.Event()
        self._end = threading.Event()

    def renew(self, run_id: str, seconds: int) -> int:
        if not self.begun.is_set():
            self.begun.set()
            threading.Timer(0.05, self._end.set).start()
            self._end.wait(WAIT)
            self.log.append("renewed")
        return self.held

    def release(self, run_id: str, unfinished: Sequence[str]) -> None:
        self.log.append(f"given back but for {unfinished}")
        raise Unavailable("BigQuery is down")


def test_it_is_renewed_while_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given back after the last renewal has ended. If that fails, it expires by itself."""
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.001)
    book = BusyBook()
    lease = taken(book, Seconds())
    unfinished = {"t", "b", "a"}
    with lease.kept(unfinished):
        assert book.begun.wait(WAIT)
        unfinished.remove("t")
    assert book.log == ["renewed", "given back but for ['a', 'b']"]
