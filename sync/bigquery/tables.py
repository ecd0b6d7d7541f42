"""Makes the sync's own tables and appends rows to them.

Rows are appended by streaming inserts: they are visible at once and cost next to nothing. A table
that was made a moment ago may not accept them yet; a load job works there, too.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from google.api_core import exceptions as google_errors
from google.cloud import bigquery

from sync.base.errors import AccessDenied, Unavailable, UnknownColumn
from sync.bigquery.client import CALL_SECONDS, REQUEST_SECONDS, RETRY
from sync.bigquery.errors import QUOTA_REASONS, reason_of, translated

INSERT_ROWS = 500  # Google's advice for one streaming insert
INSERT_BYTES = 8_000_000  # Google's limit is 10 MB
NO_SUCH_FIELD = "no such field"  # how the message of a row with an unknown column begins

Row = Mapping[str, Any]


def insert(
    client: bigquery.Client, path: str, rows: Sequence[Row], ids: Sequence[str], what: str
) -> None:
    """Stream rows into a table. A repeated id is stored once.

    Raises NotFound when the table is missing, UnknownColumn when it lacks a column of the rows.
    """
    sizes = [len(json.dumps(row)) for row in rows]
    for part in _parts(sizes):
        with translated(what):
            failed_rows = client.insert_rows_json(
                path, rows[part], row_ids=list(ids[part]), retry=RETRY, timeout=CALL_SECONDS
            )
        if failed_rows:
            raise _refused(failed_rows, len(rows[part]), what)


def _parts(sizes: Sequence[int]) -> Iterator[slice]:
    """Ranges of rows that one insert accepts. A range holds at least one row, whatever its size."""
    first = total = 0
    for place, size in enumerate(sizes):
        is_full = place - first == INSERT_ROWS or total + size > INSERT_BYTES
        if place > first and is_full:
            yield slice(first, place)
            first, total = place, 0
        total += size
    if sizes:
        yield slice(first, len(sizes))


def _refused(
    failed_rows: Sequence[Mapping[str, Any]], rows: int, what: str
) -> UnknownColumn | Unavailable:
    errors = [error for row in failed_rows for error in row.get("errors", ())]
    unknown = {
        str(error.get("location", ""))
        for error in errors
        if str(error.get("message", "")).lower().startswith(NO_SUCH_FIELD)
    }
    if unknown:
        return UnknownColumn(f"{what}: the table lacks the columns {', '.join(sorted(unknown))}")
    return Unavailable(f"{what}: BigQuery refused {len(failed_rows)} of {rows} rows")


def load(
    client: bigquery.Client, path: str, rows: Sequence[Row], location: str | None, what: str
) -> None:
    """Append rows by a load job. Raises NotFound when the table is missing."""
    config = bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
        write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
        create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
    )
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    with translated(what):
        job = client.load_table_from_file(
            io.BytesIO(lines.encode()),
            path,
            job_config=config,
            location=location,
            timeout=REQUEST_SECONDS,
        )
        job.result(retry=RETRY, timeout=REQUEST_SECONDS)


def ensure_dataset(
    client: bigquery.Client, dataset: str, location: Callable[[], str], what: str
) -> None:
    """Make the dataset if it is missing. Raises AccessDenied that says what to create.

    location: where to make it; is called when it is needed.

    It is looked for first: BigQuery refuses to make a dataset that exists to those who may only
    write into it.
    """
    with translated(what), _creating(what, f"the dataset {dataset}"):
        try:
            client.get_dataset(dataset, retry=RETRY, timeout=CALL_SECONDS)
        except google_errors.NotFound:
            new = bigquery.Dataset(dataset)
            new.location = location()
            client.create_dataset(new, exists_ok=True, retry=RETRY, timeout=CALL_SECONDS)


def ensure_table(
    client: bigquery.Client,
    path: str,
    columns: Sequence[Mapping[str, Any]],
    partitioned_by: str | None,
    what: str,
) -> None:
    """Make the table if it is missing, else add the columns that it lacks.

    Raises NotFound when the dataset is missing, AccessDenied that says what to create.
    """
    with translated(what), _creating(what, f"the table {path} or a column of it"):
        try:
            table = client.get_table(path, retry=RETRY, timeout=CALL_SECONDS)
        except google_errors.NotFound:
            _create_table(client, path, columns, partitioned_by)
        else:
            _add_columns(client, table, columns)


def _create_table(
    client: bigquery.Client,
    path: str,
    columns: Sequence[Mapping[str, Any]],
    partitioned_by: str | None,
) -> None:
    schema = [bigquery.SchemaField.from_api_repr(dict(column)) for column in columns]
    table = bigquery.Table(path, schema=schema)
    if partitioned_by:
        table.time_partitioning = bigquery.TimePartitioning(field=partitioned_by)
    client.create_table(table, exists_ok=True, retry=RETRY, timeout=CALL_SECONDS)


def _add_columns(
    client: bigquery.Client, table: bigquery.Table, columns: Sequence[Mapping[str, Any]]
) -> None:
    """Add what is missing, as nullable columns: BigQuery adds no other column to a table."""
    existing = {field.name.lower() for field in table.schema}
    missing = [
        bigquery.SchemaField.from_api_repr({**column, "mode": "NULLABLE"})
        for column in columns
        if column["name"].lower() not in existing
    ]
    if missing:
        table.schema = [*table.schema, *missing]
        client.update_table(table, ["schema"], retry=RETRY, timeout=CALL_SECONDS)


@contextmanager
def _creating(what: str, thing: str) -> Iterator[None]:
    """Say what to do when this account may not create `thing`."""
    try:
        yield
    except google_errors.Forbidden as error:
        if reason_of(error) in QUOTA_REASONS:
            raise
        remedy = "run `terraform apply`, or grant roles/bigquery.dataEditor on the dataset"
        raise AccessDenied(
            f"{what}: {thing} is missing, and this account may not create it; {remedy}"
        ) from error
