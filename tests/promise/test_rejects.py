"""Bad rows: found in few requests, recorded with their reason, and the rest loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud import bigquery

from local.stack import Stack
from tests.faults import BAD, refuse_bad_rows
from tests.variations import slow
from tests.workbench import (
    DAY,
    HOUR,
    RunReport,
    Workbench,
    batches_of,
    facts,
    limit_insert,
    limit_slices,
    row,
)


@pytest.fixture(autouse=True)
def refuse_marked_rows(stack: Stack) -> Iterator[None]:
    """The stand-in refuses rows that are marked; with 400, unless a test says otherwise."""
    refuse_bad_rows(stack.aito)
    yield
    stack.aito.refuse(None)
    stack.aito.refusal_status = 400


@pytest.mark.parametrize(
    ("rows", "batch", "most", "status"),
    [(2_000, 40, 36, 400), *slow((50_000, 1000, 120, 400), (50_000, 1000, 120, 500))],
)
def test_three_among_many(stack: Stack, rows: int, batch: int, most: int, status: int) -> None:
    """Three rejects with reasons, all others stored, at most 120 requests more than without; told
    once only.
    """
    stack.aito.refusal_status = status
    bench = Workbench(stack, f"rejects_few_{rows}_{status}", settings=batches_of(batch))
    bad = [7, rows // 2, rows - 1]
    bench.put(
        [row(f"k{i:05}", bench.now - 60 * i - 1, BAD if i in bad else "v") for i in range(rows)]
    )
    report = bench.run_ok()
    assert (report.uploaded, report.rejected) == (rows - 3, 3)
    rejects = bench.rejects()
    assert sorted(r["key"] for r in rejects) == [f"k{i:05}" for i in bad]
    assert all(
        ("the value is bad" in r["reason"]) and r["document"] and r["cursor"] for r in rejects
    )
    assert len(bench.aito_rows()) == rows - 3
    assert stack.aito.total() - 50 <= most + 10, "fifty batches; ten for schema, counts and such"
    # After a 500 the outcome is unknown: the next run compares the whole load, and tries all three.
    tried_again = 1 if status == 400 else 3
    assert bench.run_ok().rejected == tried_again, "of those that are read again"
    assert len(bench.rejects()) == 3, "but not recorded again"


@pytest.mark.parametrize(("size", "bad"), [(1000, 3), (16, 16), (1, 1)])
def test_the_cost_of_finding_them(stack: Stack, size: int, bad: int) -> None:
    """k bad rows in a batch of n are found in O(k log n) requests."""
    bench = Workbench(stack, f"rejects_cost_{size}_{bad}", table={"rejects": {"max_share": 1.0}})
    wrong = {n * (size // bad) for n in range(bad)}
    bench.put([row(f"k{i:04}", bench.now - 9 - i, BAD if i in wrong else "v") for i in range(size)])
    report = bench.run_ok()
    assert report.rejected == bad
    assert stack.aito.total(on="insert") <= 1 + 2 * bad * max(1, math.ceil(math.log2(size)))


INT_KEYS = {"*": {}, "id": {"type": "Int"}}  # otherwise the data would ask for Long


def test_a_reason_names_the_column(stack: Stack) -> None:
    """Columns that the configuration does not name are shown, and types of arrays, but no value."""
    bench = Workbench(stack, "rejects_named", table={"rejects": {"max_share": 1}})
    bench.put([row("k1", bench.now - 9), row("k2", bench.now - 8)])
    text = "column 'value': expected Int[], got 'v'"
    stack.aito.refuse(lambda document: text if document["id"] == "k2" else None)
    (reject,) = bench.run_ok().rejects
    assert reject.reason.endswith("column 'value': expected Int[], got '…'")


def test_too_many(stack: Stack) -> None:
    """Two per cent are past rejects.max_share: the table fails, says so, and is not purged;
    mended, it goes on.
    """
    bench = Workbench(stack, "rejects_many", keep=10 * DAY, settings=batches_of(50))
    bench.put(
        [row(f"k{i:05}", bench.now - 60 * i - 1, BAD if i % 50 == 3 else "v") for i in range(600)]
    )
    report = bench.run()
    (table,) = report.tables
    assert (report.http_status, table.status, table.purged) == (500, "failed", 0)
    assert table.rejected == 10
    assert "10 of 600 rows were rejected, more than rejects.max_share 0.01 allows" in str(
        table.error
    )
    old = {"id": "old", "at": "", "value": "", "unix": bench.now - 11 * DAY}
    stack.aito.insert(bench.name, [old])
    assert bench.run().http_status == 500
    assert "old" in {r["id"] for r in bench.aito_rows()}, "no purge after a failed load"
    stack.aito.refuse(None)
    bench.run_until_ok(1)
    assert "old" not in {r["id"] for r in bench.aito_rows()}


def test_a_batch_too_large_for_a_request(stack: Stack) -> None:
    """413 halves the batch, and the batches after it are smaller from the start."""
    bench = Workbench(stack, "rejects_413")
    bench.put([row(f"k{i:04}", bench.now - 9 - i, "x" * 100) for i in range(1000)])
    stack.aito.fail("too_large", on="insert", over_bytes=50_000, times=None)
    assert bench.run_ok().rejected == 0
    assert [entry.status for entry in stack.aito.log if entry.kind == "insert"].count(413) <= 4


def test_a_row_too_large_for_a_request(stack: Stack) -> None:
    """A single row that is too large is a reject."""
    bench = Workbench(stack, "rejects_413_row", table={"rejects": {"max_share": 0.5}})
    bench.put([row("big", bench.now - 20, "x" * 60_000), row("small", bench.now - 10)])
    stack.aito.fail("too_large", on="insert", over_bytes=50_000, times=None)
    assert bench.run_ok().rejected == 1


def test_documents_may_be_left_out(stack: Stack) -> None:
    """`keep_document: false`: the ledger has the key and the reason, and nothing else of the
    row.
    """
    rejects = {"max_share": 0.5, "keep_document": False}
    bench = Workbench(stack, "rejects_private", table={"rejects": rejects})
    bench.put([row("good", bench.now - 60), row("bad", bench.now - 61, BAD)])
    assert bench.run().tables[0].rejected == 1
    [reject] = bench.rejects()
    assert (reject["key"], reject["document"]) == ("bad", None)
    assert reject["reason"]
    assert BAD not in json.dumps(reject, default=str)


def test_an_outage_rejects_no_row(stack: Stack) -> None:
    """Aito answers 500 to every insert: 503, no reject, and not a request for each row."""
    bench = Workbench(stack, "rejects_outage", settings=batches_of(100))
    bench.put([row(f"k{i:04}", bench.now - 9 - i) for i in range(300)])
    stack.aito.fail("error", on="insert", times=None)
    report = bench.run()
    assert (report.http_status, report.tables[0].rejected) == (503, 0)
    assert stack.aito.total(on="insert") < 50
    stack.aito.heal()
    bench.run_ok()
    assert bench.rejects() == []


def test_the_only_row_of_an_empty_table(stack: Stack) -> None:
    """Aito answers 500 to the only row. Nothing tells a bad row from an outage: that is said."""
    bench = Workbench(stack, "rejects_only_row")
    bench.put([row("only", bench.now - 60)])
    stack.aito.fail("error", on="insert", times=None)
    report = bench.run()
    assert (report.http_status, report.tables[0].rejected) == (503, 0)
    assert "Aito answers 500 to 1 row and took no other" in str(report.tables[0].error)
    stack.aito.heal()
    bench.run_ok()


def test_a_bad_row_alone(stack: Stack) -> None:
    """The only new row is refused with 500. A probe with a stored row succeeds, so it is
    rejected.
    """
    bench = Workbench(stack, "rejects_alone", table={"rejects": {"max_share": 0.5}})
    bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(5)])
    bench.run_ok()
    bench.put([row("bad", bench.now - 10, BAD)])
    stack.aito.refusal_status = 500
    assert bench.run_ok().rejected == 1
    assert bench.run_ok().rejected == 1, (
        "and so it is every night, for as long as the lookback reads it"
    )
    assert [r["key"] for r in bench.rejects()] == ["bad"]


def test_the_last_row_of_a_load_is_bad(stack: Stack) -> None:
    """No batch follows it. The rows sent beside it show that it is at fault."""
    stack.aito.refusal_status = 500
    bench = Workbench(stack, "rejects_last")
    bench.put([row(f"k{i:04}", bench.now - 60 - i, BAD if i == 0 else "v") for i in range(500)])
    assert bench.run_ok().rejected == 1


@pytest.mark.parametrize("flagged", [False, True])
def test_merge_removes_outdated_rows(stack: Stack, flagged: bool) -> None:
    """The newest row of a key is bad, by Aito's word or BigQuery's: the outdated row is deleted."""
    column = {"sql": "IF(value = 'much', 3000000000, 1)", "type": "Int"}
    columns = {"id": None, "at": None, "value": None, **({"much": column} if flagged else {})}
    bench = Workbench(
        stack,
        f"rejects_merge_{flagged}".lower(),
        "merge",
        table={"columns": columns, "lookback": "60s", "rejects": {"max_share": 0.9}},
    )
    bench.put([row(f"k{i:03}", bench.now - 7200 - i) for i in range(200)])
    assert bench.run().status == "ok"
    bench.put([row("k150", bench.now - 30, "much" if flagged else BAD), row("new", bench.now - 20)])
    report = bench.run().tables[0]
    assert (report.rejected, report.deleted) == (1, 1)
    held = {r["id"] for r in bench.aito_rows()}
    assert "new" in held
    assert "k150" not in held


def test_outdated_rows_go_when_the_table_fails(stack: Stack) -> None:
    """Too many rows of a batch are bad: each is recorded, and their outdated rows are deleted."""
    columns = {
        "id": None,
        "at": None,
        "value": None,
        "much": {"sql": "IF(value = 'much', 3000000000, 1)", "type": "Int"},
    }
    bench = Workbench(
        stack, "rejects_merge_stopped", "merge", table={"columns": columns, "lookback": "60s"}
    )
    bench.put([row(f"k{i:03}", bench.now - 7200 - i) for i in range(200)])
    assert bench.run().status == "ok"
    bad = {f"k{i}" for i in range(150, 160)}
    bench.put([row(key, bench.now - 30, "much") for key in bad])
    report = bench.run()
    assert (report.http_status, report.tables[0].rejected) == (500, 10)
    assert {r["key"] for r in bench.rejects()} == bad
    assert not bad & {r["id"] for r in bench.aito_rows()}


def test_rows_without_key_or_cursor(stack: Stack) -> None:
    """They become rejects with a reason. The rest is loaded."""
    bench = Workbench(stack, "rejects_nulls", table={"rejects": {"max_share": 0.5}})
    bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(10)])
    bench.sql(
        f"INSERT INTO `{bench.source}` SELECT NULL, `at`, 'no key' FROM `{bench.source}` LIMIT 1"
    )
    bench.sql(f"INSERT INTO `{bench.source}` VALUES ('no cursor', NULL, 'v')")
    report = bench.run_ok()
    assert (report.uploaded, report.rejected, report.fetched) == (10, 2, 12)
    assert any("not nullable" in r["reason"] for r in bench.rejects())
    assert any("no cursor" in r["reason"] for r in bench.rejects())


def test_numbers_that_do_not_fit(stack: Stack) -> None:
    """An integer beyond Aito's 32 bits is a reject and not a wrong number; it costs no request."""
    table = {"rejects": {"max_share": 0.5}, "columns": INT_KEYS}
    bench = Workbench(stack, "rejects_int", numbered=True, table=table)
    bench.put([row(i, bench.now - 60) for i in (1, 2, 3, 2**31, -(2**31))])
    report = bench.run_ok()
    assert (report.uploaded, report.rejected, stack.aito.total(on="insert")) == (4, 1, 1)


