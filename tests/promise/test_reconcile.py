"""Both ends compared over the whole range: damage on either side is found and
repaired.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from local.stack import Stack
from tests.variations import slow
from tests.workbench import (
    DAY,
    HOUR,
    Workbench,
    batches_of,
    hear_counts,
    hear_statements,
    iso,
    limit_page,
    limit_slices,
    row,
    table,
)


def damaged(stack: Stack, name: str) -> Workbench:
    """400 rows over 60 days; 20 deleted in Aito, 20 doubled, 20 deleted in the source, 20 arrived
    late.
    """
    bench = Workbench(stack, name)
    bench.put([row(f"k{i:03}", bench.now - 60 - i * 12_960) for i in range(400)])
    bench.run_ok()
    for i in range(20):
        stack.aito.delete_rows(name, {"id": f"k{i * 7 + 100:03}"})
        stack.aito.double_rows(name, {"id": f"k{i * 7 + 101:03}"})
    bench.delete_from_source([f"k{i * 7 + 102:03}" for i in range(20)])
    bench.put([row(f"late{i:02}", bench.now - 30 * DAY - i) for i in range(20)])
    stack.aito.reset_stats()
    return bench


def test_four_kinds_of_damage(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call repairs all, and reports it in answer and ledger. A second one finds nothing.

    It compares keys by what the count says, and reads no row of the source. Before it a dry run
    counts what would be repaired; nothing is written, to neither end nor the ledger.
    """
    bench = damaged(stack, "reconcile_four")
    runs = f"SELECT COUNT(*) AS n FROM `{bench.ledger}.runs`"
    before = bench.sql(runs)
    planned = bench.run(action="reconcile", dry_run=True)
    counted = (planned.http_status, planned.tables[0].repaired, planned.tables[0].deleted)
    assert counted == (200, 60, 20)
    assert stack.aito.total("writes") == 0
    assert bench.sql(runs) == before
    assert len(bench.differences()) == 80

    report = bench.run_ok(action="reconcile")
    assert (report.repaired, report.deleted) == (60, 20)
    assert (report.fetched, report.skipped) == (400, 340)
    (run,) = bench.sql(f"SELECT * FROM `{bench.ledger}.runs` WHERE action = 'reconcile'")
    assert (run["repaired"], run["deleted"], run["status"]) == (60, 20, "ok")
    stack.aito.reset_stats()
    statements: list[str] = []
    hear_statements(monkeypatch, statements.append)
    again = bench.run_ok(action="reconcile")
    assert not [text for text in statements if "sync_document" in text]
    assert (again.repaired, again.deleted, stack.aito.total("writes")) == (0, 0, 0)
    assert (again.fetched, again.skipped) == (400, 400)


