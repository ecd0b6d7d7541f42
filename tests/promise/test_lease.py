"""One run at a time for each table: who comes second is told so, and who lost its lease writes
nothing more.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.stack import Function, Stack
from sync.base.errors import LeaseLost, Unavailable
from sync.model.sql import Parameter
from sync.ledger import lease as leases
from sync.ledger.lease import SPARE_SECONDS, RunLease
from sync.ledger.leases import TAKE_FIRST, Holder, Taken
from sync.ledger.tables import LedgerTables
from tests.workbench import DAY, Clock, Workbench, batches_of, replace_load, row

LONGEST_WRITE = 60
FAR = "TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 HOUR)"


class Book:
    """A ledger of one lease. free: this run gets it. held: leases that it still has."""

    def __init__(self, free: int = 1) -> None:
        self.free = self.held = free
        self.down = False
        self.asked_for = 0
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
        return {"t": Holder("other", 12.3)}


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
    """Without renewal writing bench so long before another run may begin that the last write is
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


# -- against the ledger in BigQuery


def hold(bench: Workbench, run_id: str, until: str) -> None:
    bench.sql(
        f"UPDATE `{bench.ledger}.leases` SET run_id = '{run_id}', expires_at = {until} WHERE TRUE"
    )


def test_held_expired_and_given_back(stack: Stack) -> None:
    """Held by another: 409 and when to come again.

    Run out: taken over. Given back: free, and one row for ever.
    """
    bench = Workbench(stack, "lease_states")
    bench.put([row("a", bench.now - 5)])
    bench.run_ok()
    hold(bench, "another", FAR)
    report = bench.run()
    assert (report.http_status, report.tables[0].status) == (409, "busy")
    assert 3500 < (report.retry_after or 0) <= 3601
    hold(bench, "dead", "TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 SECOND)")
    bench.run_ok()
    bench.run_ok()
    assert len(bench.sql(f"SELECT * FROM `{bench.ledger}.leases`")) == 1


