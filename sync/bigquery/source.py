"""BigQuery as a source: what a table looks like, how many rows it has when, and its rows as
finished batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from google.cloud import bigquery

from sync.base.errors import SchemaMismatch
from sync.bigquery import queries as sql
from sync.bigquery.client import Warehouse, translated
from sync.bigquery.queries import Origin, Partitioning
from sync.bigquery.types import CURSOR_TYPES, LEGACY_NAMES, Field, columns
from sync.bigquery.wire import close_holes
from sync.config import TableSettings
from sync.model import window
from sync.model.batches import Batch
from sync.model.window import Bucket, Slice, Window

# result rows a page: a batch may be 5 MB, and four times that while it is text with an emoji in it
PAGE_BATCHES = 1
ESTIMATED = 8  # slices whose price is asked; the others cost as much
HOLES_EVERY = 5  # batches
# up to so many heavy hours are counted by the second, more by the minute: buckets are memory
FINE_HOURS = 24


@dataclass(frozen=True)
class Histogram:
    """A window's buckets; `cursorless`: rows without a cursor and so without a place in time;
    bytes read for it.
    """

    buckets: tuple[Bucket, ...]
    cursorless: int
    bytes: int


class Source:
    """Reads one table after the other; `bytes` grows by what BigQuery processed."""

    def __init__(self, warehouse: Warehouse, project: str) -> None:
        self._warehouse = warehouse
        self._project = project
        self.bytes = 0

    def origin(self, table: TableSettings, *, prune: bool = True) -> tuple[Origin, float | None]:
        """Columns and partitioning of a table's source, and a row's mean size in bytes where
        BigQuery knows it.

        Raises SchemaMismatch, AccessDenied, Missing, ActionRequired, Unavailable.
        """
        path = self._path(table.source) if table.source else None
        partitioning, row_bytes = self._metadata(path, table) if path else (None, None)
        origin = Origin(table, path, None, partitioning, prune)
        fields = [_field(f) for f in self._warehouse.describe(sql.shape(origin), table.name)[0]]
        cursor = _cursor(table, fields)
        made = columns(table, [f for f in fields if f.name != "sync_cursor"])
        return dataclasses.replace(origin, cursor=cursor, columns=made), row_bytes

    def _path(self, source: str) -> str:
        return source if source.count(".") > 1 else f"{self._project}.{source}"

    def _metadata(
        self, path: str, table: TableSettings
    ) -> tuple[Partitioning | None, float | None]:
        meta = self._warehouse.table(path, table.name)
        size = meta.num_bytes / meta.num_rows if meta.num_rows and meta.num_bytes else None
        return _partitioning(meta), size

    def histogram(
        self, origin: Origin, span: Window, watermark: int, rows: int = window.SLICE_ROWS
    ) -> Histogram:
        """What the source holds in the window.

        Hours too heavy for one slice are counted again in finer buckets.
        """
        counted = self._count(sql.histogram(origin, span, watermark), origin.table.name)
        heavy = window.heavy(counted.buckets, rows)
        if not heavy:
            return counted
        unit = 1 if len(heavy) <= FINE_HOURS else 60
        finer = self._count(sql.histogram(origin, span, watermark, heavy, unit), origin.table.name)
        return dataclasses.replace(finer, bytes=counted.bytes + finer.bytes)

    def _count(self, query: sql.Query, table: str) -> Histogram:
        with translated(table, running=True):
            result = self._warehouse.query(query, table)
            found = [tuple(row.values()) for row in result]
        self.bytes += result.total_bytes_processed or 0
        buckets = tuple(
            Bucket(
                start,
                rows,
                winners,
                keyless,
                window.BEGINNING if reach is None else reach,
                fingerprint,
            )
            for start, rows, winners, keyless, reach, fingerprint in found
            if start is not None
        )
        return Histogram(
            buckets, sum(f[1] for f in found if f[0] is None), result.total_bytes_processed or 0
        )

    def batches(self, origin: Origin, part: Slice | None, rows: int, size: int) -> Iterator[Batch]:
        """The rows of a slice (None: of the whole source) as batches, in order; pages are fetched
        as they are used.
        """
        for which in range(part.parts if part else 1):
            yield from self._pages(sql.batches(origin, part, rows, size, which), origin.table.name)

    def _pages(self, query: sql.Query, table: str) -> Iterator[Batch]:
        with translated(table, running=True):
            result = self._warehouse.query(query, table, PAGE_BATCHES)
            self.bytes += result.total_bytes_processed or 0
            for number, row in enumerate(result):
                if number % HOLES_EVERY == 0:
                    close_holes()
                yield Batch(row["documents"].encode(), row["n_rows"], row["newest"], row["flagged"])

    def estimate(self, origin: Origin, span: Window, parts: Sequence[Slice]) -> int:
        """Bytes that BigQuery would read to count the window and to load its slices, by dry runs
        of a few of them.
        """
        sample = parts[:: -(-len(parts) // ESTIMATED)] if parts else ()
        each = [
            self._estimated(sql.batches(origin, part, 1, 1), origin) * part.parts for part in sample
        ]
        load = sum(each) * len(parts) // len(sample) if sample else 0
        return self._estimated(sql.histogram(origin, span, window.BEGINNING), origin) + load

    def _estimated(self, query: sql.Query, origin: Origin) -> int:
        return self._warehouse.describe(query, origin.table.name)[1]


def _field(field: bigquery.SchemaField) -> Field:
    kind = LEGACY_NAMES.get(field.field_type, field.field_type)
    return Field(
        field.name,
        kind,
        field.mode == "REPEATED",
        field.mode == "REQUIRED",
        tuple(map(_field, field.fields)),
    )


def _cursor(table: TableSettings, fields: Iterable[Field]) -> Field | None:
    if table.cursor is None:
        return None
    found = next(f for f in fields if f.name == "sync_cursor")
    if found.type not in CURSOR_TYPES or found.repeated:
        right = "TIMESTAMP, DATETIME, DATE or INT64 of epoch seconds"
        raise SchemaMismatch(
            f"{table.name}: cursor.source {table.cursor.source} is {found.type}; it must be {right}"
        )
    return found


def _partitioning(meta: bigquery.Table) -> Partitioning | None:
    """How a table is partitioned.

    BigQuery takes names of columns in any case, here and in the table's definition.
    """
    fields = {f.name.lower(): _field(f) for f in meta.schema}
    time, span = meta.time_partitioning, meta.range_partitioning
    of_old = time and time.to_api_repr().get(
        "requirePartitionFilter"
    )  # where it stood before it was the table's own
    required = bool(meta.require_partition_filter or of_old)
    if time:
        column = fields[time.field.lower()] if time.field else None
        return Partitioning(column, time.type_ or "DAY", required)
    return Partitioning(fields[span.field.lower()], "RANGE", required) if span else None