def test_large_hours_are_compared_by_keys(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row missing and one too many in an hour of several pages: equal in number, found."""
    limit_page(monkeypatch, 20)
    bench = Workbench(stack, "reconcile_hours")
    bench.put([row(f"k{i:03}", bench.now - 60) for i in range(40)])
    bench.run_ok()
    stack.aito.delete_rows(bench.name, {"id": "k020"})
    stack.aito.double_rows(bench.name, {"id": "k030"})
    assert bench.run_ok(action="reconcile").repaired == 2
    assert bench.run_ok(action="reconcile").repaired == 0


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_deep_compares_contents(stack: Stack, mode: str) -> None:
    """A value that differs under the same key and cursor is found by `deep`, and repaired."""
    bench = Workbench(stack, f"reconcile_deep_{mode}", mode)
    bench.put([row(f"k{i:03}", bench.now - 60 - 1000 * i) for i in range(20)])
    bench.run_ok()
    wrong = bench.aito_rows()[8:11]
    stack.aito.delete_rows(bench.name, {"id": {"$or": [each["id"] for each in wrong]}})
    stack.aito.insert(bench.name, [{**each, "value": "other"} for each in wrong])
    assert bench.run(action="reconcile").tables[0].repaired == 0
    assert bench.run(action="reconcile", deep=True, dry_run=True).tables[0].repaired == 3
    report = bench.run_ok(action="reconcile", deep=True)
    assert (report.repaired, report.skipped) == (3, 17)
    codes = [warning.code for warning in report.warnings]
    assert codes == (["rows_changed"] if mode == "append" else [])
    assert bench.run_ok(action="reconcile", deep=True).repaired == 0


def test_a_source_that_lost_its_rows(stack: Stack) -> None:
    """More than delete.max_share would go: refused with the numbers, nothing deleted, until a
    person allows it.
    """
    bench = Workbench(stack, "reconcile_lost")
    bench.put([row(f"k{i:03}", bench.now - 60 - i * HOUR) for i in range(40)])
    bench.run_ok()
    bench.delete_from_source([f"k{i:03}" for i in range(30)])
    for dry_run in (True, False):
        report = bench.run(action="reconcile", dry_run=dry_run)
        assert report.http_status == 500
        assert "30 of 40 rows are gone from the source" in str(report.tables[0].error)
    assert len(bench.aito_rows()) == 40
    assert bench.run_ok(action="reconcile", allow=frozenset(["delete"])).deleted == 30


def test_max_share_is_of_the_whole_run(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share that may be deleted is one of the whole run, not of each slice."""
    limit_slices(monkeypatch, 10)
    bench = Workbench(stack, "reconcile_share")
    bench.put([row(f"k{i:03}", bench.now - 60 - i * HOUR) for i in range(50)])
    bench.run_ok()
    bench.delete_from_source([f"k{i + j:03}" for i in range(0, 50, 10) for j in range(6)])
    report = bench.run(action="reconcile")
    assert report.http_status == 500, report.to_json()
    assert len(bench.aito_rows()) >= 40, "ten may go in any case"


def test_a_key_in_two_slices(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that moved to another slice, forwards or backwards, is there once, and where the
    source has it.
    """
    limit_slices(monkeypatch, 10)
    bench = Workbench(stack, "reconcile_moved", table={"lookback": "7d"})
    bench.put([row(f"k{i:03}", bench.now - 60 - i * HOUR) for i in range(40)])
    bench.run_ok()
    bench.delete_from_source(["k001", "k038"])
    older, newer = bench.now - 39 * HOUR, bench.now - 30
    again = row("k020", bench.now - 20, "came again")
    bench.put([row("k001", older, "older"), row("k038", newer, "newer"), again])
    report = bench.run_ok()
    assert report.slices_planned > 3
    assert bench.run_ok(action="reconcile", deep=True).repaired == 0


def test_a_source_that_moves_while_it_is_read(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that arrive in the window during the run are no reason to fail, and are there after the
    next at the latest.

    A key that comes again meanwhile is not doubled by it.
    """
    limit_slices(monkeypatch, 20)
    bench = Workbench(
        stack,
        "reconcile_moving",
        settings=batches_of(10),
        table={"lookback": "9d"},
    )
    bench.put([row(f"k{i:03}", bench.now - 60 - i * HOUR) for i in range(80)])
    arrived = iter([True])

    def arrive(_document: object) -> None:
        if next(arrived, False):
            bench.put(
                [
                    row("k079", bench.now - 40, "came again"),
                    row("n", bench.now - 100),
                    row("m", bench.now - 9),
                ]
            )

    stack.aito.refuse(arrive)
    try:
        assert bench.run().status == "ok"  # what it loads is as old as its stage
    finally:
        stack.aito.refuse(None)
    bench.put([row("p", bench.now - 60 * HOUR)])
    report = bench.run_ok()
    assert (report.uploaded, report.repaired) == (4, 1), "the older row of k079 is gone"


def test_rows_from_the_future(stack: Stack) -> None:
    """They are loaded when their time comes. Until then they do not move the watermark, and do
    not hide the key's newest row of the past.
    """
    bench = Workbench(stack, "reconcile_future", "merge")
    bench.put(
        [
            row("a", bench.now - 50, "today"),
            row("a", bench.now + 5 * HOUR, "tomorrow"),
            row("b", bench.now + HOUR),
        ]
    )
    report = bench.run_ok()
    assert (report.uploaded, report.watermark_after) == (1, bench.now - 50)
    bench.now += 2 * HOUR
    assert bench.run_ok().uploaded == 1
    bench.now += 4 * HOUR
    assert bench.run_ok().uploaded == 1
    bench.now -= 5 * HOUR
    assert bench.run().http_status in (200, 503), (
        "a clock set back shows yesterday's state, and breaks nothing"
    )
    bench.now += 5 * HOUR
    bench.run_until_ok(2)


def test_an_answer_that_comes_late(stack: Stack) -> None:
    """An insert is applied after it was looked for and sent again: the doubles are gone before the
    run says ok.
    """
    bench = Workbench(stack, "reconcile_late", settings=batches_of(10))
    bench.put([row(f"k{i:03}", bench.now - 60 - i * HOUR) for i in range(40)])
    stack.aito.fail("cut", on="insert", apply="none", skip=1)
    late = iter([True])

    def apply_late(document: dict[str, object]) -> None:
        # a later batch than the one that was lost
        if document["id"] == "k002" and next(late, False):
            lost = [each for each in bench.source_rows if "k020" <= each["id"] < "k030"]
            stack.aito.insert(bench.name, [bench.expected_row(each) for each in lost])

    stack.aito.refuse(apply_late)
    try:
        report = bench.run_ok()
    finally:
        stack.aito.refuse(None)
    assert report.repaired == 10


@pytest.mark.parametrize("times", [3, *slow(2, 4)])
def test_a_row_that_is_there_several_times(stack: Stack, times: int) -> None:
    """An odd number of equal rows has the fingerprint of one: they are counted as well, in a night
    with nothing new.
    """
    bench = Workbench(stack, f"reconcile_times_{times}")
    bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(9)])
    bench.run_ok()
    stack.aito.insert(bench.name, [bench.expected_row(bench.source_rows[4])] * (times - 1))
    bench.run_ok()
    assert len(bench.aito_rows()) == 9


