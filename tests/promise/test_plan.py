"""What `check` calls good, `sync` does: the plan knows every warning and refusal beforehand."""

from __future__ import annotations

from typing import Any

import pytest

from local.stack import Stack
from tests.variations import slow
from tests.workbench import DAY, HOUR, TableReport, Workbench, limit_slices, row

READ_ONLY = {"aito": {"api_key_secret": "read-only"}}
SOURCE = {"id": "STRING", "at": "TIMESTAMP", "a": "INT64", "b": "INT64"}


def hourly(bench: Workbench, count: int) -> list[dict[str, object]]:
    """Rows that are an hour apart, the newest first."""
    return [row(f"k{i:03}", bench.now - 60 - i * HOUR) for i in range(count)]


def wide(bench: Workbench, mode: str, wrong: int) -> dict[str, Any]:
    """A table of 40 rows, of which so many are unfit for `a`, and one less for `b`."""
    rows = []
    for i in range(40):
        a, b = (2**40 if i < wrong else 1), (2**40 if i < wrong - 1 else 1)
        rows.append({"id": f"k{i:02}", "at": row("", bench.now - 60 - i)["at"], "a": a, "b": b})
    bench.load_source("wide", SOURCE, rows, truncate=True)
    narrow = {"type": "Int"}
    config: dict[str, Any] = {"name": bench.name, "source": f"{bench.dataset}.wide", "mode": mode}
    config |= {"key": "id", "columns": {"id": {}, "a": narrow, "b": narrow}}
    if mode != "replace":
        config["cursor"] = {"source": "at", "column": "unix"}
    return config


def planned_and_done(bench: Workbench, *tables: Any, **request: Any) -> list[TableReport]:
    """The reports of a dry run and of the run itself."""
    planned = bench.run(*tables, dry_run=True, **request).tables[-1]
    done = bench.run(*tables, **request).tables[-1]
    return [planned, done]


@pytest.mark.parametrize("mode", ["append", *slow("merge", "replace")])
def test_integers_out_of_range(stack: Stack, mode: str) -> None:
    """The plan counts the rows and names every column at fault, as the run does.

    Too many are refused by both, and each message says what would be right.
    """
    bench = Workbench(stack, f"plan_numbers_{mode}", mode)
    planned, done = planned_and_done(bench, wide(bench, mode, 40))
    for report in (planned, done):
        assert (report.status, report.code) == ("failed", "TooManyRejects")
        for part in ("a: an integer that does not fit Int", "b: an integer", "`type: Long`"):
            assert part in (report.error or "")
    assert "(39 rows)" in (planned.error or "")
    planned, done = planned_and_done(bench, wide(bench, mode, 5))
    assert (planned.status, planned.rejected) == (done.status, done.rejected) == ("ok", 5)
    assert [each.code for each in planned.warnings] == ["rejects"]
    counts = {each.reason.split(":")[0]: each.rows for each in planned.rejects}
    assert counts == {"a": 5, "b": 4}


def restate(bench: Workbench, keys: str, value: int = 2**40) -> None:
    """Give the rows of `wide` that meet a condition another value of `a`, in place."""
    bench.sql(f"UPDATE `{bench.dataset}.wide` SET a = {value} WHERE {keys}")


