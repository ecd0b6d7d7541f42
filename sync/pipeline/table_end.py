"""How each table of a run ends: its error, its row in the ledger, its events and its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from sync import __version__
from sync.base.errors import SyncError
from sync.base.events import Severity
from sync.base.words import counted
from sync.model.records import RunRecord
from sync.model.report import TableReport
from sync.pipeline.context import RunContext
from sync.pipeline.outcome import table_report, unexpected
from sync.pipeline.table_run import Progress, TableRun

RECORDED = "`./aito-sync rejects` and the ledger say why; "
# Fields of an answer that an event leaves out.
NESTED = ("window", "watermark", "slices", "estimate")


class TableEnds:
    """The errors and reports of a run's tables.

    writes: each table leaves a row in the ledger when it ends.
    """

    def __init__(self, context: RunContext, *, writes: bool) -> None:
        self._context = context
        self._writes = writes
        self._errors: dict[str, SyncError] = {}
        self._passed_over: set[str] = set()
        self._counted_calls = 0  # requests to the target that are entered with a table
        self.reports: dict[str, TableReport] = {}  # of the tables that have ended, by name

    def is_ok(self, run: TableRun) -> bool:
        """Whether this run has done a table's work so far."""
        return run.name not in self._errors and run.name not in self._passed_over

    def pass_over(self, run: TableRun) -> None:
        """Leave a table that an earlier call of the same work has synced as it is."""
        self._passed_over.add(run.name)

    @contextmanager
    def guarded(self, run: TableRun) -> Iterator[None]:
        """One bad table does not stop the others: an error in the body is the table's own."""
        try:
            with self.measured(run):
                yield
        except SyncError as error:
            self._errors[run.name] = error
        except Exception as error:  # noqa: BLE001 - the edge: a table fails, without a traceback
            self._errors[run.name] = unexpected(error)

    @contextmanager
    def all_fail_together(self, tables: Sequence[TableRun]) -> Iterator[None]:
        """An error outside of any table's turn is the failure of every table."""
        try:
            yield
        except SyncError as error:
            for run in tables:
                self.fail(run, error)

    @contextmanager
    def measured(self, run: TableRun) -> Iterator[None]:
        """Enter the time and the requests of the body with the table."""
        clock, target = self._context.clock, self._context.target
        begun, calls = clock.monotonic(), target.calls
        try:
            yield
        finally:
            run.progress.seconds += clock.monotonic() - begun
            made = target.calls - calls
            run.progress.aito_calls += made
            self._counted_calls += made

    def fail(self, run: TableRun, error: SyncError) -> None:
        """End a table with this error."""
        self._errors[run.name] = error
        self.end(run)

    def end(self, run: TableRun) -> None:
        """Write the table's row, log its end, and make its report."""
        self._count_other_calls(run)
        _warn_of_counts(run)
        report = table_report(run, self._errors.get(run.name))
        # A busy table has a row of the run that holds it, and one passed over of an earlier call.
        is_known = report.status == "busy" or run.name in self._passed_over
        if self._writes and self._context.lease.taken and not is_known:
            with self.guarded(run):
                self._context.ledger.record_run(_record(run, report))
            report = table_report(run, self._errors.get(run.name))
        self.reports[run.name] = report
        self._log_rejects(report)
        self._log_table(report)

    def _count_other_calls(self, run: TableRun) -> None:
        """Count the requests that belong to no table alone with the table that ends first."""
        total = self._context.target.calls
        run.progress.aito_calls += total - self._counted_calls
        self._counted_calls = total

    def _log_rejects(self, report: TableReport) -> None:
        """One event for each reason. A reason holds no row's value."""
        for reject in report.rejects:
            self._context.events(
                "row_rejected",
                f"{report.table}: {counted(reject.rows, 'row was', 'rows were')} rejected: "
                f"{reject.reason}",
                "WARNING",
                table=report.table,
                rows=reject.rows,
                reason=reject.reason,
            )

    def _log_table(self, report: TableReport) -> None:
        severity: Severity = "INFO"
        if report.status == "failed":
            severity = "WARNING" if report.retryable else "ERROR"
        elif report.status != "ok":
            severity = "WARNING"
        message = f"{report.table}: {report.status}"
        if report.error:
            message = f"{message}, {report.error}"
        body = {name: value for name, value in report.to_json().items() if name not in NESTED}
        self._context.events(
            "table_done",
            message,
            severity,
            action=self._context.request.action,
            watermark=report.watermark_after,
            code=report.code,
            summary=report.summary,
            **body,
        )


def _warn_of_counts(run: TableRun) -> None:
    progress, dry_run = run.progress, run.request.dry_run
    gone = progress.deleted - progress.taken_back
    if gone:
        run.warn(
            "rows_deleted",
            f"{_rows(gone, dry_run=dry_run)} deleted that the source no longer has; if that is"
            " wrong, bring them back at the source, and `reconcile`",
        )
    if progress.changed and run.table.mode == "append":
        run.warn("rows_changed", _changed(progress.changed, dry_run=dry_run))
    if progress.rejected:
        run.warn(
            "rejects",
            f"{_rejected(progress, dry_run=dry_run)}; {'' if dry_run else RECORDED}"
            "correct them at the source, or the column in the configuration",
        )


def _rejected(progress: Progress, *, dry_run: bool) -> str:
    """How many rows were rejected, and how many rows left the target with them."""
    found = f"{_rows(progress.rejected, dry_run=dry_run)} rejected"
    if progress.outdated:
        older = _rows(progress.outdated, dry_run=dry_run)
        found = f"{found}, and {older} deleted from Aito that had other values under these keys"
    return found


def _changed(count: int, *, dry_run: bool) -> str:
    return (
        f"{_rows(count, dry_run=dry_run)} replaced in Aito, because the source has other values"
        " under the same key; where rows change, `mode: merge` finds that in each sync"
    )


def _rows(count: int, *, dry_run: bool) -> str:
    """Such as `1 row was` or `2 rows would be`."""
    if dry_run:
        return f"{counted(count, 'row')} would be"
    return counted(count, "row was", "rows were")


def _record(run: TableRun, report: TableReport) -> RunRecord:
    return RunRecord.of(
        report,
        run_id=run.run_id,
        action=run.request.action,
        started_at=datetime.fromtimestamp(run.now, UTC).isoformat(),
        finished_at=run.clock.timestamp(),
        version=__version__,
    )
