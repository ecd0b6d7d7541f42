"""Every error of this package, grouped by what the caller must do.

SyncError
├── BadRequest          400  the request is wrong: send another one
├── ConfigError         500  a person must edit sync.yaml
├── ActionRequired      500  a person must act; calling again changes nothing
│   ├── SchemaMismatch       the target's table and the source do not fit
│   ├── AccessDenied         a key or a grant is missing
│   ├── NotFound             a dataset or table is missing
│   ├── UnknownColumn        a ledger table lacks a column
│   ├── TooManyBytes         a query would read more than bigquery.max_bytes_billed allows
│   ├── TooManyRejects       more bad rows than rejects.max_share allows
│   ├── PurgeRefused         more old rows than purge.max_share allows
│   ├── DeleteRefused        more rows gone from the source than delete.max_share allows
│   ├── EmptySource          the source had rows, and shows none
│   ├── InternalError        a fault of this program
│   └── Refused              the target said no, and stored nothing of it
├── Busy                409  another run holds the table
└── Unavailable         503  try later: nothing is wrong but the moment
    ├── OutcomeUnknown       a request may or may not have been applied
    ├── RowsLost             a write removed rows that it should not have touched
    ├── OutOfTime            the time budget is spent, or the process is told to stop
    └── LeaseLost            another run took over: stop before the next write

A message names what was wrong, where, and what would be right. It never holds a row's value, a key
or a token.
"""

from __future__ import annotations

import enum


class SyncError(Exception):
    """Root of the tree. `status` is the HTTP status that tells a caller what to do."""

    status = 500


class BadRequest(SyncError):
    """The request cannot be understood."""

    status = 400


class ConfigError(SyncError):
    """The configuration file is wrong; the message lists every problem."""


class ActionRequired(SyncError):
    """Calling again will not help until somebody changes something."""


class SchemaMismatch(ActionRequired):
    """Source, configuration and the target's table differ; the message lists every difference."""


class AccessDenied(ActionRequired):
    """A key, a secret or a grant is missing or wrong."""


class NotFound(ActionRequired):
    """A dataset or a table is missing."""


class UnknownColumn(ActionRequired):
    """A ledger table lacks a column that is to be written or read."""


class TooManyBytes(ActionRequired):
    """A query would read more than `bigquery.max_bytes_billed` allows. Nothing was read.

    needed: bytes that its dry run names. None: they are not known.
    """

    def __init__(self, message: str, needed: int | None = None) -> None:
        super().__init__(message)
        self.needed = needed


class TooManyRejects(ActionRequired):
    """More rows were refused than `rejects.max_share` allows."""


class PurgeRefused(ActionRequired):
    """More rows are older than `keep` than `purge.max_share` allows to delete in one run."""


class DeleteRefused(ActionRequired):
    """More rows are gone from the source than `delete.max_share` allows to delete."""


class EmptySource(ActionRequired):
    """The source has no rows at all, and the target has."""


class InternalError(ActionRequired):
    """An error that nobody has thought of."""


class Refusal(enum.Enum):
    """Why the target refused a request. Nothing of it is stored."""

    ROWS = "a row of the request is at fault"
    TOO_LARGE = "the request is too large; a part of it may be taken"
    NOT_FOUND = "what the request names does not exist"
    OTHER = "the request or the address is at fault, not a row"


class Refused(ActionRequired):
    """The target refused a request and stored nothing of it.

    reason: the target's own words. They may quote a row, so they never go into a log.
    """

    def __init__(self, message: str, cause: Refusal, reason: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        self.reason = reason


class Busy(SyncError):
    """Another run holds the lease; `retry_after` is in seconds."""

    status = 409

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(SyncError):
    """Something upstream failed. The state is good, and calling again continues."""

    status = 503


class Unknown(enum.Enum):
    """Why the outcome of a request is unknown."""

    SERVER_ERROR = "the target answered that it failed; a row may be at fault"
    NO_ANSWER = "no answer came, or a gateway's; the request may be applied now or later"
    UNREADABLE = "the answer says success but cannot be read"


class OutcomeUnknown(Unavailable):
    """A request was sent and no trustworthy answer came. Look before sending it again.

    reason: the target's own words. They may quote a row, so they never go into a log.
    """

    def __init__(self, message: str, cause: Unknown = Unknown.NO_ANSWER, reason: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        self.reason = reason


class RowsLost(Unavailable):
    """The target removed other rows than those of the request. The next run looks for them."""


class OutOfTime(Unavailable):
    """The time budget is spent, or the process was requested to stop."""


class LeaseLost(Unavailable):
    """The lease ran out or another run took it: nothing more may be written."""
