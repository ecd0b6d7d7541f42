"""The sync's own records in BigQuery: runs, rejects, evaluations, leases. Column definitions:
ledger/*.json.

Rows are appended by streaming inserts: visible at once, next to free, deduplicated by an id when
repeated. A table that was made a moment ago may not take them yet, so a load job steps in. Leases
are changed by DML alone.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from google.api_core import exceptions as google_errors
from google.cloud import bigquery
from google.cloud.bigquery.table import RowIterator

from sync.base.errors import AccessDenied, Unavailable
from sync.bigquery.client import (
    CALL_SECONDS,
    REQUEST_SECONDS,
    RETRY,
    Missing,
    Warehouse,
    translated,
)
from sync.bigquery.queries import Parameter, Query
from sync.config import Settings

Kind = Literal["runs", "rejects", "evaluations", "leases"]
DEFINITIONS = Path(__file__).parent
PARTITIONED_BY: Mapping[Kind, str | None] = {
    "runs": "started_at",
    "rejects": "rejected_at",
    "evaluations": "started_at",
    "leases": None,
}
INSERT_ROWS = 500  # Google's advice for one streaming insert
INSERT_BYTES = 8_000_000  # Google's limit is 10 MB


def at(seconds: float) -> str:
    """Epoch seconds as the text of a TIMESTAMP."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _parts(sizes: Sequence[int]) -> Iterator[slice]:
    """Ranges of rows of such sizes that one insert takes; a row is never parted, whatever its
    size.
    """
    first = held = 0
    for place, size in enumerate(sizes):
        if place - first == INSERT_ROWS or (place > first and held + size > INSERT_BYTES):
            yield slice(first, place)
            first, held = place, 0
        held += size
    if sizes:
        yield slice(first, len(sizes))


class Ledger:
    """The dataset of the sync's own tables; it is made when missing and allowed."""

    def __init__(self, warehouse: Warehouse, settings: Settings) -> None:
        self._warehouse = warehouse
        self._client = warehouse.client
        self._location = settings.bigquery.location
        name = settings.ledger
        self.dataset = name if "." in name else f"{self._client.project}.{name}"

    def path(self, kind: Kind) -> str:
        """project.dataset.table of one of the ledger's tables."""
        return f"{self.dataset}.{kind}"

    # -- appending

    def append(self, kind: Kind, rows: Sequence[Mapping[str, Any]], ids: Sequence[str]) -> None:
        """Append rows, each with an id under which a repetition is recognised."""
        for part in _parts([len(json.dumps(row)) for row in rows]):
            self._append(kind, rows[part], ids[part])

    def _append(self, kind: Kind, rows: Sequence[Mapping[str, Any]], ids: Sequence[str]) -> None:
        with translated(f"ledger {self.path(kind)}"):
            try:
                errors = self._client.insert_rows_json(
                    self.path(kind), rows, row_ids=list(ids), retry=RETRY, timeout=CALL_SECONDS
                )
            except google_errors.NotFound:
                self.create()
                self._load(kind, rows)
                return
        if errors:
            raise Unavailable(
                f"ledger {self.path(kind)}: BigQuery refused {len(errors)} of {len(rows)} rows"
            )

    def _load(self, kind: Kind, rows: Sequence[Mapping[str, Any]]) -> None:
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
        )
        lines = io.BytesIO("".join(json.dumps(row) + "\n" for row in rows).encode())
        job = self._client.load_table_from_file(
            lines,
            self.path(kind),
            job_config=config,
            location=self._location,
            timeout=REQUEST_SECONDS,
        )
        job.result(retry=RETRY, timeout=REQUEST_SECONDS)

    # -- reading

    def rows(self, text: str, parameters: Sequence[Parameter] = ()) -> list[dict[str, Any]]:
        """The rows of a query over the ledger; {runs}, {rejects}, {evaluations}, {leases} stand for
        its tables.

        An empty list when the ledger does not exist yet.
        """
        try:
            return [dict(row) for row in self._query(text, parameters)]
        except Missing:
            return []

    def _query(self, text: str, parameters: Sequence[Parameter]) -> RowIterator:
        return self._warehouse.query(self._named(text, parameters), f"ledger {self.dataset}")

    def _change(self, text: str, parameters: Sequence[Parameter]) -> int:
        return self._warehouse.change(self._named(text, parameters), f"ledger {self.dataset}")

    def _named(self, text: str, parameters: Sequence[Parameter]) -> Query:
        names = {kind: f"`{self.path(kind)}`" for kind in PARTITIONED_BY}
        return Query(text.format(**names), tuple(parameters))

    # -- leases

    def lease(self, tables: Sequence[str], run_id: str, seconds: int) -> tuple[int, int]:
        """Take leases. Returns how many were free, and how many others had run out without having
        been given back.

        A row stays when its lease is given back, so that taking it is an UPDATE, which BigQuery
        serialises.
        """
        parameters = (
            Parameter("tables", "ARRAY<STRING>", list(tables)),
            Parameter("run_id", "STRING", run_id),
            Parameter("seconds", "INT64", seconds),
        )
        try:
            free = self._change(TAKE_FREE, parameters)
        except Missing:
            self.create()
            free = 0
        if free == len(tables):
            return free, 0
        expired = self._change(TAKE_EXPIRED, parameters)
        return free + (0 if free + expired == len(tables) else self._first(parameters)), expired

    def _first(self, parameters: Sequence[Parameter]) -> int:
        """Take leases of tables that no run has had before; how many. Two runs may insert at the
        same time.

        Each looks after its own row is there, so the later one sees both rows, and takes its own
        back.
        """
        made = self._change(TAKE_FIRST, parameters)
        return made - (self._change(TAKE_BACK, parameters[:2]) if made else 0)

    def renew(self, run_id: str, seconds: int) -> int:
        """Prolong this run's leases; how many it still holds."""
        parameters = (Parameter("run_id", "STRING", run_id), Parameter("seconds", "INT64", seconds))
        return self._change(RENEW, parameters)

    def release(self, run_id: str, unfinished: Sequence[str]) -> None:
        """Give this run's leases back; those of `unfinished` tables as run out, for the next run
        to see.
        """
        parameters = (
            Parameter("run_id", "STRING", run_id),
            Parameter("unfinished", "ARRAY<STRING>", list(unfinished)),
        )
        self._change(RELEASE, parameters)

    def holders(self, tables: Sequence[str]) -> dict[str, tuple[str, float]]:
        """(run, seconds until it expires) by table, of the leases that are held."""
        found = self.rows(HOLDERS, (Parameter("tables", "ARRAY<STRING>", list(tables)),))
        return {row["table"]: (row["run_id"], float(row["seconds_left"])) for row in found}

    # -- making

    def create(self) -> None:
        """Make the dataset and the tables that are missing.

        Raises AccessDenied that says what to create.
        """
        try:
            self._make_dataset()
            for kind, column in PARTITIONED_BY.items():
                self._client.create_table(
                    self._table(kind, column), exists_ok=True, retry=RETRY, timeout=CALL_SECONDS
                )
        except google_errors.Forbidden as error:
            wanted = ", ".join(PARTITIONED_BY)
            raise AccessDenied(
                f"ledger {self.dataset}: the dataset or one of its tables ({wanted}) is missing and"
                " may not be made here; create them with `terraform apply`, or grant"
                " roles/bigquery.dataEditor on the dataset"
            ) from error

    def _make_dataset(self) -> None:
        """Only when it is missing: to make one that is there is refused to those who may only
        write in it.
        """
        try:
            self._client.get_dataset(self.dataset, retry=RETRY, timeout=CALL_SECONDS)
        except google_errors.NotFound:
            dataset = bigquery.Dataset(self.dataset)
            if self._location:
                dataset.location = self._location
            self._client.create_dataset(dataset, exists_ok=True, retry=RETRY, timeout=CALL_SECONDS)

    def _table(self, kind: str, partitioned_by: str | None) -> bigquery.Table:
        table = bigquery.Table(f"{self.dataset}.{kind}", schema=schema(kind))
        if partitioned_by:
            table.time_partitioning = bigquery.TimePartitioning(field=partitioned_by)
        return table


