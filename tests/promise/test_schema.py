"""Columns in whole runs: tables that differ, parents, columns added later, awkward names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workbench import NOW, Workbench, iso, table

SOURCE = {"id": "STRING", "ts": "TIMESTAMP", "parent": "STRING", "extra": "STRING"}
ROWS = [
    {"id": f"k{n}", "ts": iso(NOW - 100 + n), "parent": "k1", "extra": f"e{n}"} for n in range(5)
]


def test_a_table_that_differs_fails_before_any_row_moves(bench: Workbench) -> None:
    """500, every difference told, nothing written; the other table is loaded all the same."""
    bench.load_source("rows", SOURCE, ROWS)
    bench.aito.create_table(
        "schema_odd", {"id": {"type": "Int"}, "at": {"type": "Int"}, "must": {"type": "Int"}}
    )
    columns = {"id": {}, "extra": {"nullable": False}}
    odd = table("schema_odd", f"{bench.dataset}.rows", columns=columns)
    report = bench.run(odd, table("schema_even", f"{bench.dataset}.rows"))
    assert (report.status, report.http_status) == ("failed", 500)
    failed, even = report.tables
    assert (failed.status, even.status, even.uploaded) == ("failed", "ok", 5)
    for part in (
        "id: type is Int in Aito and String here",
        "extra: not in Aito",
        "must: not nullable in Aito",
        "schema_odd: Aito's table differs:\n  - ",
        "\nRemedy: change `columns` in the configuration to match, or run",
        "`./aito-sync reset schema_odd`",
    ):
        assert part in (failed.error or "")
    assert bench.aito.rows("schema_odd") == []
    assert not [
        e
        for e in bench.aito.log
        if e.table == "schema_odd" and e.kind in ("insert", "modify", "schema.write")
    ]
    assert bench.event("run_done")["severity"] == "ERROR"


def test_parents_are_made_first_and_columns_added(bench: Workbench) -> None:
    """The order of the file does not matter. A column configured later is added, and the next
    sync is a refresh that fills it in old rows too.
    """
    bench.load_source("rows", SOURCE, ROWS)
    source = f"{bench.dataset}.rows"
    child = table(
        "schema_child", source, columns={"id": {}, "parent": {"link": "schema_parent.id"}}
    )
    bench.run_ok(child, table("schema_parent", source, columns={"id": {}}))
    made = [
        entry.table
        for entry in bench.aito.log
        if entry.kind == "schema.write" and entry.status == 200
    ]
    assert made == ["schema_parent", "schema_child"]
    assert bench.aito.schema()["schema_child"]["columns"]["parent"]["link"] == "schema_parent.id"
    wider = {**child, "columns": {**child["columns"], "extra": {"type": "Text", "analyzer": "en"}}}
    bench.load_source(
        "rows", SOURCE, [{"id": "k9", "ts": iso(NOW - 1), "parent": "k1", "extra": "new"}]
    )
    report = bench.run_ok(wider, table("schema_parent", source, columns={"id": {}}))
    assert report.uploaded == 6
    held = {row["id"]: row.get("extra") for row in bench.aito.rows("schema_child")}
    assert held == {"k9": "new", **{f"k{n}": f"e{n}" for n in range(5)}}


READ_BACK: list[dict[str, Any]] = [
    {},
    {"columns": "as made"},
    {"types": "lower"},
    {"analyzers": "as sent"},
    {"analyzers": "object"},
    {"self_links": "this"},
    {"nullable_false": "left out"},
    {"nullable_true": "left out"},
    {"types": "lower", "analyzers": "object", "self_links": "this", "nullable_false": "left out"},
]


def test_a_table_of_ours_equals_itself(bench: Workbench) -> None:
    """On every form in which Aito may read a schema back, a second run writes nothing."""
    bench.load_source("rows", SOURCE, ROWS)
    columns = {
        "id": {},
        "parent": {"link": "schema_above.id"},
        "extra": {"type": "Text", "analyzer": "en"},
    }
    source = f"{bench.dataset}.rows"
    configured = [table("schema_above", source), table("schema_itself", source, columns=columns)]
    bench.run_ok(*configured)
    switches = bench.aito.switches
    try:
        for form in READ_BACK:
            switches.reset()
            switches.turn(**form)
            bench.aito.reset_stats()
            report = bench.run_ok(*configured)
            assert (report.uploaded, bench.aito_writes(), report.warnings) == (0, 0, []), form
    finally:
        switches.reset()


@pytest.mark.parametrize("listed_by", ["collections", "hidden_collections"])
def test_a_collection_of_a_configured_name(bench: Workbench, listed_by: str) -> None:
    """It is refused in words, in every mode, before anything is written.

    Also one that only version 2 of the API lists.
    """
    bench.load_source("rows", SOURCE, ROWS)
    source = f"{bench.dataset}.rows"
    bench.aito.switches.turn(**{listed_by: ["schema_taken"]})
    replaced = {"name": "schema_taken", "source": source, "mode": "replace"}
    try:
        for configured in (table("schema_taken", source), replaced):
            for request in ({}, {"dry_run": True}, {"action": "reconcile"}):
                bench.aito.reset_stats()
                report = bench.run(configured, **request)
                assert (report.status, report.http_status) == ("failed", 500)
                assert "schema_taken: Aito has a collection of this name" in str(
                    report.tables[0].error
                )
                assert bench.aito_writes() == 0
    finally:
        bench.aito.switches.reset()


def test_awkward_column_names(bench: Workbench) -> None:
    """Reserved words, our own queries' names and letters from everywhere are columns like any
    other.
    """
    names = [
        "select",
        "from",
        "order",
        "element",
        "place",
        "made",
        "later",
        "sync_cursors",
        "größe",
        "n_rows",
    ]
    bench.load_source(
        "rows",
        {"id": "STRING", "ts": "TIMESTAMP", **dict.fromkeys(names, "STRING")},
        [{"id": "a", "ts": iso(NOW - 5), **{name: name for name in names}}],
    )
    bench.run_ok(table("schema_names", f"{bench.dataset}.rows"))
    (row,) = bench.aito.rows("schema_names")
    assert {name: row.get(name) for name in names} == {name: name for name in names}
