"""Pseudo-columns of BigQuery in `columns` and `where`. See test_shards.py for `_TABLE_SUFFIX`."""

from __future__ import annotations

from datetime import UTC, datetime

from local.stack import Stack
from tests.workbench import DAY, Workbench, iso

SCHEMA = {"id": "STRING", "ts": "TIMESTAMP", "size": "INT64"}


def test_the_time_of_ingestion(stack: Stack) -> None:
    """It is a column, beside those of `"*"`, and a condition."""
    bench = Workbench(stack, "pseudo")
    rows = [{"id": f"k{i}", "ts": iso(bench.now - 60 - i), "size": i} for i in range(3)]
    bench.load_source("streamed", SCHEMA, rows, partition_by="")
    table = {
        "name": bench.name,
        "source": f"{bench.dataset}.streamed",
        "key": "id",
        "cursor": {"source": "ts", "column": "unix"},
        "where": "_PARTITIONTIME > TIMESTAMP '2020-01-01'",
        "columns": {
            "*": {"except": ["size"]},
            "loaded": {"sql": "_PARTITIONTIME"},
            "loaded_unix": {"sql": "_PARTITIONTIME", "type": "Int"},
        },
    }
    bench.run_ok(table)
    held = bench.aito_rows()
    assert set(held[0]) == {"id", "ts", "unix", "loaded", "loaded_unix"}
    # The emulator says the present time instead of the partition's beginning.
    days = {row["loaded_unix"] // DAY for row in held}
    assert days <= {bench.now // DAY, bench.now // DAY + 1}
    assert {row["loaded"][:4] for row in held} == {f"{datetime.fromtimestamp(bench.now, UTC):%Y}"}
    assert bench.run_ok(table).uploaded == 0
