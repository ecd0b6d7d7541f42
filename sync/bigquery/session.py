"""Queries and tables of BigQuery, for the source and for the ledger."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from google.cloud import bigquery
from google.cloud.bigquery.table import RowIterator

from sync.base.errors import (
    AccessDenied,
    ActionRequired,
    NotFound,
    SyncError,
    Unavailable,
    UnknownColumn,
)
from sync.bigquery import tables
from sync.bigquery.client import CALL_SECONDS, JOB_SECONDS, RETRY
from sync.bigquery.errors import (
    dataset_that_may_be_missing,
    is_about_text,
    is_concurrent_change,
    is_unknown_name,
    may_quote_a_row,
    translated,
)
from sync.config import BigQuerySettings
from sync.model.sql import Parameter, Query

# A statement that waits behind others of its table passes within seconds.
CHANGE_ATTEMPTS = 4
CHANGE_PAUSE_SECONDS = 0.5  # doubles with each attempt
# Of a page. Where a number is named, the client waits for the result and gets its first page by
# one request. BigQuery ends a page at 10 MB, whatever the number.
PAGE_ROWS = 50_000


@dataclass(frozen=True)
class DryRun:
    """What BigQuery says of a query without running it."""

    fields: tuple[bigquery.SchemaField, ...]  # of the result
    bytes_processed: int  # estimated
    location: str | None = None  # where it would run


class BigQuerySession:
    """Queries of one run, with its labels and its limit of bytes. Implements SqlSession."""

    def __init__(
        self,
        client: bigquery.Client,
        settings: BigQuerySettings,
        run_id: str,
        action: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._settings = settings
        self._labels = {"sync_run": label(run_id), "sync_action": label(action)}

    @property
    def project(self) -> str:
        """The project of names that name none."""
        return str(self._client.project)

    # -- queries

    @property
    def max_bytes(self) -> int:
        """How many bytes a query may read."""
        return self._settings.max_bytes_billed

    def pages(
        self,
        query: Query,
        what: str,
        page_size: int = PAGE_ROWS,
        max_bytes: int | None = None,
    ) -> RowIterator:
        """Run a query and wait for its end. Pages of `page_size` rows are fetched when needed.

        max_bytes: another limit than that of the settings. Whoever iterates does so inside
        `running`. Raises TooManyBytes when a dry run of the query tells more bytes.
        """
        with self.running(query, what):
            job = self._start(query, what, max_bytes=max_bytes)
            return job.result(page_size=page_size, retry=RETRY, timeout=JOB_SECONDS, job_retry=None)

    def read(self, query: Query, what: str) -> list[dict[str, Any]]:
        """All rows of a query, by column name.

        Raises UnknownColumn when the query names a column that is missing.
        """
        try:
            result = self.pages(query, what)
            with self.running(query, what):
                return [dict(row) for row in result]
        except ActionRequired as error:
            if is_unknown_name(error.__cause__):
                raise UnknownColumn(str(error)) from error
            raise

    def change(self, query: Query, what: str) -> int:
        """Run a DML statement. Returns the number of rows that it changed.

        It is repeated when it changed nothing because other statements change the same table.
        """
        for attempt in range(1, CHANGE_ATTEMPTS):
            try:
                return self._change(query, what)
            except Unavailable as error:
                if not is_concurrent_change(error.__cause__):
                    raise
            pause = CHANGE_PAUSE_SECONDS * 2**attempt
            self._sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
        return self._change(query, what)

    def _change(self, query: Query, what: str) -> int:
        with self.running(query, what):
            job = self._start(query, what)
            job.result(retry=RETRY, timeout=JOB_SECONDS, job_retry=None)
            return int(job.num_dml_affected_rows or 0)

    def create_table(
        self, query: Query, what: str, seconds: float, max_bytes: int | None = None
    ) -> int:
        """Run a CREATE TABLE ... AS SELECT, which may take so long. Returns the bytes processed.

        max_bytes: as of `pages`.
        """
        with self.running(query, what):
            job = self._start(query, what, seconds, max_bytes)
            job.result(retry=RETRY, timeout=seconds, job_retry=None)
            return int(job.total_bytes_processed or 0)

    def dry_run(self, query: Query, what: str) -> DryRun:
        """Check a SELECT without running it. Free: nothing is read."""
        with self._looking_for_dataset(), translated(what):
            job = self._start_dry(query, what)
        if job.statement_type not in (None, "SELECT"):
            raise ActionRequired(f"{what}: `query` must be one SELECT, not {job.statement_type}")
        size = int(job.total_bytes_processed or 0)
        return DryRun(tuple(job.schema or ()), size, job.location)

    def bytes_read(self, query: Query, what: str) -> int:
        """Bytes that a SELECT would read, by a dry run."""
        return self.dry_run(query, what).bytes_processed

    @contextmanager
    def running(self, query: Query, what: str) -> Iterator[None]:
        """Raise the errors of a running query as ours.

        Where its message may quote a row, BigQuery checks the same text again: if that is at
        fault, the message of the check says why, and holds no row's value.
        """
        try:
            with self._looking_for_dataset(), translated(what, running=True):
                yield
        except ActionRequired as error:
            if may_quote_a_row(error.__cause__):
                self._check(query, what)
            raise

    def _check(self, query: Query, what: str) -> None:
        """Raises ActionRequired when the query's text is at fault."""
        try:
            with translated(what):
                self._start_dry(query, what)
        except ActionRequired as error:
            if is_about_text(error.__cause__):
                raise
        except Unavailable:
            return

    @contextmanager
    def _looking_for_dataset(self) -> Iterator[None]:
        """Raises NotFound when access is denied only because a dataset does not exist."""
        try:
            yield
        except AccessDenied as error:
            dataset = dataset_that_may_be_missing(error.__cause__)
            if dataset and self._is_missing(dataset):
                raise NotFound(f"{error}; the dataset {dataset} does not exist") from error
            raise

    def _is_missing(self, dataset: str) -> bool:
        try:
            with translated(dataset):
                self._client.get_dataset(dataset, retry=RETRY, timeout=CALL_SECONDS)
        except NotFound:
            return True
        except SyncError:
            return False
        return False

    def _start_dry(self, query: Query, what: str) -> bigquery.QueryJob:
        return self._client.query(
            query.text,
            job_config=self._config(query, what, dry_run=True, use_query_cache=False),
            location=self._settings.location,
            timeout=CALL_SECONDS,
            retry=RETRY,
            job_retry=None,
        )

    def _start(
        self,
        query: Query,
        what: str,
        seconds: float = JOB_SECONDS,
        max_bytes: int | None = None,
    ) -> bigquery.QueryJob:
        """Start a job by jobs.insert: its failure is an error of the job, never an empty answer.

        seconds: how long it may take. max_bytes: another limit than that of the settings.
        """
        config = self._config(
            query,
            what,
            maximum_bytes_billed=max_bytes or self.max_bytes,
            # Without it a query that is given up goes on, and is billed.
            job_timeout_ms=int(seconds * 1000),
        )
        return self._client.query(
            query.text,
            job_config=config,
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
        with self._looking_for_dataset(), translated(what):
            return self._client.get_table(path, retry=RETRY, timeout=CALL_SECONDS)

    def check_queries(self) -> None:
        """Raises AccessDenied or Unavailable when no query can be run. Nothing is read."""
        self.dry_run(Query("SELECT 1"), "BigQuery")

    def location_of(self, dataset: str, what: str) -> str | None:
        """Where `project.dataset` is, such as EU. None: it does not exist."""
        try:
            with translated(what):
                found = self._client.get_dataset(dataset, retry=RETRY, timeout=CALL_SECONDS)
        except NotFound:
            return None
        return str(found.location)

    def list_tables(self, dataset: str, what: str) -> list[Any]:
        """The tables and views of `project.dataset`, as the API lists them.

        Raises NotFound when the dataset is missing.
        """
        with translated(what):
            self._client.get_dataset(dataset, retry=RETRY, timeout=CALL_SECONDS)
            listed = self._client.list_tables(dataset, retry=RETRY, timeout=CALL_SECONDS)
            return list(listed)

    def dataset_location(self, dataset: str, what: str) -> str | None:
        """Where `project.dataset` is, or would be made. None where it cannot be known."""
        try:
            with translated(what):
                found = self._client.get_dataset(dataset, retry=RETRY, timeout=CALL_SECONDS)
        except NotFound:
            return self._settings.location
        return str(found.location) if found.location else None

    def drop_table(self, path: str, what: str) -> None:
        """Drop a table. A missing one is no error."""
        with translated(what):
            self._client.delete_table(path, not_found_ok=True, retry=RETRY, timeout=CALL_SECONDS)

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

    def ensure_dataset(self, dataset: str, what: str, sources: Sequence[str] = ()) -> None:
        """Make the dataset if it is missing: in the configured location, or beside the sources."""
        tables.ensure_dataset(self._client, dataset, lambda: self._place(sources, what), what)

    def _place(self, sources: Sequence[str], what: str) -> str:
        """The configured location, or that of the first source that is there. Never a default."""
        if self._settings.location:
            return self._settings.location
        for source in sources:
            is_query = bool(re.search(r"\s", source))
            found = self._location_read(source) if is_query else self.location_of(source, what)
            if found:
                return found
        missing = [source for source in sources if not re.search(r"\s", source)]
        reason = (
            f"source dataset {', '.join(missing)} not found" if missing else "no source says it"
        )
        raise NotFound(
            f"{what} does not exist, and it is not known where it belongs: {reason}; correct"
            " `source`, or set `bigquery.location`"
        )

    def _location_read(self, query: str) -> str | None:
        """Where the tables of a query are: BigQuery's dry run says it."""
        with translated("BigQuery"):
            return str(self._start_dry(Query(query), "BigQuery").location or "") or None

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
