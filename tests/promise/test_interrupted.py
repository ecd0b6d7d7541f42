"""After a run that did not finish, the next run finds what it left behind, however far back."""

from __future__ import annotations

import re

import pytest

from local.stack import Stack
from tests.variations import slow
from tests.workbench import HOUR, NOW, Workbench, batches_of, row

KEYS = [f"k{i:02}" for i in range(40)]


def sparse(stack: Stack, name: str) -> Workbench:
    """A source of 40 rows over 20 days, which goes to Aito in batches of ten.

    The lookback is an hour. So a sync reads no more than the newest row again.
    """
    bench = Workbench(stack, name, keep=None, settings=batches_of(10), now=NOW)
    bench.put([row(key, bench.now - 12 * HOUR * (40 - i)) for i, key in enumerate(KEYS)])
    return bench


@pytest.fixture
def loaded(stack: Stack, request: pytest.FixtureRequest) -> Workbench:
    """The same after its first load."""
    bench = sparse(stack, re.sub(r"\W+", "_", request.node.name))
    assert bench.run().http_status == 200
    return bench


def test_damage_far_behind_the_watermark(loaded: Workbench) -> None:
    """A killed run left a doubled row, and a hole, ten days before the watermark.

    While its lease lasts, the next run is told to wait. The one after that repairs the damage, and
    gives its lease back.
    """
    loaded.sql(f"DELETE FROM `{loaded.ledger}.runs` WHERE TRUE")  # as if it was the first load
    assert loaded.lease_states() == ["done"]
    loaded.hold_lease("killed")
    loaded.aito.double_rows(loaded.name, {"id": "k20"})
    loaded.aito.delete_rows(loaded.name, {"id": "k22"})
    assert loaded.run().http_status == 409
    loaded.expire_leases()
    report = loaded.run()
    assert report.http_status == 200
    assert report.tables[0].repaired == 2
    assert loaded.aito_keys() == KEYS
    assert loaded.lease_states() == ["done"]


def test_a_failed_run_is_seen_by_the_next(stack: Stack) -> None:
    """A failed run leaves its lease as expired. So the next run looks at what it did."""
    bench = sparse(stack, "interrupted_failed")
    bench.aito.fail("unavailable", on="insert", times=None, skip=2)
    assert bench.run().http_status == 503
    bench.aito.heal()
    assert bench.lease_states() == ["unfinished"]
    bench.aito.double_rows(bench.name, {"id": "k03"})
    assert bench.run().http_status == 200
    assert bench.aito_keys() == KEYS


def test_a_table_that_was_made_anew(loaded: Workbench) -> None:
    """What an earlier ok run proved holds for the table that it loaded, and for no later one.

    After a load of the new table that failed half-way, the next run checks all of it.
    """
    loaded.aito.drop_table(loaded.name)
    loaded.aito.fail("unavailable", on="insert", times=None, skip=2)
    assert loaded.run().http_status == 503
    loaded.aito.heal()
    loaded.aito.double_rows(loaded.name, {"id": "k03"})
    report = loaded.run()
    assert (report.http_status, report.tables[0].repaired) == (200, 1)
    assert loaded.aito_keys() == KEYS


@pytest.mark.parametrize("what", ["cut", *slow("error")])
def test_a_write_that_lands_two_runs_later(loaded: Workbench, what: str) -> None:
    """A lost insert is applied after the next run was ok. The run after that finds the doubles.

    What was answered by 500, and by no row's fault, is one of them. So it is with a process that
    was frozen, and writes once more after the run that took over ended ok.
    """
    loaded.put([row(f"n{i}", loaded.now - 9 - i) for i in range(5)])
    loaded.aito.fail(what, on="insert", apply="late")
    loaded.run_ok()
    loaded.now += 24 * HOUR
    loaded.put([row("later", loaded.now - 5)])
    loaded.run_ok()
    assert loaded.aito.land() == 1
    loaded.now += 24 * HOUR
    loaded.run_ok()

    loaded.hold_lease("frozen")
    loaded.expire_leases()
    loaded.now += 40 * HOUR
    loaded.put([row("last", loaded.now - 5)])
    loaded.run_ok()
    loaded.aito.double_rows(loaded.name, {"id": "later"})
    loaded.run_ok()
