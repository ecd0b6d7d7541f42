"""Every error of this package, grouped by what the caller must do.

SyncError
├── BadRequest          400  the request is wrong: send another
├── ConfigError         500  a person must edit sync.yaml
├── NeedsPerson         500  a person must act; calling again changes nothing
│   ├── SchemaMismatch       Aito's table and the source do not fit
│   ├── AccessDenied         a key or a grant is missing
│   ├── TooManyRejects       more bad rows than rejects.max_share allows
│   ├── PurgeRefused         more old rows than purge.max_share allows
│   └── Refused              Aito said no, and stored nothing of it
├── Busy                409  another run holds the table
└── Unavailable         503  try later: nothing is wrong but the moment
    ├── OutcomeUnknown       a request may or may not have been applied
    ├── OutOfTime            the time budget is spent, or the process is told to stop
    └── LeaseLost            another run took over: stop before the next write

A message names what was wrong, where, and what would be right. It never holds a row's value, a key
or a token.
"""

from __future__ import annotations


class SyncError(Exception):
    """Root of the tree. `status` is the HTTP status that tells a caller what to do."""

    status = 500


class BadRequest(SyncError):
    """The request cannot be understood."""

    status = 400


class ConfigError(SyncError):
    """The configuration file is wrong; the message lists every mistake."""


class NeedsPerson(SyncError):
    """Calling again will not help until somebody changes something."""


class SchemaMismatch(NeedsPerson):
    """Source, configuration and Aito's table contradict each other; the message lists every
    difference.
    """


class AccessDenied(NeedsPerson):
    """A key, a secret or a grant is missing or wrong."""


class TooManyRejects(NeedsPerson):
    """More rows were refused than `rejects.max_share` allows."""


class PurgeRefused(NeedsPerson):
    """More rows are older than `keep` than `purge.max_share` allows to delete in one run."""


class Refused(NeedsPerson):
    """Aito said no to a request and stored nothing of it.

    `reason`, its own words, may quote a row: not for logs.
    """

    def __init__(self, message: str, http_status: int, reason: str = "") -> None:
        super().__init__(message)
        self.http_status = http_status
        self.reason = reason


class Busy(SyncError):
    """Another run holds the lease; `retry_after` is in seconds."""

    status = 409

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(SyncError):
    """Something upstream did not answer as it should; the state is good and calling again
    continues.
    """

    status = 503


class OutcomeUnknown(Unavailable):
    """The request was sent and no trustworthy answer came: it may have been applied. Look before
    sending again.

    `http_status` is 0 when nothing came at all; `reason`, Aito's own words, may quote a row: not
    for logs.
    """

    def __init__(self, message: str, http_status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.http_status = http_status
        self.reason = reason


class OutOfTime(Unavailable):
    """The time budget is spent, or the process was told to stop."""


class LeaseLost(Unavailable):
    """The lease ran out or another run took it: nothing more may be written."""
