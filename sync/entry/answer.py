"""What a caller gets back: HTTP status and JSON body. See docs/http.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sync.base.errors import BadRequest, SyncError
from sync.model.report import RunReport
from sync.model.request import Request

# The command line's exit status for an HTTP status; any other is EXIT_FAILED.
EXIT_OK, EXIT_FAILED, EXIT_WRONG_REQUEST, EXIT_CALL_AGAIN = 0, 1, 2, 3
EXITS = {
    200: EXIT_OK,
    202: EXIT_CALL_AGAIN,
    400: EXIT_WRONG_REQUEST,
    409: EXIT_CALL_AGAIN,
    503: EXIT_CALL_AGAIN,
}


@dataclass(frozen=True)
class Answer:
    """An HTTP status, a JSON body, and the seconds of `Retry-After` when waiting helps."""

    status: int
    body: dict[str, Any]
    retry_after: int | None = None

    @property
    def exit_status(self) -> int:
        """The same for a shell."""
        return EXITS.get(self.status, EXIT_FAILED)


def of_report(report: RunReport) -> Answer:
    """The answer to a request that was run."""
    return Answer(report.http_status, report.to_json(), report.retry_after)


def of_error(error: SyncError) -> Answer:
    """The answer to a request that could not be run."""
    if isinstance(error, BadRequest):
        return Answer(error.status, {"error": str(error)})
    report = RunReport("", Request(), [], error=str(error))
    return Answer(error.status, report.to_json())


def of_nothing_to_do(reason: str) -> Answer:
    """The answer to a notice after which there is nothing to sync."""
    report = RunReport("", Request(), [])
    return Answer(200, {**report.to_json(), "skipped": reason})
