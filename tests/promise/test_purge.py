"""The purge deletes what is older than `keep` and refuses to delete too much. A dry run writes
nothing.
"""

from __future__ import annotations

from typing import Any

import pytest

from sync.pipeline import purge
from tests.workbench import DAY, NOW, Workbench, iso, table

SCHEMA = {"id": "STRING", "ts": "TIMESTAMP", "parent": "STRING"}
KEEP = {"keep": "30d"}
EDGE = NOW - 30 * DAY


def load_rows_of_age(bench: Workbench, *ages: float) -> None:
    """Rows of so many days of age."""
    bench.load_source(
        "rows",
        SCHEMA,
        [{"id": f"k{age}", "ts": iso(NOW - age * DAY), "parent": "k1"} for age in ages],
    )


def insert_old_rows(bench: Workbench, name: str, columns: list[str], *cursors: int) -> None:
    """Rows that came to Aito long ago."""
    bench.aito.insert(name, [{**dict.fromkeys(columns, f"old{at}"), "at": at} for at in cursors])


def test_exactly_what_is_older_than_keep(bench: Workbench) -> None:
    """The row at the edge stays, the one a second older goes; neither is loaded again."""
    load_rows_of_age(bench, 1, 2, 3, 4, 31)
    asked = table("purge_edge", f"{bench.dataset}.rows", columns={"id": {}}, **KEEP)
    assert bench.run_ok(asked).purged == 0
    assert bench.aito_keys("purge_edge") == ["k1", "k2", "k3", "k4"], (
        "what is past keep is never loaded"
    )
    insert_old_rows(bench, "purge_edge", ["id"], EDGE, EDGE - 1, EDGE - 100 * DAY)
    bench.load_source("rows", SCHEMA, [{"id": f"old{EDGE}", "ts": iso(EDGE), "parent": None}])
    report = bench.run_ok(asked)
    assert (report.purged, report.uploaded) == (2, 0)
    assert bench.aito_keys("purge_edge") == ["k1", "k2", "k3", "k4", f"old{EDGE}"]
    assert bench.run_ok(asked).purged == 0