def schema(kind: str) -> list[bigquery.SchemaField]:
    """The columns of one of the ledger's tables."""
    columns: Iterable[dict[str, Any]] = json.loads((DEFINITIONS / f"{kind}.json").read_text())
    return [bigquery.SchemaField.from_api_repr(column) for column in columns]


def row_ids(run_id: str, count: int) -> list[str]:
    """Ids for rows written now by a run."""
    return [f"{run_id}-{time.monotonic_ns()}-{i}" for i in range(count)]


_EXPIRES = "TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL @seconds SECOND)"
_GIVEN_BACK = (  # expires_at of a lease that its holder gave back with everything done
    "TIMESTAMP_SECONDS(0)"
)
# Not where another row of the table is held: a run that died in the race for the very first lease
# left a second one.
_TAKE = f"""
UPDATE {{leases}} SET run_id = @run_id, expires_at = {_EXPIRES} WHERE `table` IN UNNEST(@tables)
  AND `table` NOT IN (SELECT `table` FROM {{leases}} WHERE expires_at >= CURRENT_TIMESTAMP())"""
TAKE_FREE = f"{_TAKE} AND expires_at = {_GIVEN_BACK}"
TAKE_EXPIRED = f"{_TAKE} AND expires_at > {_GIVEN_BACK} AND expires_at < CURRENT_TIMESTAMP()"
TAKE_FIRST = f"""
INSERT INTO {{leases}} (`table`, run_id, expires_at)
SELECT name, @run_id, {_EXPIRES} FROM UNNEST(@tables) AS name WHERE name NOT IN (SELECT `table` FROM {{leases}})"""
TAKE_BACK = """
DELETE FROM {leases} WHERE run_id = @run_id AND `table` IN UNNEST(@tables)
  AND `table` IN (SELECT `table` FROM {leases} WHERE run_id != @run_id)"""
RENEW = (
    f"UPDATE {{leases}} SET expires_at = {_EXPIRES} WHERE run_id = @run_id AND expires_at >"
    f" {_GIVEN_BACK}"
)
RELEASE = f"""
UPDATE {{leases}} SET expires_at = IF(`table` IN UNNEST(@unfinished), TIMESTAMP_SECONDS(1), {_GIVEN_BACK})
WHERE run_id = @run_id"""
HOLDERS = """
SELECT `table`, run_id, TIMESTAMP_DIFF(expires_at, CURRENT_TIMESTAMP(), MILLISECOND) / 1000 AS seconds_left
FROM {leases} WHERE `table` IN UNNEST(@tables) AND expires_at >= CURRENT_TIMESTAMP()"""