def test_reconcile_does_not_purge(stack: Stack) -> None:
    """It compares what is kept; what is too old is the next sync's to remove."""
    bench = Workbench(stack, "reconcile_old", keep=10 * DAY)
    bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(5)])
    bench.run_ok()
    stack.aito.insert(
        bench.name, [{"id": "old", "at": "", "value": "", "unix": bench.now - 11 * DAY}]
    )
    assert bench.run_ok(action="reconcile").purged == 0
    assert len(bench.aito_rows()) == 6
    assert bench.run_ok().purged == 1


INGESTED = {"id": "STRING", "ts": "TIMESTAMP"}


@pytest.fixture
def ingested(bench: Workbench) -> dict[str, Any]:
    """A table partitioned by the time of ingestion, of which some rows are dated ten days after
    they arrived.
    """
    real = bench.now = int(time.time())
    ahead = [{"id": key, "ts": iso(real + 10 * DAY + 3600 * i)} for i, key in enumerate("cde")]
    bench.load_source(
        "rows", INGESTED, [{"id": "a", "ts": iso(real - 10 * DAY)}, *ahead], partition_by=""
    )
    return table(f"{bench.name}_t", f"{bench.dataset}.rows", keep="60d", purge={"max_share": 1.0})


def test_rows_dated_far_ahead_are_no_reason_to_stop(
    bench: Workbench, ingested: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The histogram of the window sees them, and the pruned query of their slice does not: they
    are fetched then.
    """
    limit_slices(monkeypatch, 2)
    bench.now += 20 * DAY
    bench.run_ok(ingested)
    assert bench.aito_keys(ingested["name"]) == ["a", "c", "d", "e"]


def test_what_a_pruned_query_does_not_see_is_not_gone(
    bench: Workbench, ingested: dict[str, Any]
) -> None:
    """A row that reconcile brought stays when the next sync's window holds it and its partition is
    not looked at.
    """
    bench.now += 10 * DAY + 4 * 3600
    bench.run_ok(ingested, action="reconcile")
    bench.now += 600
    report = bench.run_ok(ingested)
    assert (report.verified, bench.aito_keys(ingested["name"])) == (True, ["a", "c", "d", "e"])


def test_what_comes_during_the_load_costs_no_whole_scan(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that rows stream into is never quite as it was counted: it is counted again, recent
    partitions alone.
    """
    real = bench.now = int(time.time())
    rows = [{"id": f"k{i}", "ts": iso(real - 900 + i)} for i in range(9)]
    bench.load_source("streamed", INGESTED, rows, partition_by="")
    asked = table(f"{bench.name}_t", f"{bench.dataset}.streamed", keep="60d")
    late = [{"id": f"late{i}", "ts": iso(real - 800 + i)} for i in range(3)]
    bounded: list[bool] = []

    def counted(by_arrival: bool) -> None:
        if not bounded:
            bench.load_source("streamed", INGESTED, late)
        bounded.append(by_arrival)

    hear_counts(monkeypatch, counted)
    assert bench.run_ok(asked).verified
    assert len(bench.aito_keys(asked["name"])) == 12
    assert bounded == [True, True]