def test_slices_of_many_rows(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first, in as many requests as there are slices; a second is not parted."""
    monkeypatch.setattr(purge, "PURGE_ROWS", 4)
    load_rows_of_age(bench, 1)
    source = f"{bench.dataset}.rows"
    most = {"max_share": 1.0}
    asked = table("purge_slices", source, columns={"id": {}}, purge=most, **KEEP)
    bench.run_ok(asked)
    distinct = [EDGE - 100 + number for number in range(5)]
    same_second = [EDGE - 50] * 6
    insert_old_rows(bench, "purge_slices", ["id"], *distinct, *same_second)
    bench.aito.reset_stats()
    assert bench.run_ok(asked).purged == 11
    assert bench.aito_keys("purge_slices") == ["k1"]
    assert bench.aito.total(on="delete") == 2, "four of a second each; then all of the last second"


def test_children_first(bench: Workbench) -> None:
    """No child is left behind without its parent."""
    load_rows_of_age(bench, 1, 2, 3)
    parent = table("purge_parent", f"{bench.dataset}.rows", columns={"id": {}}, **KEEP)
    child = table(
        "purge_child",
        f"{bench.dataset}.rows",
        columns={"id": {}, "parent": {"link": "purge_parent.id"}},
        **KEEP,
    )
    bench.run_ok(parent, child)
    insert_old_rows(bench, "purge_parent", ["id"], EDGE - 5)
    insert_old_rows(bench, "purge_child", ["id", "parent"], EDGE - 5)
    bench.aito.reset_stats()
    report = bench.run(parent, child)
    assert [t.purged for t in report.tables] == [1, 1]
    assert [e.table for e in bench.aito.log if e.kind == "delete"] == [
        "purge_child",
        "purge_parent",
    ]


def test_refused_past_max_share(bench: Workbench) -> None:
    """500, an event and a message with the figures and the remedy; nothing is deleted until
    somebody says so.
    """
    load_rows_of_age(bench, 1, 2)
    asked = table("purge_share", f"{bench.dataset}.rows", columns={"id": {}}, **KEEP)
    bench.run_ok(asked)
    insert_old_rows(bench, "purge_share", ["id"], EDGE - 1, EDGE - 2, EDGE - 3)
    bench.aito.reset_stats()
    report = bench.run(asked)
    assert (report.status, report.http_status) == ("failed", 500)
    for part in ("3 of 5 rows", "purge.max_share 0.5", "raise purge.max_share"):
        assert part in (report.tables[0].error or "")
    event = bench.event("purge_refused")
    assert (event["severity"], event["old"], event["total"]) == ("ERROR", 3, 5)
    assert len(bench.aito.rows("purge_share")) == 5
    assert bench.aito.total("requests", "delete") == 0
    assert bench.ledger_rows("runs")[-1]["purged"] == 0
    assert bench.run_ok({**asked, "purge": {"max_share": 0.6}}).purged == 3, (
        "at the share itself it is allowed"
    )


def test_nothing_is_purged_after_a_failed_load(bench: Workbench) -> None:
    """A table whose load failed is not purged. The other table is."""
    load_rows_of_age(bench, 1, 2, 3)
    failing = table("purge_failing", f"{bench.dataset}.rows", columns={"id": {}}, **KEEP)
    other = table("purge_other", f"{bench.dataset}.rows", columns={"id": {}}, **KEEP)
    bench.run_ok(failing, other)
    for name in ("purge_failing", "purge_other"):
        insert_old_rows(bench, name, ["id"], EDGE - 1)
    load_rows_of_age(bench, 0.5)
    bench.aito.fail("quota", on="insert", times=None, table="purge_failing")
    report = bench.run(failing, other)
    assert [(t.status, t.purged) for t in report.tables] == [("failed", 0), ("ok", 1)]
    assert f"old{EDGE - 1}" in bench.aito_keys("purge_failing")


def bigquery_tables(bench: Workbench) -> list[dict[str, Any]]:
    """Every table of BigQuery that is there, with its rows."""
    found = []
    for dataset in bench.client.list_datasets(timeout=20):
        if bench.dataset in dataset.dataset_id:
            for item in bench.client.list_tables(dataset.dataset_id, timeout=20):
                found.append(
                    {
                        "table": item.full_table_id,
                        "rows": bench.client.get_table(item, timeout=20).num_rows,
                    }
                )
    return found


def test_a_dry_run_writes_nothing_anywhere(bench: Workbench) -> None:
    """No write request to Aito, no table and no row in BigQuery, no ledger: not for new tables,
    not for old ones.
    """
    bench.drop_ledger()
    load_rows_of_age(bench, 1, 2, 3)
    source = f"{bench.dataset}.rows"
    parent = table("purge_dry", source, columns={"id": {}}, **KEEP)
    child = table(
        "purge_dry_child", source, columns={"id": {}, "parent": {"link": "purge_dry.id"}}, **KEEP
    )
    small = {"name": "purge_dry_small", "source": source, "mode": "replace"}
    before, schema = bigquery_tables(bench), bench.aito.schema()
    report = bench.run(parent, child, small, dry_run=True)
    assert (report.status, report.http_status, bench.aito_writes()) == ("ok", 200, 0)
    estimates = {t.table: (t.estimate or {}).get("rows") for t in report.tables}
    assert (estimates["purge_dry"], estimates["purge_dry_child"]) == (3, 3)
    assert bigquery_tables(bench) == before
    assert bench.aito.schema() == schema

    bench.run_ok(parent)
    insert_old_rows(bench, "purge_dry", ["id"], EDGE - 1)
    bench.aito.double_rows("purge_dry", {"id": "k1"})
    load_rows_of_age(bench, 0.5)
    before, rows = bigquery_tables(bench), bench.aito.rows("purge_dry")
    wider = {**parent, "columns": {"id": {}, "parent": {}}}
    for request in (
        {},
        {"full_refresh": True},
        {"action": "reconcile", "deep": True},
    ):
        bench.aito.reset_stats()
        bench.run(wider, dry_run=True, **request)
        assert bench.aito_writes() == 0
        assert bigquery_tables(bench) == before
        assert bench.aito.rows("purge_dry") == rows


def test_a_dry_run_of_a_column_to_come(bench: Workbench) -> None:
    """A column that the next run would add is planned with, and not added."""
    load_rows_of_age(bench, 1, 2, 3)
    asked = table("purge_wider", f"{bench.dataset}.rows", columns={"id": {}}, **KEEP)
    bench.run_ok(asked)
    wider = {**asked, "columns": {"id": {}, "parent": {}}}
    schema = bench.aito.schema()
    bench.aito.reset_stats()
    assert (bench.run_ok(wider, dry_run=True).estimate or {})["rows"] > 0
    assert (bench.aito.schema(), bench.aito_writes()) == (schema, 0)
