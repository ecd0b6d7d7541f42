"""State survives people: tables that failed, differ, are renamed, or leave the configuration."""

from __future__ import annotations

from typing import Any

import pytest

from tests.variations import slow
from tests.workbench import NOW, Row, Workbench, iso, table

SOURCE = {"id": "STRING", "ts": "TIMESTAMP", "n": "INT64"}
ROWS = [{"id": f"k{i:02}", "ts": iso(NOW - 100 + i), "n": 2**40 + i} for i in range(30)]


def numbers(bench: Workbench, kind: str, **more: object) -> Row:
    """A table whose column `n` has this type."""
    columns = {"id": {}, "n": {"type": kind}}
    return table(bench.name, f"{bench.dataset}.numbers", columns=columns, **more)


def kept(bench: Workbench) -> Row:
    """A table that stays in the configuration."""
    return table(f"{bench.name}_kept", f"{bench.dataset}.numbers", columns={"id": {}})


def test_an_empty_table_of_a_failed_run_is_made_anew(bench: Workbench) -> None:
    """The first run made the table and refused every row. Then the type is mended.

    Where others link to the table, Aito would not drop it: the differences are reported.
    """
    bench.load_source("numbers", SOURCE, ROWS)
    (failed,) = bench.run(numbers(bench, "Int")).tables
    assert (failed.status, failed.code) == ("failed", "TooManyRejects")
    assert bench.aito.rows(bench.name) == []
    child = {"parent": {"type": "String", "nullable": True, "link": f"{bench.name}.id"}}
    bench.aito.create_table(f"{bench.name}_child", child)
    (failed,) = bench.run(numbers(bench, "Long")).tables
    assert failed.code == "SchemaMismatch"
    bench.aito.drop_table(f"{bench.name}_child")
    (planned,) = bench.run(numbers(bench, "Long"), dry_run=True).tables
    assert planned.estimate
    assert planned.estimate["schema"] == [
        f"table {bench.name} is empty and made anew, as it differs: "
        "n: type is Int in Aito and Long here"
    ]
    assert bench.aito.schema()[bench.name]["columns"]["n"]["type"] == "Int"
    assert bench.run_ok(numbers(bench, "Long")).uploaded == 30
    # A table with rows is never made anew: another type is refused with the command that helps.
    (failed,) = bench.run(numbers(bench, "String")).tables
    assert failed.code == "SchemaMismatch"
    assert f"`./aito-sync reset {bench.name}`" in (failed.error or "")
    assert len(bench.aito.rows(bench.name)) == 30


def test_a_table_is_taken_out_of_the_configuration(bench: Workbench) -> None:
    """It is reported once, with what stays in Aito: in the answer and in the log.

    When it comes back, its rows were made by another definition: it is a refresh. When it goes
    again, it is reported again.
    """
    bench.load_source("numbers", SOURCE, ROWS)
    bench.run_ok(kept(bench), numbers(bench, "Long"))
    for dry_run in (True, False):
        report = bench.run(kept(bench), dry_run=dry_run)
        (warning,) = report.to_json()["warnings"]
        assert warning["code"] == "table_removed"
        assert f"{bench.name} is no longer in the configuration" in warning["message"]
        assert "Aito keeps its 30 rows" in warning["message"]
        assert "renamed" not in warning["message"]
        assert bench.event("table_warning")["code"] == "table_removed"
    assert report.status == "ok"
    assert "warnings" not in bench.run(kept(bench)).to_json()
    assert len(bench.aito.rows(bench.name)) == 30
    doubled = numbers(bench, "Long")
    doubled["columns"]["n"] = {"sql": "n * 2", "type": "Long"}
    report = bench.run(kept(bench), doubled)
    assert (report.status, report.tables[-1].uploaded, report.warnings) == ("ok", 30, [])
    assert {held["n"] % 2 for held in bench.aito.rows(bench.name)} == {0}
    # A new table of another definition is not the old one under another name.
    other = {**numbers(bench, "Long"), "name": f"{bench.name}_other"}
    (warning,) = bench.run(kept(bench), other).warnings
    assert warning.code == "table_removed"
    assert "renamed" not in warning.message
    assert bench.run(kept(bench), other).warnings == []


def test_renamed_tables(bench: Workbench) -> None:
    """They are recognised, also where a table is swapped: the new ones are loaded anew, and the old
    ones stay in Aito.
    """
    bench.load_source("numbers", SOURCE, ROWS)
    kept_up = numbers(bench, "Long", mode="append")
    swapped = {**numbers(bench, "Long", mode="replace"), "name": f"{bench.name}_swapped"}
    del swapped["cursor"]
    new = [{**old, "name": f"{old['name']}_new"} for old in (kept_up, swapped)]
    bench.run_ok(kept_up, swapped)
    planned = bench.run(*new, dry_run=True).to_json()["warnings"]
    report = bench.run(*new)
    done = report.to_json()["warnings"]
    assert len(planned) == len(done) == 2
    for old in (kept_up, swapped):
        name = old["name"]
        (before,) = [each["message"] for each in planned if each["message"].startswith(f"{name} ")]
        assert f"If you have renamed the table: Aito makes {name}_new as a new" in before
        (after,) = [each["message"] for each in done if each["message"].startswith(f"{name} ")]
        assert f"Aito keeps its 30 rows until `./aito-sync reset {name}` drops" in after
    assert report.status == "ok"
    assert [each.uploaded for each in report.tables] == [30, 30]


def test_a_reconcile_before_the_refresh(bench: Workbench) -> None:
    """It compares keys and not content, so it says that the refresh is still to come.

    A change that is taken back is a refresh, too, when rows were loaded by another definition.
    """
    bench.load_source("numbers", SOURCE, ROWS)
    bench.run_ok(numbers(bench, "Long"))
    doubled = numbers(bench, "Long")
    doubled["columns"]["n"] = {"sql": "n * 2", "type": "Long"}
    late = {"id": "late", "ts": iso(NOW - 500), "n": 2**40 + 1}
    bench.load_source("numbers", SOURCE, [late])
    (table,) = bench.run(doubled, action="reconcile").tables
    assert [warning.code for warning in table.warnings] == ["refresh_pending"]
    assert "the configuration changed: columns" in table.warnings[0].message
    bench.run_ok(numbers(bench, "Long"))
    assert {held["n"] for held in bench.aito.rows(bench.name)} == {
        each["n"] for each in [*ROWS, late]
    }
    assert bench.run_ok(doubled).warnings == []
    assert bench.run_ok(doubled, action="reconcile").warnings == []


def rekeyed(bench: Workbench, key: str, **more: object) -> Row:
    """A table of which either of two columns may be the key."""
    columns = {
        "id": {"nullable": False},
        "other": {"sql": "CONCAT('x', id)", "type": "String", "nullable": False},
    }
    named = table(bench.name, f"{bench.dataset}.numbers", columns=columns)
    return {**named, "key": key, **more}


@pytest.mark.parametrize("request_of", [{}, *slow({"full_refresh": True})])
def test_another_key(bench: Workbench, request_of: Any) -> None:
    """Rows that the source has are recognised under it. The others are gone, and guarded."""
    bench.load_source("numbers", SOURCE, ROWS)
    bench.run_ok(rekeyed(bench, "id"))
    (failed,) = bench.run(rekeyed(bench, "other", where="id < 'k10'"), **request_of).tables
    assert (failed.status, failed.code) == ("failed", "DeleteRefused")
    assert "20 of 30 rows are gone" in (failed.error or "")
    report = bench.run_ok(rekeyed(bench, "other"), **request_of)
    assert (report.deleted, len(bench.aito_keys())) == (0, 30)
