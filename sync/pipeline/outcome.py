"""How a table's run ended, and the report that is made of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sync.base.errors import Busy, InternalError, LeaseLost, OutOfTime, SyncError
from sync.base.redact import redact
from sync.base.summary import without_numbers
from sync.config import TableSettings
from sync.model.report import RejectCount, Status, TableReport
from sync.pipeline.table_run import Progress, TableRun

RETRY_AFTER = 60  # seconds until an upstream that failed is worth another try
MAX_REASONS = 5  # reasons of rejects in a report


def status_of(error: SyncError | None) -> Status:
    """The status of a table that ended with this error, or without one."""
    if error is None:
        return "ok"
    if isinstance(error, Busy):
        return "busy"
    if isinstance(error, OutOfTime | LeaseLost):
        return "partial"
    return "failed"


def retry_after(error: SyncError | None) -> int | None:
    """Seconds after which calling again may help; None when it will not."""
    if isinstance(error, Busy):
        return error.retry_after
    if isinstance(error, OutOfTime | LeaseLost):
        return 1
    if error is not None and error.status == 503:
        return RETRY_AFTER
    return None


def table_report(run: TableRun, error: SyncError | None) -> TableReport:
    """The report of a table. error: what it ended with."""
    progress = run.progress
    window = progress.window
    return TableReport(
        table=run.name,
        status=status_of(error),
        error=None if error is None else str(error),
        code=None if error is None else type(error).__name__,
        summary=None if error is None else without_numbers(str(error), _own_names(run.table)),
        http_status=200 if error is None else error.status,
        retry_after=retry_after(error),
        start=window.start if window else None,
        end=window.end if window else None,
        **progress.counts(),
        deleted_by_condition=progress.taken_back,
        watermark_before=progress.watermark_before,
        watermark_after=progress.watermark_after,
        slices_planned=progress.slices_planned,
        slices_done=progress.slices_done,
        verified=progress.verified,
        bytes_processed=run.source.bytes_processed,
        seconds=progress.seconds,
        aito_calls=progress.aito_calls,
        evaluations=progress.evaluations,
        warnings=progress.warnings,
        rejects=_reject_counts(run.table, progress),
        estimate=progress.estimate,
        study=progress.study,
    )


def _reject_counts(table: TableSettings, progress: Progress) -> list[RejectCount]:
    """The most frequent reasons, without values."""
    names = names_of(table) | progress.names
    counts: Counter[str] = Counter()
    for reason, rows in progress.reject_reasons.items():
        counts[redact(reason, names)] += rows
    return [RejectCount(reason, rows) for reason, rows in counts.most_common(MAX_REASONS)]


def names_of(table: TableSettings) -> frozenset[str]:
    """The names of a table and its columns that the configuration mentions."""
    names = [table.name, *table.named]
    if table.cursor:
        names.append(table.cursor.column)
    names += table.key_columns
    return frozenset(names)


def _own_names(table: TableSettings) -> frozenset[str]:
    """The names that the configuration mentions, with those of the source."""
    source = table.source or ""
    return names_of(table) | {source, *source.split(".")}


def unexpected(error: Exception) -> SyncError:
    """An error that nobody has thought of, without its message, which may hold a row's value."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = "?"
    if frame:
        where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
    return InternalError(f"internal error: {type(error).__name__} at {where}; please report it")
