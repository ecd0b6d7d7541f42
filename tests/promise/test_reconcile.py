"""Both ends compared over the whole range: what somebody did behind our back is found and
repaired.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from local.stack import Stack
from sync.bigquery.queries import Origin
from sync.bigquery.source import Source
from sync.model import window
from sync.model.report import Request
from tests.promise.ends import DAY, HOUR, Ends, row
from tests.workbench import Bench, iso, table


def damaged(stack: Stack, name: str) -> Ends:
    """2,000 rows over 60 days; 100 deleted in Aito, 100 doubled, 100 deleted in the source, 100
    arrived late.
    """
    ends = Ends(stack, name)
    ends.put([row(f"k{i:04}", ends.now - 60 - i * 2592) for i in range(2000)])
    ends.ok()
    for i in range(100):
        stack.aito.delete_rows(name, {"id": f"k{i * 7 + 500:04}"})
        stack.aito.double_rows(name, {"id": f"k{i * 7 + 501:04}"})
    ends.take([f"k{i * 7 + 502:04}" for i in range(100)])
    ends.put([row(f"late{i:03}", ends.now - 30 * DAY - i) for i in range(100)])
    stack.aito.reset_stats()
    return ends


def test_four_kinds_of_damage(stack: Stack) -> None:
    """All repaired in one call, told in the answer and the ledger; a second one finds nothing to
    do.
    """
    ends = damaged(stack, "reconcile_four")
    report = ends.ok(action="reconcile")
    assert report.repaired == 400
    (run,) = ends.sql(f"SELECT * FROM `{ends.ledger}.runs` WHERE action = 'reconcile'")
    assert (run["repaired"], run["status"]) == (400, "ok")
    stack.aito.reset_stats()
    again = ends.ok(action="reconcile")
    assert (again.repaired, stack.aito.total("writes")) == (0, 0)


def test_dry_run_only_says_so(stack: Stack) -> None:
    """What would be repaired is counted; nothing is written, to neither end nor the ledger."""
    ends = damaged(stack, "reconcile_dry")
    runs = f"SELECT COUNT(*) AS n FROM `{ends.ledger}.runs`"
    before = ends.sql(runs)
    report = ends.run(action="reconcile", dry_run=True)
    assert (report.http_status, report.tables[0].repaired) == (200, 400)
    assert stack.aito.total("writes") == 0
    assert ends.sql(runs) == before
    assert len(ends.problems()) == 400
    assert ends.ok(action="reconcile").repaired == 400


def test_deep_finds_what_counts_do_not(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row missing and one too many in the same large slice: equal in number, found by keys."""
    monkeypatch.setattr("sync.reconcile.PAGE", 100)
    ends = Ends(stack, "reconcile_deep")
    ends.put([row(f"k{i:03}", ends.now - 60 - i * HOUR) for i in range(200)])
    ends.ok()
    stack.aito.delete_rows(ends.name, {"id": "k100"})
    stack.aito.double_rows(ends.name, {"id": "k150"})
    assert ends.run(action="reconcile").tables[0].repaired == 0
    assert ends.ok(action="reconcile", deep=True).repaired == 2
    assert ends.ok(action="reconcile", deep=True).repaired == 0


def test_a_source_that_lost_its_rows(stack: Stack) -> None:
    """More than purge.max_share would go: refused with the numbers, nothing deleted, until a
    person allows it.
    """
    ends = Ends(stack, "reconcile_lost")
    ends.put([row(f"k{i:03}", ends.now - 60 - i * HOUR) for i in range(200)])
    ends.ok()
    ends.take([f"k{i:03}" for i in range(150)])
    for dry_run in (True, False):
        report = ends.run(action="reconcile", dry_run=dry_run)
        assert report.http_status == 500
        assert "150 of 200 rows in Aito are gone from the source" in str(report.tables[0].error)
    assert len(ends.held()) == 200
    ends.table = {"purge": {"max_share": 0.8}}
    ends.path = ends.write_config()
    assert ends.ok(action="reconcile").repaired == 150


