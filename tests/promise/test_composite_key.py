"""Keys of several columns: one String column is made of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.variations import slow
from tests.workbench import HOUR, Workbench, iso, table

SCHEMA = {"page": "STRING", "day": "DATE", "device": "STRING", "clicks": "INT64", "ts": "TIMESTAMP"}
KEY = ["page", "day", "device"]


def report_row(bench: Workbench, page: str | None, device: str | None, clicks: int) -> Any:
    """A row of a daily report that was written a minute ago."""
    at = iso(bench.now - 60)
    return {"page": page, "day": "2026-02-28", "device": device, "clicks": clicks, "ts": at}


def report(bench: Workbench, name: str, **more: Any) -> dict[str, Any]:
    """The report as the configuration has it."""
    return table(name, f"{bench.dataset}.report", **{"key": KEY, **more})


def clicks_by_key(bench: Workbench, name: str, key: str = "sync_key") -> dict[str, int]:
    """What Aito holds. Each key must be there once."""
    held = bench.aito.rows(name)
    found = {each[key]: each["clicks"] for each in held}
    assert len(found) == len(held)
    return found


@pytest.mark.parametrize("mode", ["merge", "replace", *slow("append")])
def test_a_report_by_page_day_and_device(bench: Workbench, mode: str) -> None:
    """Each row is loaded once, and stays so the next night. In merge a changed row is replaced."""
    name = f"composite_{mode}"
    cursor = {"cursor": None} if mode == "replace" else {}
    asked = report(bench, name, mode=mode, key_column="row_key", **cursor)
    asked = {key: value for key, value in asked.items() if value is not None}
    pages = [(page, device) for page in ("/", "/a|b", "/a~b") for device in ("phone", "desk|top")]
    bench.load_source("report", SCHEMA, [report_row(bench, *pair, 1) for pair in pages])
    assert bench.run_ok(asked).uploaded == 6
    first = clicks_by_key(bench, name, "row_key")
    assert first == {
        f"{page}|2026-02-28|{device}": 1
        for page in ("/", "/a~1b", "/a~0b")
        for device in ("phone", "desk~1top")
    }
    bench.now += HOUR
    bench.load_source("report", SCHEMA, [report_row(bench, "/new", "phone", 5)])
    if mode == "merge":
        bench.load_source("report", SCHEMA, [report_row(bench, "/", "phone", 9)])
    bench.run_ok(asked)
    changed = {"/|2026-02-28|phone": 9} if mode == "merge" else {}
    assert clicks_by_key(bench, name, "row_key") == {
        **first,
        "/new|2026-02-28|phone": 5,
        **changed,
    }
    if mode != "replace":
        assert bench.run_ok(asked).uploaded == 0
        assert bench.run_ok(asked, action="reconcile").repaired == 0


def test_parts_that_hold_the_separator(bench: Workbench) -> None:
    """No two different rows have one key, whatever stands in their parts."""
    parts = ["", "|", "~", "~1", "~0", "a", "a|", "|a", "a|b", "b", "||", "~|"]
    schema = {"a": "STRING", "b": "STRING", "c": "BYTES", "ts": "TIMESTAMP"}
    rows = [
        {"a": one, "b": other, "c": "", "ts": iso(bench.now - 60)}
        for one in parts
        for other in parts
    ]
    bench.load_source("pairs", schema, rows)
    asked = table("composite_pairs", f"{bench.dataset}.pairs", key=["a", "b", "c"])
    assert bench.run_ok(asked).uploaded == len(parts) ** 2
    held = bench.aito.rows("composite_pairs")
    assert len({each["sync_key"] for each in held}) == len(parts) ** 2
    assert bench.run_ok(asked, action="reconcile", deep=True).repaired == 0


TYPED = {
    "INT64": ("-9007199254740993", "-9007199254740993"),
    "STRING": ("'Ä'", "Ä"),
    "DATE": ("DATE '0987-01-02'", "0987-01-02"),
    "DATETIME": ("DATETIME '2026-01-02 03:04:05.6'", "2026-01-02T03:04:05.600000"),
    "TIMESTAMP": ("TIMESTAMP '2026-01-02 03:04:05+02'", "2026-01-02T01:04:05.000000Z"),
    "TIME": ("TIME '03:04:05'", "03:04:05.000000"),
    "BOOL": ("TRUE", "true"),
    "BYTES": ("b'|~'", "fH4="),
}


def test_every_type_of_a_part(bench: Workbench) -> None:
    """A part has one text, whatever its Aito type is."""
    schema = {f"c_{kind.lower()}": kind for kind in TYPED}
    bench.load_source("typed", schema | {"ts": "TIMESTAMP"}, [])
    values = ", ".join(sql for sql, _ in TYPED.values())
    at = f"TIMESTAMP_SECONDS({bench.now - 60})"
    bench.sql(f"INSERT INTO {{d}}.typed ({', '.join(schema)}, ts) VALUES ({values}, {at})")
    columns: dict[str, Any] = dict.fromkeys(schema)
    columns["c_int64"] = {"type": "Long"}
    columns["c_date"] = {"type": "Long"}
    asked = table("composite_typed", f"{bench.dataset}.typed", key=list(schema), columns=columns)
    assert bench.run_ok(asked).uploaded == 1
    (held,) = bench.aito.rows("composite_typed")
    assert held["sync_key"] == "|".join(text for _, text in TYPED.values())
    assert bench.run_ok(asked).uploaded == 0


def test_a_part_that_is_null(bench: Workbench) -> None:
    """Such rows are counted, warned of and rejected, and the reason names the part."""
    rows = [report_row(bench, f"/{i}", "phone", i) for i in range(20)]
    rows += [report_row(bench, "/x", None, 1), report_row(bench, None, None, 1)]
    bench.load_source("report", SCHEMA, rows)
    found = bench.run_ok(report(bench, "composite_null"))
    assert (found.uploaded, found.rejected) == (20, 2)
    (warning,) = [each for each in found.warnings if each.code == "rows_without_key"]
    assert "2 rows have no value in page, day or device, which make the key" in warning.message
    reasons = {each.reason for each in found.rejects}
    assert reasons == {
        f"{part}: NULL in a column that is not nullable" for part in KEY if part != "day"
    }
    assert "a value by `sql`, such as IFNULL(device, '')" in warning.message
    made = {part: {"sql": f"IFNULL({part}, '')"} for part in ("page", "device")}
    valued = report(bench, "composite_valued", columns={"*": None, **made})
    assert bench.run_ok(valued).uploaded == 22


def test_equal_rows_fold(bench: Workbench) -> None:
    """Of rows with one key the newest counts, and the warning says how many there were."""
    rows = [report_row(bench, f"/{i % 10}", "phone", i) for i in range(50)]
    bench.load_source("report", SCHEMA, rows)
    found = bench.run_ok(report(bench, "composite_fold"))
    assert found.uploaded == 10
    (warning,) = [each for each in found.warnings if each.code == "keys_collapsed"]
    assert "50 rows of the source have only 10 keys" in warning.message
    assert "the same page and day and device" in warning.message


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_a_part_that_was_added(bench: Workbench, mode: str) -> None:
    """The next sync makes all keys anew, and the rows under the old keys go."""
    name = f"composite_added_{mode}"
    rows = [
        report_row(bench, f"/{i}", device, i) for i in range(20) for device in ("desk", "phone")
    ]
    bench.load_source("report", SCHEMA, rows)
    bench.run_ok(report(bench, name, mode=mode, key=["page", "day"]))
    assert len(bench.aito.rows(name)) == 20
    asked = report(bench, name, mode=mode)
    plan = bench.run_ok(asked, dry_run=True)
    assert plan.estimate
    assert plan.estimate["refresh"] == "the configuration changed: key"
    assert bench.run_ok(asked).deleted == 0
    found = clicks_by_key(bench, name)
    assert len(found) == 40
    assert all(key.count("|") == 2 for key in found)


def test_another_key_and_fewer_rows(bench: Workbench) -> None:
    """Rows under old keys that no new row takes the place of are gone, and the guard is asked.

    A full refresh knows that the key was changed, too.
    """
    name = "composite_fewer"
    rows = [report_row(bench, f"/{i:02}", "phone", i) for i in range(40)]
    bench.load_source("report", SCHEMA, rows)
    bench.run_ok(report(bench, name, key=["page", "day"]))
    (found,) = bench.run(report(bench, name, where="page < '/25'")).tables
    assert (found.status, found.code) == ("failed", "DeleteRefused")
    assert "15 of " in (found.error or "")
    assert bench.run_ok(report(bench, name), full_refresh=True).deleted == 0
    assert len(bench.aito.rows(name)) == 40


def test_a_part_whose_type_changed(bench: Workbench) -> None:
    """A part that has another text makes other keys: all rows are read again."""
    rows = [report_row(bench, f"/{i}", "phone", i) for i in range(20)]
    bench.load_source("report", SCHEMA, rows)
    days = "SELECT * EXCEPT (day), {} AS day FROM {}.report"
    asked = report(bench, "composite_retyped", query=days.format("day", bench.dataset))
    del asked["source"]
    bench.run_ok(asked)
    asked["query"] = days.format("TIMESTAMP(day, 'UTC')", bench.dataset)
    bench.run_ok(asked)
    found = clicks_by_key(bench, "composite_retyped")
    assert sorted(found) == sorted(f"/{i}|2026-02-28T00:00:00.000000Z|phone" for i in range(20))


def test_from_one_column_to_several_and_back(bench: Workbench) -> None:
    """The column of the key is missing in Aito, or is left over: both are refused with words."""
    rows = [report_row(bench, f"/{i}", "phone", i) for i in range(5)]
    bench.load_source("report", SCHEMA, rows)
    one, several = "composite_from_one", "composite_from_several"
    bench.run_ok(report(bench, one, key="page"), report(bench, several, key=KEY))
    changed = report(bench, one, key=KEY), report(bench, several, key="page")
    for dry_run in (True, False):
        for found in bench.run(*changed, dry_run=dry_run).tables:
            assert found.status == "failed"
            assert "sync_key" in str(found.error), found.error
            assert f"reset {found.table}" in str(found.error), found.error


def test_links_and_a_composite_key(bench: Workbench) -> None:
    """A part may be a link, and a column with the same text may link to the key."""
    at = iso(bench.now - 60)
    orders = [{"id": f"o{i}", "ts": at} for i in range(3)]
    lines = [{"order_id": f"o{i}", "line": n, "ts": at} for i in range(3) for n in range(2)]
    returns = [{"id": "r", "order_id": "o1", "line": 1, "ts": at}]
    line_types = {"order_id": "STRING", "line": "INT64", "ts": "TIMESTAMP"}
    bench.load_source("orders", {"id": "STRING", "ts": "TIMESTAMP"}, orders)
    bench.load_source("lines", line_types, lines)
    bench.load_source("returns", {"id": "STRING", **line_types}, returns)
    of_order = {"order_id": {"link": "composite_orders.id"}, "line": None}
    same_text = "CONCAT(order_id, '|', CAST(line AS STRING))"
    of_line = {"id": None, "line": {"sql": same_text, "link": "composite_lines.sync_key"}}
    d = bench.dataset
    asked = [
        table("composite_returns", f"{d}.returns", columns=of_line),
        table("composite_lines", f"{d}.lines", key=["order_id", "line"], columns=of_order),
        table("composite_orders", f"{d}.orders"),
    ]
    bench.run_ok(*asked)
    (held,) = bench.aito.rows("composite_returns")
    assert held["line"] == "o1|1"
    assert "o1|1" in {each["sync_key"] for each in bench.aito.rows("composite_lines")}
