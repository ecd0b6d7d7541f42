"""What a query may cost: `max_bytes_billed`, judged by what the query really reads.

The emulator reads no bytes and refuses nothing. Here its answers at the wire are BigQuery's.
"""

from __future__ import annotations

import pytest
from google.cloud import bigquery as bigquery_client

from local import bigquery
from tests.statements import Metered
from tests.workbench import HOUR, NOW, OWN_SCHEMA, Workbench, limit_slices, row

WIDTHS = {"id": 36, "at": 8, "value": 400}
MANY = 10**8  # rows: key and cursor have 4.4 GB, all columns 44.4 GB; 10.7 GB are allowed
SUBJECT = "bigquery.max_bytes_billed"


def fill(bench: Workbench, clustered_by: str | None) -> None:
    """Fill the own source, a table that is clustered or not."""
    path = f"{bench.client.project}.{bench.source}"
    made = bigquery_client.Table(path, OWN_SCHEMA)
    if clustered_by:
        made.clustering_fields = [clustered_by]
    bench.client.create_dataset(bench.dataset, exists_ok=True)
    bench.client.create_table(made)
    bench.source_rows = [row(f"k{n:02}", NOW - HOUR * (n + 1)) for n in range(20)]
    bigquery.load(bench.client, bench.source, OWN_SCHEMA, bench.source_rows)


@pytest.mark.parametrize(("slice_rows", "rows"), [(100, MANY), (7, 10 * MANY)])
def test_a_clustered_table_is_judged_by_what_is_read(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, slice_rows: int, rows: int
) -> None:
    """Its dry run tells too much, and BigQuery refuses by that. A hundredth is really read.

    In one slice, and staged where even the count is refused.
    """
    limit_slices(monkeypatch, slice_rows)
    fill(bench, "At")
    metered = Metered(monkeypatch, bench.source, WIDTHS, rows, share=0.01)
    assert bench.run(dry_run=True).status == "ok"
    report = bench.run_ok()
    assert report.uploaded == 20
    counts_too = any("BIT_XOR" in text for text in metered.refused)
    assert metered.refused
    assert counts_too == (rows > MANY)
    assert report.bytes_processed < 10 * 2**30


@pytest.mark.parametrize(
    ("clustered_by", "share", "size", "usd"),
    [
        ("at", 0.5, "22.2 GB", "0.13"),
        ("value", 0.5, "44.4 GB", "0.25"),
        (None, 1.0, "44.4", "0.25"),
    ],
)
def test_a_refusal(
    bench: Workbench,
    monkeypatch: pytest.MonkeyPatch,
    clustered_by: str | None,
    share: float,
    size: str,
    usd: str,
) -> None:
    """It names table, bytes, price and setting. `check` says it before, and nothing is loaded."""
    limit_slices(monkeypatch, 7)
    fill(bench, clustered_by)
    Metered(monkeypatch, bench.source, WIDTHS, MANY, share)
    for dry_run in (True, False):
        (table,) = bench.run(dry_run=dry_run).tables
        assert (table.status, table.code) == ("failed", "TooManyBytes")
        message = str(table.error)
        for part in (bench.name, size, f"{usd} USD", SUBJECT, "10.7 GB" if dry_run else ""):
            assert part in message
    assert bench.aito_rows() == []


def test_a_table_too_large_to_be_judged(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor alone is too large. Then the dry run of the query counts, not the cursor's."""
    fill(bench, "at")
    Metered(monkeypatch, bench.source, WIDTHS, 20 * MANY, share=0.01)
    (table,) = bench.run().tables
    assert table.code == "TooManyBytes"
    assert "88.0 GB" in str(table.error)
