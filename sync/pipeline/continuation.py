"""Asks for the rest of a run that was out of time, by a message."""

from __future__ import annotations

from datetime import UTC, datetime

from sync.base.errors import SyncError
from sync.model.report import RunReport
from sync.model.request import Request
from sync.pipeline.context import RunContext


def ask_for_the_rest(context: RunContext, report: RunReport) -> bool:
    """Ask for the rest of partial tables by a message. Returns whether that was possible.

    It is not asked for when another table failed or was busy. Then the caller calls again, and that
    run continues. If each of these calls sent a message too, the number of runs would grow.
    """
    rest = [table.table for table in report.tables if table.status == "partial"]
    others = {table.status for table in report.tables} - {"ok", "partial"}
    if not rest or others or context.publish is None:
        return False
    try:
        context.publish(_message(context.request, rest))
    except SyncError as error:
        context.events("continuation_failed", str(error), "WARNING")
        return False
    return True


def _message(request: Request, tables: list[str]) -> dict[str, object]:
    """The request again, for these tables alone."""
    message: dict[str, object] = {"action": request.action, "tables": tables}
    for flag in ("full_refresh", "deep"):
        if getattr(request, flag):
            message[flag] = True
    if request.allow:
        message["allow"] = sorted(request.allow)
    for name, moment in (("since", request.since), ("until", request.until)):
        if moment is not None:
            message[name] = datetime.fromtimestamp(moment, UTC).isoformat()
    return message
