"""What reading costs."""

from __future__ import annotations

USD_PER_TIB = 6.25  # BigQuery on demand, https://cloud.google.com/bigquery/pricing
MIN_BILLED = 10 * 2**20  # bytes, for each table of a statement


def usd(size: int) -> float:
    """The price of reading so many bytes."""
    return size / 2**40 * USD_PER_TIB