@pytest.mark.parametrize("most", [8_000_000, 20_000])
def test_many_rejects_of_one_batch(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """The rejects of a batch are inserted together, in requests of the size that BigQuery takes.

    Each is recorded once.
    """
    limit_insert(monkeypatch, most)
    inserts: list[int] = []
    insert = bigquery.Client.insert_rows_json

    def counted(
        client: bigquery.Client, table: str, rows: list[dict[str, object]], **more: Any
    ) -> Any:
        if table.endswith(".rejects"):
            inserts.append(len(json.dumps(rows)))
        return insert(client, table, rows, **more)

    monkeypatch.setattr(bigquery.Client, "insert_rows_json", counted)
    table = {"rejects": {"max_share": 1}, "columns": INT_KEYS}
    bench = Workbench(stack, f"rejects_{most}", numbered=True, table=table)
    bench.put([row(2**31 + i if i % 3 == 0 else i, bench.now - 9 - i) for i in range(600)])
    assert bench.run_ok().rejected == 200
    assert sorted(int(r["key"]) for r in bench.rejects()) == [2**31 + i for i in range(0, 600, 3)]
    assert max(inserts) <= most
    assert len(inserts) <= 2 + sum(inserts) / (most - 1000)


def test_the_watermark_is_the_newest_stored_row(stack: Stack) -> None:
    """The newest row is rejected: answer and ledger show the newest row that is in Aito."""
    bench = Workbench(stack, "rejects_watermark", table={"rejects": {"max_share": 0.5}})
    bench.put([row("good", bench.now - 60), row("bad", bench.now - 10, BAD)])
    assert bench.run_ok().watermark_after == bench.now - 60
    (run,) = bench.sql(f"SELECT watermark_after FROM `{bench.ledger}.runs`")
    assert run["watermark_after"] == bench.now - 60


def test_known_rejects_count_against_max_share_again(stack: Stack) -> None:
    """Rows that stopped the table count again in the next run. Each is recorded once."""
    bench = Workbench(
        stack,
        "rejects_again",
        table={"rejects": {"max_share": 0.1}},
        settings=batches_of(3),
    )
    bench.put([row(f"k{i}", bench.now - 100 + i, BAD if i % 3 == 0 else "v") for i in range(36)])
    for _ in range(3):
        bench.now += 1
        report = bench.run()
        assert (report.http_status, report.tables[0].status) == (500, "failed")
    keys = [r["key"] for r in bench.rejects()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_rejects_that_a_good_run_has_met_stop_no_table(stack: Stack, mode: str) -> None:
    """Whatever came first: here a run that they stopped. Afterwards the share is as before."""
    strict, loose = {"max_share": 0.1}, {"max_share": 0.5}
    bench = Workbench(stack, f"rejects_excused_{mode}", mode, table={"rejects": strict})
    bench.put([row(f"k{i}", bench.now - 100 + i, BAD if i < 10 else "v") for i in range(40)])
    assert bench.run().status == "failed"
    bench.table = {"rejects": loose}
    bench.now += 1
    assert bench.run_ok().rejected == 10
    bench.table = {"rejects": strict}
    for _ in range(2):
        bench.now += 1
        assert bench.run_ok().rejected == 10
    (known,) = facts(bench.services())["tables"]
    assert sum(each["rows"] for each in known["rejects"]) == 10


def test_known_rejects_of_earlier_calls_stop_no_table(stack: Stack) -> None:
    """The last call of a long load compares all of it. Rejects of earlier calls are not new
    ones.
    """
    bench = Workbench(
        stack,
        "rejects_behind",
        table={"rejects": {"max_share": 0.1}, "lookback": "60s"},
        settings=batches_of(10),
    )
    bench.put(
        [
            row(f"k{i:02}", bench.now - 40 * HOUR + i * HOUR, BAD if i % 3 == 0 else "v")
            for i in range(30)
        ]
    )
    reports: list[RunReport] = []
    while not reports or reports[-1].status == "partial":
        bench.now += 1
        reports.append(bench.run(stopped=lambda: True))
    assert len(reports) > 2
    assert reports[-1].status == "ok", reports[-1].tables[0].error
    assert sorted(r["key"] for r in bench.rejects()) == [f"k{i:02}" for i in range(0, 30, 3)]
    bench.assert_both_ends_equal()


def test_reconcile_meets_a_known_reject(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bad row is the only one to send, and Aito answers 500. It was rejected before."""
    bench = Workbench(stack, "rejects_reconciled", table={"rejects": {"max_share": 0.5}})
    bench.put([row(f"k{i}", bench.now - 60 - i * HOUR, BAD if i == 2 else "v") for i in range(4)])
    stack.aito.refusal_status = 500
    bench.run_ok()
    limit_slices(monkeypatch, 1)  # nobody in its slice to vouch for Aito
    report = bench.run_ok(action="reconcile", deep=True)
    assert (report.rejected, report.repaired) == (1, 0)
    assert [r["key"] for r in bench.rejects()] == ["k2"]


def test_a_stored_row_shows_that_aito_works(stack: Stack) -> None:
    """Reconcile is the first to send a bad row. The rows beside it are stored, so it is
    rejected.
    """
    bench = Workbench(stack, "rejects_vouched", table={"rejects": {"max_share": 0.5}})
    bench.put([row(f"k{i}", bench.now - 60 - i * HOUR) for i in range(10)])
    bench.run_ok()
    bench.put([row("bad", bench.now - 5 * HOUR, BAD)])
    stack.aito.refusal_status = 500
    report = bench.run_ok(action="reconcile")
    assert (report.rejected, report.repaired) == (1, 0)


def test_an_outage_removes_nothing(stack: Stack) -> None:
    """Aito answers 500 to every row: nothing is deleted while no row is known to be at fault."""
    bench = Workbench(stack, "rejects_outage_merge", "merge")
    bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(5)])
    bench.run_ok()
    bench.put([row(f"k{i}", bench.now - 30 - i, "changed") for i in range(5)])
    stack.aito.fail("error", on="modify", times=None)
    assert bench.run().http_status == 503
    assert len(bench.aito_rows()) == 5
    stack.aito.heal()
    bench.run_ok()
