"""Translates the errors of Google's client into those of sync.base.errors.

No message holds a row's value. A text that may hold one is shown without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import google.auth.exceptions
import requests.exceptions
from google.api_core import exceptions as google_errors

from sync.base.errors import AccessDenied, ActionRequired, NotFound, SyncError, Unavailable
from sync.base.redact import redact

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
    "notFound",
    "accessDenied",
    "responseTooLarge",
}
QUOTA_REASONS = {"quotaExceeded", "rateLimitExceeded"}
RETRYABLE_REASONS = {"tableUnavailable", "resourceInUse"}
CONCURRENT_UPDATE = "could not serialize access"  # two statements changed one table
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
    if isinstance(error, google_errors.Forbidden | google_errors.Unauthorized):
        return Unavailable(text) if reason in QUOTA_REASONS else AccessDenied(text)
    # The client does not know this reason and raises it as a server's error.
    if reason == "bytesBilledLimitExceeded":
        remedy = "raise bigquery.max_bytes_billed, or let the query read less"
        return ActionRequired(f"{text}; {remedy}")
    if reason in RETRYABLE_REASONS or CONCURRENT_UPDATE in str(error).lower():
        return Unavailable(text)
    if isinstance(error, (*TRANSIENT, google_errors.RetryError)):
        return _no_answer(what, error)
    return ActionRequired(text)


def _no_answer(what: str, error: Exception) -> Unavailable:
    return Unavailable(f"{what}: BigQuery did not answer ({type(error).__name__}); try again later")


def reason_of(error: google_errors.GoogleAPIError) -> str:
    """BigQuery's own name of the reason, such as quotaExceeded; empty when there is none."""
    errors = getattr(error, "errors", None) or [{}]
    first = errors[0]
    return str(first.get("reason", "")) if isinstance(first, dict) else ""


def _message(error: google_errors.GoogleAPIError, *, running: bool) -> str:
    text = str(getattr(error, "message", error)).split("; reason:")[0]
    text = re.sub(r"^(GET|POST|PUT|DELETE|PATCH) \S+: ", "", text)
    if not running or reason_of(error) in REASONS_WITHOUT_VALUES:
        return " ".join(text.split())
    beginning = redact(text.split(":")[0], SQL_WORDS)
    return f"{beginning} (the rest may hold a row's value; see the job in BigQuery)"
