"""One run at a time for each table: a second one gets 409, and one that lost its lease writes
nothing more.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.stack import Function, Stack
from tests.faults import after_first_query
from tests.workbench import (
    DAY,
    LONG_AGO,
    Clock,
    Workbench,
    batches_of,
    limit_renewal,
    replace_load,
    row,
)


def test_held_expired_and_given_back(stack: Stack) -> None:
    """Held by another run: 409 and Retry-After. Expired: taken over. Given back: free.

    There is one row, however many runs there were. A second row, of a run that died in the very
    first race, expired long ago. It lets no run in while another run holds the table.
    """
    bench = Workbench(stack, "lease_states")
    bench.put([row("a", bench.now - 5)])
    bench.run_ok()
    bench.hold_lease("another")
    report = bench.run()
    assert (report.http_status, report.tables[0].status) == (409, "busy")
    assert 3500 < (report.retry_after or 0) <= 3601
    bench.hold_lease("dead")
    bench.expire_leases()
    bench.run_ok()
    bench.run_ok()
    assert len(bench.ledger_rows("leases")) == 1
    bench.hold_lease("another")
    bench.insert_lease("dead", LONG_AGO)
    assert bench.run().http_status == 409
    bench.expire_leases()
    bench.run_ok()
    bench.run_ok()


def test_two_very_first_runs(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """BigQuery does not serialise INSERTs. Of two runs that insert a lease at the same time, one
    sees the other's row, and deletes its own.
    """
    bench = Workbench(stack, "lease_first", first=True)
    bench.put([row("a", bench.now - 5)])
    after_first_query(
        monkeypatch,
        lambda query: query.startswith("INSERT") and ".leases" in query,
        lambda: bench.insert_lease("other"),
    )
    report = bench.run()
    assert (report.http_status, report.tables[0].status) == (409, "busy")
    assert "run other is at work on it" in str(report.tables[0].error)
    assert [lease["run_id"] for lease in bench.ledger_rows("leases")] == ["other"]
    assert bench.aito_rows() == []
    bench.expire_leases()
    bench.run_ok()


def test_another_run_takes_the_lease_in_the_middle(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose lease another one took stops before its next write, partial; afterwards nothing
    is doubled.
    """
    limit_renewal(monkeypatch, 0.1)
    bench = Workbench(stack, "lease_stolen", settings=batches_of(20))
    bench.put([row(f"k{i:03}", bench.now - 900 + i) for i in range(120)])
    stack.aito.fail("slow", on="insert", times=None, seconds=0.25)
    stack.aito.refuse(
        lambda document: bench.hold_lease("thief") if document["id"] == "k040" else None
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


def test_frozen_for_longer_than_the_lease(stack: Stack) -> None:
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


@pytest.mark.parametrize("rounds", [4, pytest.param(50, marks=pytest.mark.slow)])
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
        bench.name, [{"id": "old", "at": "", "value": "", "unix": bench.now - 11 * DAY}]
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


def test_ctrl_c_gives_the_leases_back(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the run, and leaves its leases as expired: those of a run that did not finish."""
    bench = Workbench(stack, "lease_interrupted")
    bench.put([row("a", bench.now - 5)])

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    replace_load(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    assert bench.lease_states() == ["unfinished"]