def test_the_share_is_that_of_the_run(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many slices that each lose a little lose much together."""
    monkeypatch.setattr("sync.window.SLICE_ROWS", 20)
    monkeypatch.setattr("sync.plan.window.slice_rows", lambda _: 20)
    ends = Ends(stack, "reconcile_share")
    ends.put([row(f"k{i:03}", ends.now - 60 - i * HOUR) for i in range(200)])
    ends.ok()
    ends.take(
        [f"k{i:03}" for i in range(0, 200, 20)]
        + [f"k{i + j:03}" for i in range(0, 200, 20) for j in range(1, 12)]
    )
    report = ends.run(action="reconcile")
    assert report.http_status == 500, report.to_json()
    assert len(ends.held()) >= 100
    ends.run(action="reconcile")


def test_a_key_in_two_slices(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that moved to another slice, forwards or backwards, is there once, and where the
    source has it.
    """
    monkeypatch.setattr("sync.plan.window.slice_rows", lambda _: 20)
    ends = Ends(stack, "reconcile_moved", table={"lookback": "7d"})
    ends.put([row(f"k{i:03}", ends.now - 60 - i * HOUR) for i in range(100)])
    ends.ok()
    ends.take(["k001", "k098"])
    ends.put([row("k001", ends.now - 99 * HOUR, "older"), row("k098", ends.now - 30, "newer")])
    ends.put([row("k050", ends.now - 20, "came again")])
    report = ends.ok()
    assert report.slices_planned > 3
    assert ends.ok(action="reconcile", deep=True).repaired == 0


def test_a_source_that_moves_while_it_is_read(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that arrive in the window during the run are no reason to fail, and are there after the
    next at the latest.

    A key that comes again meanwhile is not doubled by it.
    """
    monkeypatch.setattr("sync.plan.window.slice_rows", lambda _: 50)
    ends = Ends(
        stack,
        "reconcile_moving",
        settings={"batch": {"rows": 25, "bytes": 5_000_000}},
        table={"lookback": "9d"},
    )
    ends.put([row(f"k{i:03}", ends.now - 60 - i * HOUR) for i in range(200)])
    arrived = iter([True])

    def arrive(_document: object) -> None:
        if next(arrived, False):
            ends.put(
                [
                    row("k199", ends.now - 40, "came again"),
                    row("n", ends.now - 100),
                    row("m", ends.now - 9),
                ]
            )

    stack.aito.refuse(arrive)
    try:
        report = ends.ok()
    finally:
        stack.aito.refuse(None)
    assert report.repaired == 1, "the older row of the key that came again"
    ends.put([row("p", ends.now - 150 * HOUR)])
    assert ends.ok().uploaded == 1


def test_rows_from_the_future(stack: Stack) -> None:
    """They wait until their time comes, do not move the watermark, and do not hide the row that
    counts until then.
    """
    ends = Ends(stack, "reconcile_future", "merge")
    ends.put(
        [
            row("a", ends.now - 50, "today"),
            row("a", ends.now + 5 * HOUR, "tomorrow"),
            row("b", ends.now + HOUR),
        ]
    )
    report = ends.ok()
    assert (report.uploaded, report.watermark_after) == (1, int(ends.now) - 50)
    ends.now += 2 * HOUR
    assert ends.ok().uploaded == 1
    ends.now += 4 * HOUR
    assert ends.ok().uploaded == 1
    ends.now -= 5 * HOUR
    assert ends.run().http_status in (200, 503), (
        "a clock set back shows yesterday's state, and breaks nothing"
    )
    ends.now += 5 * HOUR
    ends.until_ok(2)


def test_an_answer_that_comes_late(stack: Stack) -> None:
    """An insert is applied after it was looked for and sent again: the doubles are gone before the
    run says ok.
    """
    ends = Ends(stack, "reconcile_late", settings={"batch": {"rows": 50, "bytes": 5_000_000}})
    ends.put([row(f"k{i:03}", ends.now - 60 - i * HOUR) for i in range(200)])
    stack.aito.fail("cut", on="insert", apply="none", skip=1)
    late = iter([True])

    def apply_late(document: dict[str, object]) -> None:
        if document["id"] == "k010" and next(
            late, False
        ):  # a later batch than the one that was lost
            stack.aito.insert(
                ends.name, [ends.document(r) for r in ends.rows if "k100" <= r["id"] < "k150"]
            )

    stack.aito.refuse(apply_late)
    try:
        report = ends.ok()
    finally:
        stack.aito.refuse(None)
    assert report.repaired == 50


@pytest.mark.parametrize("times", [2, 3, 4])
def test_a_row_that_is_there_several_times(stack: Stack, times: int) -> None:
    """An odd number of equal rows has the fingerprint of one: they are counted as well, in a night
    with nothing new.
    """
    ends = Ends(stack, f"reconcile_times_{times}")
    ends.put([row(f"k{i}", ends.now - 60 - i) for i in range(9)])
    ends.ok()
    stack.aito.insert(ends.name, [ends.document(ends.rows[4])] * (times - 1))
    ends.ok()
    assert len(ends.held()) == 9


def test_it_does_not_purge(stack: Stack) -> None:
    """It compares what is kept; what is too old is the next sync's to remove."""
    ends = Ends(stack, "reconcile_old", keep=10 * DAY)
    ends.put([row(f"k{i}", ends.now - 60 - i) for i in range(5)])
    ends.ok()
    stack.aito.insert(
        ends.name, [{"id": "old", "at": "", "value": "", "unix": int(ends.now) - 11 * DAY}]
    )
    assert ends.ok(action="reconcile").purged == 0
    assert len(ends.held()) == 6
    assert ends.ok().purged == 1


INGESTED = {"id": "STRING", "ts": "TIMESTAMP"}


@pytest.fixture
def ingested(bench: Bench) -> dict[str, Any]:
    """A table partitioned by the time of ingestion, of which some rows are dated ten days after
    they arrived.
    """
    real = bench.now = int(time.time())
    ahead = [{"id": key, "ts": iso(real + 10 * DAY + 3600 * i)} for i, key in enumerate("cde")]
    bench.load("rows", INGESTED, [{"id": "a", "ts": iso(real - 10 * DAY)}, *ahead], partition_by="")
    return table(f"{bench.name}_t", f"{bench.name}.rows", keep="60d", purge={"max_share": 1.0})


def test_rows_dated_far_ahead_are_no_reason_to_stop(
    bench: Bench, ingested: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The histogram of the window sees them, and the pruned query of their slice does not: they
    are fetched then.
    """
    monkeypatch.setattr(window, "SLICE_ROWS", 2)
    bench.now += 20 * DAY
    bench.ok(ingested)
    assert bench.keys(ingested["name"]) == ["a", "c", "d", "e"]


def test_what_a_pruned_query_does_not_see_is_not_gone(
    bench: Bench, ingested: dict[str, Any]
) -> None:
    """A row that reconcile brought stays when the next sync's window holds it and its partition is
    not looked at.
    """
    bench.now += 10 * DAY + 4 * 3600
    bench.ok(ingested, request=Request(action="reconcile"))
    bench.now += 600
    report = bench.ok(ingested)
    assert (report.verified, bench.keys(ingested["name"])) == (True, ["a", "c", "d", "e"])


def test_what_comes_during_the_load_costs_no_whole_scan(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that rows stream into is never quite as it was counted: it is counted again, recent
    partitions alone.
    """
    real = bench.now = int(time.time())
    rows = [{"id": f"k{i}", "ts": iso(real - 900 + i)} for i in range(9)]
    bench.load("streamed", INGESTED, rows, partition_by="")
    asked = table(f"{bench.name}_t", f"{bench.name}.streamed", keep="60d")
    late = [{"id": f"late{i}", "ts": iso(real - 800 + i)} for i in range(3)]
    bounded: list[bool] = []
    histogram = Source.histogram

    def counted(source: Source, origin: Origin, *rest: Any) -> Any:
        found = histogram(source, origin, *rest)
        if not bounded:
            bench.load("streamed", INGESTED, late)
        bounded.append(origin.by_arrival)
        return found

    monkeypatch.setattr(Source, "histogram", counted)
    assert bench.ok(asked).verified
    assert len(bench.keys(asked["name"])) == 12
    assert bounded == [True, True]
