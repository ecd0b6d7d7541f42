"""google-cloud-bigquery, spoken in our words: one client, short explicit retries, errors for
people.

The client's own defaults repeat a refused connection for ten minutes; a scheduled run has better
things to do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import google.auth.exceptions
import requests.exceptions
from google.api_core import exceptions as google_errors
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery.table import RowIterator

from sync.base.errors import AccessDenied, ActionRequired, SyncError, Unavailable
from sync.base.redact import plain
from sync.bigquery.queries import Parameter, Query
from sync.bigquery.wire import LargePieces, give_memory_back
from sync.config import BigQuerySettings

TRANSIENT = (
    google_errors.ServerError,  # 5xx
    google_errors.TooManyRequests,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.InvalidJSONError,  # what a proxy on the way may answer
    google.auth.exceptions.TransportError,
)
RETRY = Retry(
    predicate=if_exception_type(*TRANSIENT), initial=0.3, maximum=4.0, multiplier=2.0, timeout=15.0
)
REQUEST_SECONDS = 60.0
# To connect and to be answered: who is out of reach is told of within 30 s. The client's types know
# no such pair.
CALL_SECONDS: Any = (3.0, REQUEST_SECONDS)
JOB_SECONDS = (
    300.0  # for a query to wait for a slot and finish; without it the client waits for ever
)
# Reasons whose message speaks of limits and names. Any other failure of a running query may quote a
# row's value.
SPEAKS_OF_NAMES = {
    "bytesBilledLimitExceeded",
    "quotaExceeded",
    "rateLimitExceeded",
    "notFound",
    "accessDenied",
    "responseTooLarge",
}

LATER = {"tableUnavailable", "resourceInUse"}
SQL_WORDS = frozenset(
    [
        "bad",
        "cast",
        "date",
        "datetime",
        "division",
        "failed",
        "float64",
        "function",
        "input",
        "int64",
        "numeric",
        "out",
        "overflow",
        "parse",
        "query",
        "scalar",
        "subquery",
        "timestamp",
        "zero",
    ]
)


class Missing(ActionRequired):
    """A dataset or a table is not there."""


def client(settings: BigQuerySettings) -> bigquery.Client:
    """A client for the real BigQuery, or for the emulator that BIGQUERY_EMULATOR_HOST names."""
    made = _client(settings, os.environ.get("BIGQUERY_EMULATOR_HOST"))
    session = made._http  # where Google's own manuals mount an adapter, too
    if not session.is_mtls:  # else it holds an adapter with the client's certificate
        session.mount("https://", LargePieces())
        session.mount("http://", LargePieces())
    give_memory_back()
    return made


def _client(settings: BigQuerySettings, emulator: str | None) -> bigquery.Client:
    project = settings.project or os.environ.get("GOOGLE_CLOUD_PROJECT")
    if not emulator:
        with translated("BigQuery"):
            return bigquery.Client(project=project, location=settings.location)
    options = ClientOptions(api_endpoint=emulator if "://" in emulator else f"http://{emulator}")
    return bigquery.Client(
        project=project or "local",
        location=settings.location,
        credentials=AnonymousCredentials(),
        client_options=options,
    )


@contextmanager
def translated(what: str, *, running: bool = False) -> Iterator[None]:
    """Turn BigQuery's errors into ours.

    running: the query's text is known to be good, so a failure is about data.
    """
    try:
        yield
    except google.auth.exceptions.DefaultCredentialsError as error:
        raise AccessDenied(
            f"{what}: no Google credentials; run `gcloud auth application-default login`"
        ) from error
    except google_errors.GoogleAPIError as error:
        raise _error(what, error, running=running) from error
    except (*TRANSIENT, google.auth.exceptions.GoogleAuthError, TimeoutError) as error:
        raise _silence(what, error) from error


def _error(what: str, error: google_errors.GoogleAPIError, *, running: bool) -> SyncError:
    reason, text = _reason(error), f"{what}: {_message(error, running=running)}"
    if isinstance(error, google_errors.NotFound):
        return Missing(text)
    if isinstance(error, google_errors.Forbidden | google_errors.Unauthorized):
        return (
            Unavailable(text)
            if reason in ("quotaExceeded", "rateLimitExceeded")
            else AccessDenied(text)
        )
    if (
        reason == "bytesBilledLimitExceeded"
    ):  # the client knows no such reason and takes it for a server's error
        return ActionRequired(
            f"{text}; raise bigquery.max_bytes_billed, or let the query read less"
        )
    if (
        reason in LATER or "could not serialize access" in str(error).lower()
    ):  # two statements changed one table
        return Unavailable(text)
    if isinstance(error, (*TRANSIENT, google_errors.RetryError)):
        return _silence(what, error)
    return ActionRequired(text)


def _silence(what: str, error: Exception) -> Unavailable:
    return Unavailable(f"{what}: BigQuery did not answer ({type(error).__name__}); try again later")


def _reason(error: google_errors.GoogleAPIError) -> str:
    errors = getattr(error, "errors", None) or [{}]
    return str(errors[0].get("reason", "")) if isinstance(errors[0], dict) else ""


def _message(error: google_errors.GoogleAPIError, *, running: bool = False) -> str:
    text = str(getattr(error, "message", error)).split("; reason:")[0]
    text = re.sub(r"^(GET|POST|PUT|DELETE|PATCH) \S+: ", "", text)
    if running and _reason(error) not in SPEAKS_OF_NAMES:
        return (
            f"{plain(text.split(':')[0], SQL_WORDS)} (the rest may hold a row's value; see the job"
            " in BigQuery)"
        )
    return " ".join(text.split())


def label(text: str) -> str:
    """A text as BigQuery takes it in a label: at most 63 of [a-z0-9_-]."""
    return re.sub(r"[^a-z0-9_-]", "_", text.lower())[:63]


class Warehouse:
    """Queries for one run: its labels, its ceiling of bytes, its sum of bytes processed."""

    def __init__(
        self, connection: bigquery.Client, settings: BigQuerySettings, run_id: str, action: str
    ) -> None:
        self.client = connection
        self._settings = settings
        self._labels = {"sync_run": label(run_id), "sync_action": label(action)}

    def _config(self, query: Query, table: str, **more: Any) -> bigquery.QueryJobConfig:
        return bigquery.QueryJobConfig(
            query_parameters=[_parameter(p) for p in query.parameters],
            labels={**self._labels, "sync_table": label(table)},
            use_legacy_sql=False,
            # A project may have another default, and then a date would be another day's.
            connection_properties=[bigquery.ConnectionProperty("time_zone", "UTC")],
            **more,
        )

    def query(self, query: Query, table: str, page_size: int | None = None) -> RowIterator:
        """Run a query and wait for it; its pages are fetched as they are asked for."""
        with translated(table, running=True):
            return self._run(query, table).result(
                page_size=page_size, retry=RETRY, timeout=JOB_SECONDS, job_retry=None
            )

    def change(self, query: Query, table: str) -> int:
        """Run a DML statement; how many rows it touched."""
        with translated(table, running=True):
            job = self._run(query, table)
            job.result(retry=RETRY, timeout=JOB_SECONDS, job_retry=None)
            return int(job.num_dml_affected_rows or 0)

    def _run(self, query: Query, table: str) -> bigquery.QueryJob:
        """Start a job.

        By jobs.insert: a failure is then an error of the job, never an empty answer.
        """
        config = self._config(query, table, maximum_bytes_billed=self._settings.max_bytes_billed)
        return self.client.query(
            query.text,
            job_config=config,
            location=self._settings.location,
            timeout=CALL_SECONDS,
            retry=RETRY,
            job_retry=None,
        )

    def describe(self, query: Query, table: str) -> tuple[list[bigquery.SchemaField], int]:
        """Result columns and estimated bytes of a query, by a dry run:
        free, and nothing is read.
        """
        config = self._config(query, table, dry_run=True, use_query_cache=False)
        with translated(table):
            job = self.client.query(
                query.text,
                job_config=config,
                location=self._settings.location,
                timeout=CALL_SECONDS,
                retry=RETRY,
            )
            if job.statement_type not in (None, "SELECT"):
                raise ActionRequired(
                    f"{table}: `query` must be one SELECT, not {job.statement_type}"
                )
            return list(job.schema or ()), int(job.total_bytes_processed or 0)

    def table(self, path: str, table: str) -> bigquery.Table:
        """A source table's metadata."""
        with translated(f"{table}: source {path}"):
            return self.client.get_table(path, retry=RETRY, timeout=CALL_SECONDS)


def _parameter(
    parameter: Parameter,
) -> bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter:
    if isinstance(parameter.value, Sequence) and not isinstance(parameter.value, str):
        element = parameter.type.removeprefix("ARRAY<").removesuffix(">")
        return bigquery.ArrayQueryParameter(parameter.name, element, list(parameter.value))
    return bigquery.ScalarQueryParameter(parameter.name, parameter.type, parameter.value)
