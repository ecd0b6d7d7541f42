"""What BigQuery's errors become: an error for people that says what to do, and holds no row's
value.
"""

from __future__ import annotations

import pytest
from google.api_core import exceptions

from sync.base.errors import (
    AccessDenied,
    ActionRequired,
    NotFound,
    SyncError,
    TooManyBytes,
    Unavailable,
)
from sync.bigquery.errors import translated


def error(kind: type[exceptions.GoogleAPICallError], message: str, reason: str) -> Exception:
    """An error as the client makes it of a job's."""
    return kind(message, errors=[{"reason": reason, "message": message}])


@pytest.mark.parametrize(
    ("raised", "becomes", "says"),
    [
        (
            error(
                exceptions.InternalServerError,
                "Query exceeded limit for bytes billed: 1. 2 or higher required.",
                "bytesBilledLimitExceeded",
            ),
            TooManyBytes,
            "2 or higher required.; it reads up to 0.0 GB, 0.00 USD; raise bigquery",
        ),
        (
            error(exceptions.InternalServerError, "try again", "backendError"),
            Unavailable,
            "did not answer",
        ),
        (
            error(
                exceptions.BadRequest,
                "Could not serialize access to table p:d.leases due to concurrent update",
                "invalidQuery",
            ),
            Unavailable,
            "t: ",
        ),
        (error(exceptions.Forbidden, "quota", "quotaExceeded"), Unavailable, "quota"),
        (error(exceptions.Forbidden, "no", "accessDenied"), AccessDenied, "no"),
        (
            error(
                exceptions.Forbidden,
                "Access Denied: BigQuery BigQuery: Permission denied while getting Drive"
                " credentials.",
                "accessDenied",
            ),
            AccessDenied,
            "set `drive: true` in `bigquery`, and share the sheet",
        ),
        (error(exceptions.NotFound, "gone", "notFound"), NotFound, "gone"),
        (exceptions.RetryError("too long", None), Unavailable, "did not answer (RetryError)"),
        (TimeoutError(), Unavailable, "did not answer (TimeoutError)"),
    ],
)
def test_errors(raised: Exception, becomes: type[SyncError], says: str) -> None:
    """Whether calling again helps is told by the kind; what would be right, by the text."""
    with pytest.raises(SyncError) as found, translated("t", running=True):
        raise raised
    assert type(found.value) is becomes
    assert says in str(found.value)


@pytest.mark.parametrize(
    "message",
    [
        "Cannot read field 'v' of type INT64 as STRING Field: v",
        "Views cannot be queried through prefix. First view p:d.events_20260301.",
        "Scalar subquery produced more than one element",
        "Materialized view p:d.mv references table p:d.t which was deleted and recreated.",
        "Error while reading table: d.s, error message: Failed to read the spreadsheet. Error code:"
        " PERMISSION_DENIED",
    ],
)
def test_sentences_of_names_alone(message: str) -> None:
    """What BigQuery says of tables and columns is told as it is, also of a running query."""
    with pytest.raises(SyncError) as found, translated("t", running=True):
        raise error(exceptions.BadRequest, message, "invalidQuery")
    assert message in str(found.value)
    assert ("set `drive: true`" in str(found.value)) == ("spreadsheet" in message)
    assert ("leave it out by `except`" in str(found.value)) == ("read field" in message)
    assert ("`query` with UNION ALL" in str(found.value)) == ("through prefix" in message)


@pytest.mark.parametrize(
    "message", ["Bad int64 value: canary", 'Failed to parse input string "canary"', "canary is bad"]
)
def test_no_value_is_told(message: str) -> None:
    """Wherever BigQuery puts it in a failed query's message: ERROR('...') of a view may say
    anything.
    """
    with pytest.raises(ActionRequired) as found, translated("t", running=True):
        raise error(exceptions.BadRequest, message, "invalidQuery")
    assert "canary" not in str(found.value)
    assert "see the job in BigQuery" in str(found.value)
