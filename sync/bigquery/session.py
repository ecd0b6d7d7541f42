"""Queries and tables of BigQuery, for the source and for the ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.cloud import bigquery
from google.cloud.bigquery.table import RowIterator

from sync.base.errors import ActionRequired
from sync.bigquery import tables
from sync.bigquery.client import CALL_SECONDS, JOB_SECONDS, RETRY
from sync.bigquery.errors import translated
from sync.config import BigQuerySettings
from sync.model.sql import Parameter, Query


@dataclass(frozen=True)
class DryRun:
    """What BigQuery says of a query without running it."""

    fields: tuple[bigquery.SchemaField, ...]  # of the result
    bytes_processed: int  # estimated


class BigQuerySession:
    """Queries of one run, with its labels and its limit of bytes. Implements SqlSession."""

    def __init__(
        self, client: bigquery.Client, settings: BigQuerySettings, run_id: str, action: str
    ) -> None:
        self._client = client
        self._settings = settings
        self._labels = {"sync_run": label(run_id), "sync_action": label(action)}

    @property
    def project(self) -> str:
        """The project of names that name none."""
        return str(self._client.project)

    # -- queries

    def pages(self, query: Query, what: str, page_size: int | None = None) -> RowIterator:
        """Run a query and wait for its end. Pages of `page_size` rows are fetched when needed.

        Whoever iterates does so inside errors.translated.
        """
        with translated(what, running=True):
            job = self._start(query, what)
            return job.result(page_size=page_size, retry=RETRY, timeout=JOB_SECONDS, job_retry=None)

    def read(self, query: Query, what: str) -> list[dict[str, Any]]:
        """All rows of a query, by column name."""
        with translated(what, running=True):
            return [dict(row) for row in self.pages(query, what)]

    def change(self, query: Query, what: str) -> int:
        """Run a DML statement. Returns the number of rows that it changed."""
        with translated(what, running=True):
            job = self._start(query, what)
            job.result(retry=RETRY, timeout=JOB_SECONDS, job_retry=None)
            return int(job.num_dml_affected_rows or 0)

    def dry_run(self, query: Query, what: str) -> DryRun:
        """Check a SELECT without running it. Free: nothing is read."""
        config = self._config(query, what, dry_run=True, use_query_cache=False)
        with translated(what):
            job = self._client.query(
                query.text,
                job_config=config,
                location=self._settings.location,
                timeout=CALL_SECONDS,
                retry=RETRY,
            )
        if job.statement_type not in (None, "SELECT"):
            raise ActionRequired(f"{what}: `query` must be one SELECT, not {job.statement_type}")
        return DryRun(tuple(job.schema or ()), int(job.total_bytes_processed or 0))

    def _start(self, query: Query, what: str) -> bigquery.QueryJob:
        """Start a job by jobs.insert: its failure is an error of the job, never an empty answer."""
        limit = self._settings.max_bytes_billed
        return self._client.query(
            query.text,
            job_config=self._config(query, what, maximum_bytes_billed=limit),
            location=self._settings.location,
            timeout=CALL_SECONDS,
            retry=RETRY,
            job_retry=None,
        )

    def _config(self, query: Query, what: str, **more: Any) -> bigquery.QueryJobConfig:
        # A project's default time zone may be another one, which would move dates.
        utc = bigquery.ConnectionProperty("time_zone", "UTC")
        return bigquery.QueryJobConfig(
            query_parameters=[_parameter(each) for each in query.parameters],
            labels={**self._labels, "sync_table": label(what)},
            use_legacy_sql=False,
            connection_properties=[utc],
            **more,
        )

    # -- tables

    def metadata(self, path: str, what: str) -> bigquery.Table:
        """A table's columns, partitioning and size."""
        with translated(what):
            return self._client.get_table(path, retry=RETRY, timeout=CALL_SECONDS)

    def list_tables(self, dataset: str, what: str) -> list[Any]:
        """The tables and views of `project.dataset`, as the API lists them.

        Raises NotFound when the dataset is missing.
        """
        with translated(what):
            self._client.get_dataset(dataset, retry=RETRY, timeout=CALL_SECONDS)
            listed = self._client.list_tables(dataset, retry=RETRY, timeout=CALL_SECONDS)
            return list(listed)

    def list_datasets(self, project: str, what: str) -> list[str]:
        """The names of a project's datasets."""
        with translated(what):
            listed = self._client.list_datasets(project, retry=RETRY, timeout=CALL_SECONDS)
            return [dataset.dataset_id for dataset in listed]

    def insert(
        self, path: str, rows: Sequence[Mapping[str, Any]], ids: Sequence[str], what: str
    ) -> None:
        """Stream rows into the table at `path`. A repeated id is stored once.

        Raises NotFound when the table is missing, UnknownColumn when it lacks a column of the rows.
        """
        tables.insert(self._client, path, rows, ids, what)

    def load(self, path: str, rows: Sequence[Mapping[str, Any]], what: str) -> None:
        """Append rows by a load job, which also works on a table that was made a moment ago."""
        tables.load(self._client, path, rows, self._settings.location, what)

    def ensure_dataset(self, dataset: str, what: str) -> None:
        """Make the dataset, in the configured location, if it is missing."""
        tables.ensure_dataset(self._client, dataset, self._settings.location, what)

    def ensure_table(
        self,
        path: str,
        columns: Sequence[Mapping[str, Any]],
        partitioned_by: str | None,
        what: str,
    ) -> None:
        """Make the table if it is missing, else add the columns that it lacks."""
        tables.ensure_table(self._client, path, columns, partitioned_by, what)


def label(text: str) -> str:
    """A text as BigQuery accepts it in a label: at most 63 characters of [a-z0-9_-]."""
    return re.sub(r"[^a-z0-9_-]", "_", text.lower())[:63]


def _parameter(
    parameter: Parameter,
) -> bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter:
    name, kind, value = parameter.name, parameter.type, parameter.value
    if kind.startswith("ARRAY<"):
        element = kind.removeprefix("ARRAY<").removesuffix(">")
        return bigquery.ArrayQueryParameter(name, element, list(value))
    return bigquery.ScalarQueryParameter(name, kind, value)
