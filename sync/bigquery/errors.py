"""Translates the errors of Google's client into those of sync.base.errors.

No message holds a row's value. A text that may hold one is shown without it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import google.auth.exceptions
import requests.exceptions
from google.api_core import exceptions as google_errors

from sync.base.errors import (
    AccessDenied,
    ActionRequired,
    NotFound,
    SyncError,
    TooManyBytes,
    Unavailable,
)
from sync.base.redact import redact
from sync.model.price import usd

# Errors that are gone when the same request is sent again.
TRANSIENT = (
    google_errors.ServerError,  # 5xx
    google_errors.TooManyRequests,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.InvalidJSONError,  # a proxy's answer, for example
    google.auth.exceptions.TransportError,
)
# Reasons whose messages hold limits and names, and no row's value.
REASONS_WITHOUT_VALUES = {
    "bytesBilledLimitExceeded",
    "quotaExceeded",
    "rateLimitExceeded",
    "jobRateLimitExceeded",
    "notFound",
    "accessDenied",
    "resourcesExceeded",
    "responseTooLarge",
    "stopped",
}
QUOTA_REASONS = {"quotaExceeded", "rateLimitExceeded", "jobRateLimitExceeded"}
RETRYABLE_REASONS = {"tableUnavailable", "resourceInUse", "stopped"}
# What to do about a reason. The client raises some of them as errors of other kinds.
REMEDIES = {
    "resourcesExceeded": "sync fewer or shorter columns, or a shorter `keep`",
    "responseTooLarge": "lower batch.bytes, or sync shorter columns",
}
# What to do about a sentence of BigQuery.
REMEDIES_OF_SENTENCES = (
    (
        re.compile("Views cannot be queried through prefix"),
        "daily views are no daily tables: read the tables behind them, or write a `query` with"
        " UNION ALL of the views",
    ),
    (
        re.compile(r"Cannot read field \S+ of type"),
        "the column has another type in older tables: leave it out by `except`, or give a shorter"
        " `keep`",
    ),
    (
        re.compile("Cannot query over table .* without a filter over column"),
        "give such a filter by `where`",
    ),
)
TOO_MANY_BYTES = "bytesBilledLimitExceeded"
BYTES_REMEDY = "raise bigquery.max_bytes_billed, or sync fewer columns or a shorter `keep`"
# "Access Denied: BigQuery BigQuery: Permission denied while getting Drive credentials."
DRIVE = re.compile(r"Drive credentials|Failed to read the spreadsheet.*PERMISSION_DENIED")
DRIVE_REMEDY = (
    "set `drive: true` in `bigquery`, and share the sheet with this account; on a laptop log in by"
    " `gcloud auth application-default login --scopes=https://www.googleapis.com/auth/drive.readonly"
    ",https://www.googleapis.com/auth/cloud-platform`"
)
# Messages of statements that changed nothing because others change the same table.
CONCURRENT_CHANGES = ("could not serialize access", "too many dml statements outstanding")
# "Query exceeded limit for bytes billed: 10737418240. 53687091200 or higher required."
NEEDED_BYTES = re.compile(r"bytes billed: \d+\. (\d+) or higher required")
# What the client adds to the message of a job's error.
FOOTER = re.compile(r"\s*Location: \S+\s+Job ID: \S+\s*$")
# What BigQuery says while it runs a query and that holds names of tables and columns alone.
OF_NAMES = re.compile(
    r"Cannot (?:read field|query over) |Views cannot be queried|Wildcard table |Materialized view "
    r"|Array cannot have a null element|Scalar subquery produced|Cloud KMS "
    r"|Error while reading table: \S+, error message: Failed to read the spreadsheet."
    r" Error code: \w+$"
)
# How BigQuery ends, or begins, what it says of a query's text: "Unrecognized name: x at [1:8]".
ABOUT_TEXT = re.compile(r" at \[\d+:\d+\]\s*$|Cannot query over table")
UNKNOWN_NAME = re.compile(r"Unrecognized name: ")
# A dataset's name in "Access Denied: Dataset p:d: ... (or it may not exist)".
MAY_BE_MISSING = re.compile(r"Dataset ([^\s:]+:\w+).*(?:may not|does not) exist", re.DOTALL)
# The words of BigQuery's own messages, beside those of sync.base.redact.
SQL_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        bad cast date datetime division failed float64 function input int64 numeric out overflow
        parse query scalar subquery timestamp zero
        """,
    )
)


@contextmanager
def translated(what: str, *, running: bool = False) -> Iterator[None]:
    """Raise Google's errors as ours. `what` names the subject of the message.

    running: BigQuery has accepted the query's text, thus a failure may quote a row's value.
    """
    try:
        yield
    except google.auth.exceptions.DefaultCredentialsError as error:
        remedy = "run `gcloud auth application-default login`"
        raise AccessDenied(f"{what}: no Google credentials; {remedy}") from error
    except google_errors.GoogleAPIError as error:
        raise _translation(what, error, running=running) from error
    except (*TRANSIENT, google.auth.exceptions.GoogleAuthError, TimeoutError) as error:
        raise _no_answer(what, error) from error


