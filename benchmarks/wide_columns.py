"""900 columns with `"*"` against 15 with as many bytes: first night and quiet night.

    python -m benchmarks.wide_columns [--rows 2000]

Prints seconds of the clock and of this process alone, and their ratios. The target is at most twice
the time. The emulator parses a statement of 900 columns for seconds, which BigQuery does not.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud.bigquery import SchemaField

from local import bigquery
from local.stack import Stack
from sync.app import Services, run
from sync.bigquery import session
from sync.bigquery.client import RETRY
from sync.model.request import Request

KINDS = ("STRING", "INT64", "FLOAT64", "BOOL", "DATE", "TIMESTAMP", "NUMERIC", "DATETIME")
VALUES: dict[str, Any] = {
    "STRING": "some text",
    "INT64": 12345,
    "FLOAT64": 1.5,
    "BOOL": True,
    "DATE": "2026-03-01",
    "TIMESTAMP": "2026-03-01T10:00:00Z",
    "NUMERIC": "12.5",
    "DATETIME": "2026-03-01T10:00:00",
}
MANY, FEW = 900, 15
TARGET = 2.0
PATIENCE = 600.0  # seconds; the emulator answers late on a busy machine

Night = tuple[float, float]  # seconds of the clock, seconds of this process


def columns(count: int) -> list[SchemaField]:
    """A key, a cursor, and columns of all types."""
    made = [SchemaField("id", "STRING"), SchemaField("ts", "TIMESTAMP")]
    kinds = [KINDS[place % len(KINDS)] for place in range(count - 2)]
    return made + [SchemaField(f"c{place:03}", kind) for place, kind in enumerate(kinds)]


def rows(fields: list[SchemaField], count: int, filler: int) -> Iterator[dict[str, Any]]:
    """Rows of these columns. filler: characters of the first text."""
    now = datetime.now(UTC)
    for number in range(count):
        row = {field.name: VALUES[field.field_type] for field in fields}
        row |= {"id": f"k{number:06}", "ts": (now - timedelta(seconds=60 + number)).isoformat()}
        yield row | {"c000": "x" * filler if filler else VALUES["STRING"]}


def nights(stack: Stack, name: str, fields: list[SchemaField], data: list[Any]) -> list[Night]:
    """The first night and two quiet ones."""
    bigquery.load(stack.bigquery.client(), f"wide_bench.{name}", fields, data)
    table = {
        "name": name,
        "source": f"wide_bench.{name}",
        "key": "id",
        "cursor": {"source": "ts", "column": "unix"},
        "keep": "90d",
        "columns": {"*": None, "c000": {"type": "Text"}, "c001": {"sql": "c001 + 1"}},
    }
    aito = {"requests_per_second": 100_000}
    path = stack.configure(name=f"{name}.yaml", tables=[table], ledger="wide_ledger", aito=aito)
    os.environ.update(stack.environ(path))
    taken = []
    for _ in range(3):
        begun, own = time.perf_counter(), time.process_time()
        report = run(Services.from_environment(), Request(), lambda _: None)
        taken.append((time.perf_counter() - begun, time.process_time() - own))
        assert report.status == "ok", report.tables[0].error
    return taken


def main() -> int:
    """Measure and print. Returns 1 beyond the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000)
    count = parser.parse_args().rows
    many, few = columns(MANY), columns(FEW)
    wide = list(rows(many, count, 0))
    bytes_of_wide = len(str(wide[0]))
    narrow = list(rows(few, count, bytes_of_wide - len(str(next(rows(few, 1, 0))))))
    patient: Any = session
    patient.RETRY, patient.CALL_SECONDS = RETRY.with_timeout(PATIENCE), (3.0, PATIENCE)
    with Stack() as stack:
        of_few = nights(stack, "narrow", few, narrow)
        of_many = nights(stack, "wide", many, wide)
    ratios = []
    for night, one, other in zip(("first", "second", "quiet"), of_few, of_many, strict=True):
        for what, before, after in zip(("clock", "process"), one, other, strict=True):
            ratios.append(after / before)
            print(f"{night} night, {what}: {before:.2f} s and {after:.2f} s, {ratios[-1]:.2f}")
    return 0 if max(ratios) <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