def test_two_very_first_runs(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """BigQuery does not serialise INSERTs: of two rows made at once, whoever looks last takes its
    own back.
    """
    bench = Workbench(stack, "lease_first")
    bench.put([row("a", bench.now - 5)])
    change = LedgerTables.change

    def beside(self: LedgerTables, text: str, parameters: Sequence[Parameter]) -> int:
        done = change(self, text, parameters)
        if text == TAKE_FIRST:  # the other's row, which the statement above did not see
            bench.sql(
                f"INSERT INTO `{bench.ledger}.leases` (`table`, run_id, expires_at, state)"
                f" VALUES ('{bench.name}', 'other', {FAR}, 'held')"
            )
        return done

    monkeypatch.setattr(LedgerTables, "change", beside)
    report = bench.run()
    assert (report.http_status, report.tables[0].status) == (409, "busy")
    assert "run other is at work on it" in str(report.tables[0].error)
    monkeypatch.undo()
    assert [r["run_id"] for r in bench.sql(f"SELECT run_id FROM `{bench.ledger}.leases`")] == [
        "other"
    ]
    assert bench.aito_rows() == []
    bench.expire_leases()
    bench.run_ok()


def test_stolen_in_the_middle(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose lease another one took stops before its next write, partial; afterwards nothing
    is doubled.
    """
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.02)
    bench = Workbench(stack, "lease_stolen", settings=batches_of(20))
    bench.put([row(f"k{i:03}", bench.now - 900 + i) for i in range(400)])
    stack.aito.fail("slow", on="insert", times=None, seconds=0.25)
    stack.aito.refuse(
        lambda document: hold(bench, "thief", FAR) if document["id"] == "k040" else None
    )
    report = bench.run()
    stack.aito.refuse(None)
    stack.aito.heal()
    assert (report.http_status, report.tables[0].status) == (503, "partial")
    assert "lease" in str(report.tables[0].error)
    assert len(bench.aito_rows()) <= 80, "the batch in which it happened, and at most one more"
    assert bench.run().http_status == 409
    bench.expire_leases()
    bench.run_ok()


def test_asleep_for_longer_than_the_lease(stack: Stack) -> None:
    """A process that was frozen finds its lease run out and writes nothing more."""
    bench = Workbench(stack, "lease_asleep", settings=batches_of(10))
    bench.put([row(f"k{i:02}", bench.now - 900 + i) for i in range(50)])
    awake = itertools.count()
    jump = [0.0]

    def fall_asleep(document: dict[str, Any]) -> None:
        jump[0] = 1000.0 if next(awake) >= 9 else 0.0

    stack.aito.refuse(fall_asleep)
    report = bench.run(
        clock=Clock(now=lambda: bench.now, monotonic=lambda: 1e6 + jump[0], sleep=lambda _: None)
    )
    stack.aito.refuse(None)
    assert report.tables[0].status == "partial"
    assert len(bench.aito_rows()) == 10
    bench.run_until_ok(1)


def test_lost_while_a_write_is_repeated(stack: Stack) -> None:
    """Aito asks to come back in a quarter of a minute, again and again: the lease is looked at
    each time.
    """
    bench = Workbench(stack, "lease_repeats")
    bench.put([row("a", bench.now - 5)])
    time = [0.0]
    stack.aito.fail("contention", on="insert", times=None, retry_after=15)

    def sleep(seconds: float) -> None:
        time[0] += 4 * seconds

    report = bench.run(clock=Clock(now=lambda: bench.now, monotonic=lambda: time[0], sleep=sleep))
    assert report.tables[0].status == "partial"
    assert stack.aito.total(on="insert") == 2
    stack.aito.heal()
    bench.run_until_ok(1)


@pytest.mark.parametrize("rounds", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_two_processes_triggered_together(stack: Stack, rounds: int) -> None:
    """No doubles; one is told 409, or they take turns."""
    bench = Workbench(stack, f"lease_two_{rounds}", keep=None)
    environ = bench.environment()
    with Function(environ) as one, Function(environ) as two, ThreadPoolExecutor(2) as threads:
        for number in range(rounds):
            bench.put(
                [row(f"r{number}k{i}", bench.now - 3000 + 10 * number + i % 5) for i in range(30)]
            )
            answers = list(threads.map(lambda function: function.post(), (one, two)))
            statuses = sorted(status for status, _ in answers)
            assert statuses in ([200, 200], [200, 409]), answers
            bench.now += 1
            bench.assert_both_ends_equal()


def test_lost_before_the_purge(stack: Stack) -> None:
    """Nothing was new, so nothing was written, and the lease ran out unseen: nothing is purged
    with it.
    """
    bench = Workbench(stack, "lease_purge", keep=10 * DAY)
    bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(5)])
    bench.run_ok()
    stack.aito.insert(
        bench.name, [{"id": "old", "at": "", "value": "", "unix": int(bench.now) - 11 * DAY}]
    )
    jump = [0.0]

    def fall_asleep(event: dict[str, Any]) -> None:
        jump[0] = 1000.0 if event["event"] == "slice_done" else jump[0]

    clock = Clock(now=lambda: bench.now, monotonic=lambda: 1e6 + jump[0], sleep=lambda _: None)
    report = bench.run(clock=clock, on_event=fall_asleep)
    assert (report.tables[0].status, report.tables[0].purged) == ("partial", 0)
    assert "old" in {r["id"] for r in bench.aito_rows()}
    bench.run_until_ok(1)
    assert "old" not in {r["id"] for r in bench.aito_rows()}


def test_interrupted_for_good(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C passes every guard:
    the leases are given back as those of a run that did not finish.
    """
    bench = Workbench(stack, "lease_interrupted")
    bench.put([row("a", bench.now - 5)])

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    replace_load(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    (left,) = bench.sql(f"SELECT state FROM `{bench.ledger}.leases`")
    assert left["state"] == "unfinished"


def test_a_second_row_of_a_run_that_died_in_the_very_first_race(stack: Stack) -> None:
    """It ran out long ago, and is no way to a table that another run holds by the other row."""
    bench = Workbench(stack, "lease_two_rows")
    bench.put([row("a", bench.now - 5)])
    bench.run_ok()
    hold(bench, "another", FAR)
    bench.sql(
        f"INSERT INTO `{bench.ledger}.leases` (`table`, run_id, expires_at, state)"
        f" VALUES ('{bench.name}', 'dead', TIMESTAMP '2000-01-01 00:00:00+00', 'held')"
    )
    assert bench.run().http_status == 409
    bench.expire_leases()
    bench.run_ok()
    bench.run_ok()