def _translation(what: str, error: google_errors.GoogleAPIError, *, running: bool) -> SyncError:
    reason = reason_of(error)
    text = f"{what}: {_message(error, running=running)}"
    if isinstance(error, google_errors.NotFound):
        return NotFound(text)
    if is_concurrent_change(error) or reason in QUOTA_REASONS | RETRYABLE_REASONS:
        return Unavailable(text)
    if DRIVE.search(str(error)):
        return AccessDenied(f"{text}; {DRIVE_REMEDY}")
    if reason == TOO_MANY_BYTES:
        return _too_many_bytes(text, error)
    if reason in REMEDIES:
        return ActionRequired(f"{text}; {REMEDIES[reason]}")
    if isinstance(error, google_errors.Forbidden | google_errors.Unauthorized):
        return AccessDenied(text)
    if isinstance(error, (*TRANSIENT, google_errors.RetryError)):
        return _no_answer(what, error)
    for sentence, remedy in REMEDIES_OF_SENTENCES:
        if sentence.search(text):
            return ActionRequired(f"{text}; {remedy}")
    return ActionRequired(text)


def _too_many_bytes(text: str, error: google_errors.GoogleAPIError) -> TooManyBytes:
    """The error of a query that was refused for its bytes, with its price."""
    found = NEEDED_BYTES.search(str(error))
    if not found:
        return TooManyBytes(f"{text}; {BYTES_REMEDY}")
    needed = int(found[1])
    return TooManyBytes(f"{text}; it reads up to {size_text(needed)}; {BYTES_REMEDY}", needed)


def size_text(size: int) -> str:
    """Bytes and the price of reading them, for people."""
    return f"{size / 1e9:,.1f} GB, {usd(size):.2f} USD"


def is_concurrent_change(error: BaseException | None) -> bool:
    """Whether a statement changed nothing because others change the same table."""
    text = str(error).lower()
    return any(each in text for each in CONCURRENT_CHANGES)


def dataset_that_may_be_missing(error: BaseException | None) -> str | None:
    """The dataset, as project.dataset, of an access error that may mean that it is missing."""
    found = MAY_BE_MISSING.search(str(error))
    return found[1].replace(":", ".") if found else None


def _no_answer(what: str, error: Exception) -> Unavailable:
    remedy = "try again later"
    if stand_in := os.environ.get("BIGQUERY_EMULATOR_HOST"):
        remedy = f"is {stand_in} running, which BIGQUERY_EMULATOR_HOST names?"
    return Unavailable(f"{what}: BigQuery did not answer ({type(error).__name__}); {remedy}")


def reason_of(error: google_errors.GoogleAPIError) -> str:
    """BigQuery's own name of the reason, such as quotaExceeded; empty when there is none."""
    errors = getattr(error, "errors", None) or [{}]
    first = errors[0]
    return str(first.get("reason", "")) if isinstance(first, dict) else ""


def may_quote_a_row(error: BaseException | None) -> bool:
    """Whether the message of a running query's failure may hold a row's value."""
    if not isinstance(error, google_errors.GoogleAPICallError):
        return False
    if OF_NAMES.match(str(getattr(error, "message", error))):
        return False
    return reason_of(error) not in REASONS_WITHOUT_VALUES


def is_about_text(error: BaseException | None) -> bool:
    """Whether an error is about a query's text, and not about the values that it met."""
    text = FOOTER.sub("", str(getattr(error, "message", error)))
    return ABOUT_TEXT.search(text) is not None


def is_unknown_name(error: BaseException | None) -> bool:
    """Whether a query names a column that its tables do not have."""
    return UNKNOWN_NAME.search(str(getattr(error, "message", error))) is not None


def _message(error: google_errors.GoogleAPIError, *, running: bool) -> str:
    text = str(getattr(error, "message", error)).split("; reason:")[0]
    text = re.sub(r"^(GET|POST|PUT|DELETE|PATCH) \S+: ", "", text)
    text = FOOTER.sub("", text)
    if not running:
        return " ".join(text.split())
    place = _where_to_look(error)
    if may_quote_a_row(error):
        beginning = redact(text.split(":")[0], SQL_WORDS)
        text = f"{beginning} (the rest may hold a row's value)"
        place = place or "; see the job in BigQuery"
    return f"{' '.join(text.split())}{place}"


def _where_to_look(error: google_errors.GoogleAPIError) -> str:
    """The command that shows the failed job, where the error knows its job."""
    job = getattr(error, "query_job", None)
    if job is None:
        return ""
    place = f"--location={job.location} " if job.location else ""
    return f"; see the job: `bq show {place}-j {job.project}:{job.job_id}`"
