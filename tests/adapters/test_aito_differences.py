"""Whole runs against an Aito that differs from what is assumed. The promise is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local.stack import Stack
from tests.workbench import DAY, Workbench, row

DIFFERENCES: dict[str, dict[str, Any]] = {
    "PUT empties": {"put_over_rows": "empty", "put_over_column": "empty"},
    "nullable is left out": {"nullable_true": "left out"},
    "read-back in other words": {
        "types": "lower",
        "self_links": "this",
        "nullable_false": "left out",
        "columns": "as made",
    },
    "analyzers as objects": {"analyzers": "object"},
    "analyzers as sent": {"analyzers": "as sent"},
    "no Long": {"long_type": False},
    "linked tables stay": {"rename_over_linked": False},
    "links must lead somewhere": {"dangling_links": False},
    "uploads": {"file_upload": True},
    "$or of 10": {"max_or": 10},
    "failed jobs tell": {"failed_jobs": "told"},
    "jobs expire": {"expired_jobs": "job"},
    "optimize is slow": {"slow": {"optimize": 0.2, "optimize.job": 0.2}, "gateway_seconds": 0.1},
    "collections": {"collections": ["somebody_elses"]},
    "hidden collections": {"hidden_collections": ["somebody_elses"]},
    "a limit of 100": {"refused_limit": 100},
    "new columns need a value": {"new_columns": "with a value"},
    "new columns take no value": {"new_columns": "without a value"},
    "refused batches leave rows": {"refused_rows": "before"},
    "null reads false": {"null_booleans": "false"},
    "modify inserts first": {"modify": "inserts first"},
    "modify deletes nothing": {"modify": "no delete"},
    "no modify": {"modify": "missing"},
    "jobs are 200": {"job_created": 200, "data_jobs": False},
    "pages of 10": {"max_limit": 10},
    "rows in order": {"insertion_order": True},
    "drop is ok": {"drop_missing": "ok"},
}
QUICK = ("no modify", "read-back in other words")


@pytest.fixture(scope="module")
def benches() -> dict[str, Workbench]:
    """One table for all tests: the emulator is slow to make tables."""
    return {}


@pytest.fixture
def switched(stack: Stack) -> Iterator[Stack]:
    """The stack, whose switches are turned back at the end."""
    yield stack
    stack.aito.switches.reset()


def begin(stack: Stack, benches: dict[str, Workbench], mode: str) -> Workbench:
    """An empty Aito before a source of 30 rows."""
    if mode not in benches:
        name = f"differs_{mode}"
        bench = benches[mode] = Workbench(stack, name, mode, 10 * DAY, dataset=name)
        bench.put([row(f"k{i:02}", bench.now - 7200 - i) for i in range(30)])
        bench.run_ok()
    bench = benches[mode]
    bench.start_over([])
    stack.aito.drop_table(bench.name)
    return bench


@pytest.mark.parametrize("mode", ["append", "merge"])
@pytest.mark.parametrize(
    "difference",
    [pytest.param(d, marks=() if d in QUICK else pytest.mark.slow) for d in DIFFERENCES],
)
def test_both_ends_are_equal(
    switched: Stack, benches: dict[str, Workbench], difference: str, mode: str
) -> None:
    """Rows are loaded, some are changed in Aito's back, and a run later both ends are equal."""
    bench = begin(switched, benches, mode)
    switched.aito.switches.turn(**DIFFERENCES[difference])
    bench.run_until_ok(3)
    bench.assert_both_ends_equal()
    bench.now += 60
    bench.put([row(f"n{bench.now:.0f}{mode}", bench.now - 5)])
    if mode == "merge":
        bench.put([row("k07", bench.now - 3, difference)])
    bench.run_until_ok(3)
    bench.assert_both_ends_equal()


def test_pages_where_the_limit_is_refused(stack: Stack) -> None:
    """A comparison by keys reads more rows than Aito takes as a limit."""
    bench = Workbench(stack, "small_limit", dataset="small_limit")
    bench.put([row(f"k{i:03}", bench.now - 7200 - i) for i in range(250)])
    bench.run_ok()
    stack.aito.switches.refused_limit = 100
    try:
        stack.aito.delete_rows(bench.name, {"id": "k101"})
        stack.aito.double_rows(bench.name, {"id": "k202"})
        assert bench.run_ok(action="reconcile", deep=True).repaired == 2
    finally:
        stack.aito.switches.reset()


def test_a_new_column_that_is_refused(switched: Stack) -> None:
    """It is said, and the rows that are there stay. Once Aito takes it, the next run loads on."""
    bench = Workbench(switched, "no_new_column", dataset="no_new_column")
    bench.put([row("a", bench.now - 7200)])
    bench.run_ok()
    switched.aito.switches.new_columns = "with a value"
    bench.put([row("b", bench.now - 60)])
    bench.table = {"columns": {"*": {}, "more": {"sql": "CAST(NULL AS STRING)"}}}
    (table,) = bench.run().tables
    assert (table.status, table.code) == ("failed", "Refused")
    assert "schema/no_new_column/more" in str(table.error)
    assert bench.aito_keys() == ["a"]
    switched.aito.switches.reset()
    bench.run_ok()


def test_a_row_lost_by_an_upsert_comes_back(switched: Stack, benches: dict[str, Workbench]) -> None:
    """An Aito whose `_modify` removes another row, far behind the lookback.

    The run is a 503 that says so. The next one loads the row again, and no run uses the call again.
    """
    bench = begin(switched, benches, "merge")
    bench.put([row("old", bench.now - 9 * DAY)])
    bench.run_ok()
    switched.aito.switches.modify = "wrong row"
    bench.now += 60
    bench.put([row("k11", bench.now - 3, "changed")])
    report = bench.run()
    assert (report.status, report.http_status) == ("failed", 503)
    assert "loads what is lost" in str(report.tables[0].error)
    assert "old" not in bench.aito_keys()
    switched.aito.reset_stats()
    bench.run_ok()
    bench.now += 60
    bench.put([row("k12", bench.now - 3, "changed")])
    warned = bench.run_ok().warnings
    assert "upsert_in_two_steps" in [warning.code for warning in warned]
    assert switched.aito.total(on="modify") == 0
    again = bench.run_ok().warnings  # nothing is replaced
    assert "upsert_in_two_steps" not in [warning.code for warning in again]


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_refused_batch_that_leaves_rows(switched: Stack, mode: str) -> None:
    """The bad row is recorded, and those that were stored before it are there once."""
    name, lenient = f"leaves_{mode}", {"rejects": {"max_share": 0.5}}
    bench = Workbench(switched, name, mode, dataset=name, table=lenient)
    bench.put([row(f"k{i:02}", bench.now - 7200 - i) for i in range(30)])
    switched.aito.switches.refused_rows = "before"
    switched.aito.refuse(lambda stored: "bad" if stored["id"] == "k13" else None)
    bench.run_until_ok(3)
    switched.aito.refuse(None)
    assert [reject["key"] for reject in bench.rejects()] == ["k13"]
    bench.assert_both_ends_equal()
