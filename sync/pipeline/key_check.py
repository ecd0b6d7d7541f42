"""Recognises keys that are not the same in two readings of the same rows.

Such a key, for example GENERATE_UUID() in a view, would load every row again each night. The newest
hours of a first run are counted a second time: as many rows with another fingerprint of their keys
show it. A source that changed meanwhile has another number of rows, and shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sync.base.errors import SchemaMismatch
from sync.model.ports import SourceTable
from sync.model.window import HOUR, Bucket, Window
from sync.pipeline.table_run import TableRun

SAMPLE_ROWS = 100  # at least so many rows are counted twice, where there are as many


def key_sample(source: SourceTable, window: Window, buckets: Sequence[Bucket]) -> Window | None:
    """The newest part of the window, which is to be read twice; None where keys cannot change."""
    if not source.keys_may_change or not buckets:
        return None
    rows = 0
    start = window.end
    for bucket in sorted(buckets, key=lambda each: each.start, reverse=True):
        start = bucket.start
        rows += bucket.rows
        if rows >= SAMPLE_ROWS:
            break
    return Window(max(start, window.start), window.end)


def check_keys(
    run: TableRun, source: SourceTable, sample: Window, buckets: Sequence[Bucket], rows: int
) -> None:
    """Count a sample again. Raises SchemaMismatch when it has the same rows with other keys.

    buckets: of the first count, whose fingerprints cover all rows.
    """
    again = run.source.histogram(source, sample, sample.end, rows)
    first = _by_hour(buckets, sample)
    for hour, (rows, fingerprint) in _by_hour(again.buckets, sample).items():
        first_rows, first_fingerprint = first.get(hour, (0, 0))
        if rows == first_rows and fingerprint != first_fingerprint:
            raise SchemaMismatch(_unstable(run))


def _by_hour(buckets: Sequence[Bucket], sample: Window) -> Mapping[int, tuple[int, int]]:
    """Rows and fingerprint of each hour: finer buckets may differ between two counts."""
    found: dict[int, tuple[int, int]] = {}
    for bucket in buckets:
        if bucket.start < sample.start:
            continue
        hour = bucket.start - bucket.start % HOUR
        rows, fingerprint = found.get(hour, (0, 0))
        found[hour] = (rows + bucket.rows, fingerprint ^ bucket.fingerprint)
    return found


def _unstable(run: TableRun) -> str:
    name = " and ".join(run.table.key_parts)
    return (
        f"{run.name}: the key {name} is not stable: two readings of the same rows gave other keys,"
        " so each run would load every row again. Is it made by GENERATE_UUID() or ROW_NUMBER()?"
        " Take columns that stay with the row, such as key: [order_id, line]"
    )
