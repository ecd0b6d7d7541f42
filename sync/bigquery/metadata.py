"""What BigQuery's metadata say of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.cloud import bigquery

from sync.bigquery.columns import is_same_name
from sync.bigquery.table import BigQueryTable, Partitioning
from sync.bigquery.types import Field
from sync.config import TableSettings

# BigQuery's API reports some types under a second name.
API_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
VIEWS = ("VIEW", "MATERIALIZED_VIEW", "EXTERNAL")


def layout(table: TableSettings, metadata: bigquery.Table | None, prune: bool) -> BigQueryTable:
    """What the metadata says, without the columns."""
    if metadata is None:
        return BigQueryTable(table, path=None, prune=prune, skips_blocks=not table.is_sharded)
    path = f"{metadata.project}.{metadata.dataset_id}.{metadata.table_id}"
    rows = None if table.where else metadata.num_rows  # None for a view
    return BigQueryTable(
        table,
        path,
        partitioning=partitioning(metadata),
        prune=prune,
        is_view=metadata.table_type in VIEWS,
        rows=rows or None,
        skips_blocks=_skips_blocks(table, metadata),
    )


def _skips_blocks(table: TableSettings, metadata: bigquery.Table) -> bool:
    """Whether BigQuery may skip blocks by the cursor. Of a view nobody knows."""
    if metadata.table_type in VIEWS:
        return True
    clustered = [name.lower() for name in metadata.clustering_fields or ()]
    return table.cursor is not None and table.cursor.source.lower() in clustered


def required_columns(metadata: bigquery.Table | None) -> set[str]:
    """Names of the REQUIRED columns, in small letters."""
    if metadata is None:
        return set()
    fields = [each.to_api_repr() for each in metadata.schema]
    return {each["name"].lower() for each in fields if each.get("mode") == "REQUIRED"}


def row_bytes(metadata: bigquery.Table | None) -> float | None:
    """Mean stored bytes of a row, where BigQuery knows them: not of a view."""
    if metadata is None or not metadata.num_rows or not metadata.num_bytes:
        return None
    return float(metadata.num_bytes / metadata.num_rows)


def partitioning(metadata: bigquery.Table) -> Partitioning | None:
    """How a table is partitioned. BigQuery compares names of columns without case."""
    time, span = metadata.time_partitioning, metadata.range_partitioning
    if time:
        column = _column_of(metadata, time.field) if time.field else None
        return Partitioning(column, time.type_ or "DAY", _requires_filter(metadata))
    if span:
        column = _column_of(metadata, span.field)
        return Partitioning(column, "RANGE", _requires_filter(metadata))
    return _hive_partitioning(metadata)


def _hive_partitioning(metadata: bigquery.Table) -> Partitioning | None:
    """The partitions of files in folders such as dt=2026-03-01, where BigQuery requires a filter.

    A filter on one of the columns that the folders make will do.
    """
    external = metadata.external_data_configuration
    hive = external.hive_partitioning if external else None
    if hive is None or not hive.require_partition_filter:
        return None
    names = {name.lower() for name in hive.to_api_repr().get("fields", ())}
    made = [each for each in metadata.schema if each.name.lower() in names]
    return Partitioning(field_of(made[0]), "DAY", required=True) if made else None


def _column_of(metadata: bigquery.Table, name: str) -> Field:
    """The column of this name, whatever its case."""
    return next(field_of(each) for each in metadata.schema if is_same_name(each.name, name))


def _requires_filter(metadata: bigquery.Table) -> bool:
    """Older tables say it in their time partitioning."""
    time = metadata.time_partitioning
    of_time = time.to_api_repr().get("requirePartitionFilter") if time else False
    return bool(metadata.require_partition_filter or of_time)


def field_of(field: bigquery.SchemaField) -> Field:
    """A column as the client reports it."""
    return _of_api(field.to_api_repr())


def _of_api(field: Mapping[str, Any]) -> Field:
    """A field in the API's form, which is read faster than by the client's properties."""
    kind = field["type"].upper()
    mode = field.get("mode", "NULLABLE").upper()
    return Field(
        name=field["name"],
        type=API_NAMES.get(kind, kind),
        repeated=mode == "REPEATED",
        required=mode == "REQUIRED",
        fields=tuple(_of_api(inner) for inner in field.get("fields", ())),
    )