def test_rows_restated_unfit_in_append(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices whose keys and cursors Aito holds are not read: what became unfit there is no reject.

    A slice with a new row is read, and its unfit rows leave Aito. The plan says so before the run.
    """
    bench = Workbench(stack, "plan_restated")
    table = {**wide(bench, "append", 0), "rejects": {"max_share": 0.5}, "lookback": "1d"}
    bench.run_ok(table)
    limit_slices(monkeypatch, 20)
    restate(bench, "id < 'k30'")
    for report in planned_and_done(bench, table):
        assert (report.status, report.rejected, report.deleted) == ("ok", 0, 0)
        assert report.warnings == []
    bench.sql(
        f"INSERT INTO `{bench.dataset}.wide`"
        f" SELECT 'new', `at`, 1, 1 FROM `{bench.dataset}.wide` WHERE id = 'k25'"
    )
    planned, done = planned_and_done(bench, table)
    assert done.slices_planned > 1
    assert 0 < done.rejected < 30
    for report in (planned, done):
        assert (report.rejected, report.deleted) == (done.rejected, done.rejected)
    assert len(bench.aito_keys()) == 40 + 1 - done.deleted


@pytest.mark.parametrize(
    ("mode", "action"),
    [
        ("append", "sync"),
        *slow(("append", "reconcile"), ("merge", "sync"), ("merge", "reconcile")),
    ],
)
def test_rows_restated_unfit_leave_aito(stack: Stack, mode: str, action: str) -> None:
    """They count as rejected and as deleted, in the plan as in the run, and not for the guard."""
    bench = Workbench(stack, f"plan_outdated_{mode}_{action}", mode)
    table = {**wide(bench, mode, 0), "rejects": {"max_share": 0.5}, "delete": {"max_share": 0}}
    bench.run_ok(table)
    restate(bench, "id < 'k12'")
    how: dict[str, Any] = {"action": action}
    if action == "reconcile":
        how["deep"] = True
    elif mode == "append":
        how["full_refresh"] = True
    planned, done = planned_and_done(bench, table, **how)
    for report in (planned, done):
        assert (report.status, report.rejected, report.deleted) == ("ok", 12, 12)
        assert (report.repaired, report.uploaded) == (0, 0)
        (warning,) = report.warnings
        assert warning.code == "rejects"
        assert "12 rows" in warning.message.partition(" rejected, and ")[2]
    assert len(bench.aito_keys()) == 28
    (run,) = [each for each in bench.ledger_rows("runs") if each["rejected"]]
    assert (run["deleted"], run["deleted_by_condition"]) == (12, 12)
    restate(bench, "id < 'k12'", 7)
    assert len(bench.aito_keys()) == 28
    bench.run_ok(table, **how)
    assert len(bench.aito_keys()) == 40


def test_rows_of_a_table_without_a_key(stack: Stack) -> None:
    """The plan counts them."""
    bench = Workbench(stack, "plan_keyless", "replace")
    table = wide(bench, "replace", 0)
    del table["key"]
    planned = bench.run_ok(table, dry_run=True)
    assert planned.estimate
    assert planned.estimate["rows"] == 40
    assert bench.run_ok(table).uploaded == 40


@pytest.mark.parametrize("mode", ["replace", *slow("append", "merge")])
def test_keys(stack: Stack, mode: str) -> None:
    """Rows without a key and rows that share one are counted by both; `fetched` is rows read."""
    bench = Workbench(stack, f"plan_keys_{mode}", mode, table={"rejects": {"max_share": 1}})
    bench.put([row(f"page{i % 25}", bench.now - 60 - i, f"device{i}") for i in range(50)])
    bench.sql(f"INSERT INTO `{bench.source}` SELECT NULL, `at`, 'v' FROM `{bench.source}` LIMIT 3")
    planned, done = planned_and_done(bench)
    for report in (planned, done):
        codes = [each.code for each in report.warnings]
        assert codes == ["rows_without_key", "keys_collapsed", "rejects"]
        assert "53 rows of the source have only 25 keys; 25 rows (47%)" in str(report.warnings)
        assert report.rejected == 3
    assert planned.estimate
    assert (planned.estimate["rows"], done.fetched, done.uploaded) == (53, 53, 25)


def test_a_keep_that_changes(stack: Stack) -> None:
    """A shorter one only purges, and is no refresh. A longer one loads the rows that are older than
    the former one, also those that were purged in between.

    A much shorter one is refused by the plan as by the run, with the words that allow it once.
    """
    bench = Workbench(stack, "plan_keep", keep=10 * DAY)
    bench.put([row(f"k{i:03}", bench.now - 60 - i * 6 * HOUR) for i in range(15 * 4)])
    bench.run_ok()
    assert len(bench.aito_rows()) == 10 * 4
    bench.keep = 15 * DAY
    bench.run_ok()
    assert len(bench.aito_rows()) == 15 * 4
    bench.keep = 12 * DAY
    report = bench.run_ok()
    assert (report.purged, report.uploaded) == (3 * 4, 0)
    assert report.fetched < 6
    bench.keep = 15 * DAY
    bench.run_ok()
    assert len(bench.aito_rows()) == 15 * 4
    bench.keep = 5 * DAY
    for report in planned_and_done(bench):
        assert (report.status, report.code) == ("failed", "PurgeRefused")
        assert "40 of 60 rows are older than keep" in (report.error or "")
        assert "--allow purge" in (report.error or "")
    for report in planned_and_done(bench, allow=frozenset(["purge"])):
        assert (report.status, report.purged) == ("ok", 40)
    bench.assert_both_ends_equal()


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_other_keys(stack: Stack, mode: str) -> None:
    """Rows whose keys were changed at the source are foreseen as deleted, and refused if many."""
    bench = Workbench(stack, f"plan_other_keys_{mode}", mode)
    bench.put([row(f"k{i:02}", bench.now - 60 - i) for i in range(40)])
    bench.run_ok()
    rename = f"UPDATE `{bench.source}` SET id = CONCAT('new', id) WHERE "
    bench.sql(f"{rename} id < 'k04'")
    planned, done = planned_and_done(bench)
    assert (planned.status, planned.deleted) == (done.status, done.deleted) == ("ok", 4)
    assert [each.code for each in planned.warnings] == ["rows_deleted"]
    bench.sql(f"{rename} id < 'k20'")
    for report in planned_and_done(bench):
        assert (report.status, report.code) == ("failed", "DeleteRefused")


def test_deletes_over_their_share(stack: Stack) -> None:
    """Rows that a new condition hides are counted by the plan, of a reconcile, too; one error tells
    of all refusals.
    """
    bench = Workbench(stack, "plan_deletes", keep=8 * DAY)
    bench.put([row(f"k{i:03}", bench.now - 60 - i * 4 * HOUR) for i in range(40)])
    bench.run_ok()
    bench.table = {"where": "id < 'k025'"}
    (of_reconcile,) = bench.run(action="reconcile", dry_run=True).tables
    assert [each.code for each in of_reconcile.warnings] == ["refresh_pending"]
    planned, done = planned_and_done(bench)
    assert planned.warnings == done.warnings == []
    for report in (of_reconcile, planned, done):
        assert (report.status, report.code) == ("failed", "DeleteRefused")
        assert "15 of 40 rows are gone from the source within a week" in (report.error or "")
        assert report.deleted == 0, "nothing is deleted then"
    bench.keep = 2 * DAY
    (planned,) = bench.run(dry_run=True).tables
    assert planned.code == "PurgeRefused", "the rows that are gone are older than keep"
    bench.keep = 6 * DAY
    (planned,) = bench.run(dry_run=True).tables
    assert planned.code == "DeleteRefused"
    assert len(bench.aito_rows()) == 40
    bench.keep = 8 * DAY
    for report in planned_and_done(bench, allow=frozenset(["delete"])):
        assert (report.status, report.deleted, report.repaired) == ("ok", 15, 0)
        assert "rows_deleted" in [each.code for each in report.warnings]


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_rows_that_the_source_deletes(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """The plan counts those that Aito holds. Of very many keys it looks up a part."""
    bench = Workbench(stack, f"plan_by_source_{mode}", mode, table={"deletes": "value = 'gone'"})
    bench.put(hourly(bench, 30))
    own = bench.table_config()
    bench.run_ok(own)
    gone = [row(f"k{i:03}", bench.now - 30, "gone") for i in range(20, 40)]
    again = [row("k000", bench.now - 25, "gone"), row("k000", bench.now - 20, "again")]
    bench.put([*gone, *again])
    monkeypatch.setattr("sync.pipeline.preview.MOST_KEYS", 20)
    for report in planned_and_done(bench, own):
        assert (report.status, report.deleted, report.warnings) == ("ok", 10, [])
    (planned,) = bench.run(own, dry_run=True).tables
    assert (planned.status, planned.deleted) == ("ok", 0), "Aito holds none of them any more"


def test_a_read_only_key(stack: Stack) -> None:
    """It is found before anything is to be written, and nothing is written to find it."""
    bench = Workbench(stack, "plan_key")
    bench.put(hourly(bench, 3))
    stack.secrets.add(f"projects/{stack.project}/secrets/read-only", stack.aito.read_only_key)
    (planned,) = bench.run(dry_run=True, settings=READ_ONLY).tables
    assert (planned.status, planned.code) == ("failed", "AccessDenied")
    assert "read-write key" in (planned.error or "")
    assert "401" in (planned.error or "")
    stack.aito.reset_stats()
    bench.run_ok(dry_run=True)
    assert stack.aito.total("writes") == 0
