"""The examples of docs/examples run on a few made-up rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sync import config
from tests.promise.test_shards import Export, day_of, event
from tests.workbench import DAY, Workbench, iso

FOLDER = Path(__file__).parents[2] / "docs" / "examples"


def tables(bench: Workbench, example: str) -> list[dict[str, Any]]:
    """The tables of an example, which is valid as it is, with the test's own dataset."""
    path = FOLDER / f"{example}.yaml"
    assert config.load(path).tables
    text = path.read_text().replace("source: data.", f"source: {bench.dataset}.")
    found: list[dict[str, Any]] = yaml.safe_load(text)["tables"]
    for table in reversed(found):  # another test may use the same names
        if table["name"] in bench.aito.schema():
            bench.aito.drop_table(table["name"])
    return found


def test_every_example_is_tried() -> None:
    """This file has a test for each of them."""
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    assert names == ["ads_report", "firestore", "ga4", "segment", "shop"]


def test_ga4(bench: Workbench) -> None:
    """A day that is written anew adds what came late, and each event is there once."""
    export = Export(bench)
    day = day_of(bench.now - DAY)
    export.put(day, [event(day, bench.now - DAY, n) for n in (1, 2)])
    asked = tables(bench, "ga4")
    assert bench.run_ok(*asked).uploaded == 2
    bench.now += DAY
    export.put(day, [event(day, bench.now - 2 * DAY + 60, 3)])
    assert bench.run_ok(*asked).uploaded == 1
    held = bench.aito.rows("events")
    assert sorted(row["user_pseudo_id"] for row in held) == ["user1", "user2", "user3"]
    assert {row["page"] for row in held} == {"/p1", "/p2", "/p3"}
    assert {row["day"] for row in held} == {day}


def test_segment(bench: Workbench) -> None:
    """A page points to its user."""
    at = iso(bench.now - 600)
    schema = {"id": "STRING", "received_at": "TIMESTAMP"}
    bench.load_source("users_view", schema, [{"id": "u1", "received_at": at}])
    page = {"id": "p1", "received_at": at, "user_id": "u1", "path": "/"}
    bench.load_source("pages", schema | {"user_id": "STRING", "path": "STRING"}, [page])
    asked = tables(bench, "segment")
    bench.run_ok(*asked)
    bench.run_ok(*asked)
    assert [held["user_id"] for held in bench.aito.rows("pages")] == ["u1"]


def test_shop(bench: Workbench) -> None:
    """Lines have a key of two columns; an order that changes is replaced."""
    at = iso(bench.now - 600)
    schema = {"id": "INT64", "updated_at": "TIMESTAMP"}
    orders = schema | {"customer_id": "INT64", "status": "STRING"}
    order = {"id": 5_000_000_001, "customer_id": 7_000_000_001, "status": "open"}
    line_schema = {"order_id": "INT64", "line": "INT64", "sku": "STRING", "updated_at": "TIMESTAMP"}
    lines = [{"order_id": order["id"], "line": n, "sku": "s", "updated_at": at} for n in (1, 2)]
    bench.load_source("customers", schema, [{"id": 7_000_000_001, "updated_at": at}])
    bench.load_source("orders", orders, [{**order, "updated_at": at}])
    bench.load_source("order_lines", line_schema, lines)
    asked = tables(bench, "shop")
    bench.run_ok(*asked)
    bench.now += DAY
    paid = {**order, "status": "paid", "updated_at": iso(bench.now - 60)}
    bench.load_source("orders", orders, [paid])
    bench.run_ok(*asked)
    assert [held["status"] for held in bench.aito.rows("orders")] == ["paid"]
    keys = sorted(held["sync_key"] for held in bench.aito.rows("order_lines"))
    assert keys == ["5000000001|1", "5000000001|2"]


def test_ads_report(bench: Workbench) -> None:
    """A day that is restated replaces its rows."""
    schema = {"page": "STRING", "day": "DATE", "device": "STRING", "clicks": "INT64"}
    row = {"page": "/", "day": "2026-02-28", "device": "phone", "clicks": 1}
    bench.load_source("ads", schema, [row, {**row, "device": "desk"}])
    asked = tables(bench, "ads_report")
    bench.run_ok(*asked)
    bench.sql("UPDATE {d}.ads SET clicks = 9 WHERE device = 'phone'")
    bench.run_ok(*asked)
    held = {each["sync_key"]: each["clicks"] for each in bench.aito.rows("ads")}
    assert held == {"/|2026-02-28|phone": 9, "/|2026-02-28|desk": 1}


def test_firestore(bench: Workbench) -> None:
    """A deleted document goes."""
    schema = {"document_id": "STRING", "operation": "STRING", "data": "STRING"}
    schema["timestamp"] = "TIMESTAMP"

    def put(key: str, operation: str) -> None:
        row = {"document_id": key, "operation": operation, "timestamp": iso(bench.now - 60)}
        bench.load_source("documents_changelog", schema, [{**row, "data": "{}"}])

    put("a", "CREATE")
    put("b", "CREATE")
    asked = tables(bench, "firestore")
    bench.run_ok(*asked)
    bench.now += DAY
    put("a", "DELETE")
    assert bench.run_ok(*asked).deleted == 1
    assert [held["document_id"] for held in bench.aito.rows("documents")] == ["b"]
