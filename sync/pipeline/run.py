"""One run over all its tables: leases, order, budget, and the record of how each table ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sync import __version__, evaluation
from sync.base.errors import SyncError
from sync.base.events import Severity
from sync.evaluation import EvaluationContext, Known, LoadedTable
from sync.model.records import RunRecord, WatchRecords
from sync.model.report import MonthlyCalls, RunReport, TableReport, TableWarning
from sync.pipeline.actions import RunState, action_of
from sync.pipeline.calls import limit_warnings, monthly_calls
from sync.pipeline.context import RunContext
from sync.pipeline.freshness import report_freshness
from sync.pipeline.outcome import table_report, unexpected
from sync.pipeline.purge import purge
from sync.pipeline.removed import report_removed
from sync.pipeline.table_run import TableRun

CONTINUED = timedelta(hours=1)  # calls that go on with each other's work follow so soon
# Fields of an answer that an event leaves out.
NESTED = ("window", "watermark", "slices", "estimate")


class Run:
    """One run over its tables."""

    def __init__(self, context: RunContext, tables: Sequence[TableRun]) -> None:
        self._context = context
        self._tables = tables
        self._action = action_of(context.request)
        self._state = RunState()
        self._errors: dict[str, SyncError] = {}
        self._reports: dict[str, TableReport] = {}
        self._warnings: list[TableWarning] = []
        self._counted_calls = 0  # requests to the target that are entered with a table
        self._passed_over: set[str] = set()  # an earlier call of the same work has synced them
        self._evaluations = EvaluationContext(
            context.run_id,
            context.target,
            context.ledger,
            context.events,
            context.clock,
            context.deadline,
            context.settings.tables,
        )

    def report(self) -> RunReport:
        """Do what was requested. Errors end in the report, not in an exception."""
        context, request = self._context, self._context.request
        names = [run.name for run in self._tables]
        context.events(
            "run_started",
            f"{request.action} of {len(names)} tables",
            action=request.action,
            tables=names,
            dry_run=request.dry_run,
        )
        if self._action.watches:
            self._watch()
        elif self._action.studies:
            self._study()
        elif self._action.writes:
            self._under_lease()
        else:
            self._work_through(self._tables)
        tables = [self._reports[name] for name in names]
        report = RunReport(context.run_id, request, tables, warnings=self._warnings)
        report.continued = self._continue(report)
        report.seconds = context.clock.monotonic() - context.started
        report.aito_calls = context.target.calls
        report.monthly_calls = self._monthly_calls()
        report.warnings = [*report.warnings, *limit_warnings(report.monthly_calls)]
        self._log_end(report)
        return report

    def _monthly_calls(self) -> MonthlyCalls | None:
        """The estimate of a dry run. None: it is another kind of run, or the ledger is away."""
        request = self._context.request
        if not request.dry_run or request.action != "sync":
            return None
        try:
            return monthly_calls(self._context, self._tables)
        except SyncError:
            return None

    def _log_end(self, report: RunReport) -> None:
        failed_for_good = report.status == "failed" and report.http_status == 500
        severity: Severity = "INFO"
        if report.status == "failed":
            severity = "ERROR" if failed_for_good else "WARNING"
        self._context.events(
            "run_done",
            f"{report.request.action}: {report.status}",
            severity,
            action=report.request.action,
            status=report.status,
            http_status=report.http_status,
            seconds=round(report.seconds, 3),
            aito_calls=report.aito_calls,
        )

    # -- the kinds of runs

    def _watch(self) -> None:
        """Collect evaluations and report freshness, from the ledger. Takes no lease."""
        context = self._context
        with self._all_fail_together(self._tables):
            names = [run.name for run in self._tables]
            now = context.clock.utc()
            records = context.ledger.watch_records(names, now - evaluation.MEMORY, now)
            if self._action.evaluates:
                with self._harmless():
                    configured = context.settings.tables
                    evaluation.resume(self._evaluations, configured, records)
            for run in self._tables:
                with self._guarded(run):
                    rejects = records.open_rejects.get(run.name, 0)
                    self._warn_of_evaluations(run)
                    report_freshness(run, records.syncs.get(run.name), rejects)
                self._end(run)

    def _study(self) -> None:
        """Begin a study of each table, or go on with the one that is open. Takes no lease."""
        context, request = self._context, self._context.request
        wanted = evaluation.Wanted(request.histories, request.evaluations)
        with self._all_fail_together(self._tables):
            known = self._watch_records().evaluations
            for run in self._tables:
                with self._guarded(run):
                    study = evaluation.begin_study(
                        self._evaluations, run.table, wanted, known, dry_run=request.dry_run
                    )
                    run.progress.study = study.summary()
            if not request.dry_run:
                configured = context.settings.tables
                evaluation.resume(self._evaluations, configured, self._watch_records())
            for run in self._tables:
                self._end(run)

    def _watch_records(self) -> WatchRecords:
        """What the ledger knows of all tables."""
        now = self._context.clock.utc()
        names = [table.name for table in self._context.settings.tables]
        return self._context.ledger.watch_records(names, now - evaluation.MEMORY, now)

    def _under_lease(self) -> None:
        free: list[TableRun] = []
        lease = self._context.lease
        with self._all_fail_together(self._tables):
            names = [run.name for run in self._tables]
            self._read_ledger()
            busy = lease.take(names)
            self._state.unfinished = lease.unfinished
            free = self._in_turn([run for run in self._tables if run.name not in busy])
            for run in self._tables:
                if run.name in busy:
                    self._errors[run.name] = busy[run.name]
                    self._end(run)
        if not free:
            return
        unfinished = {run.name for run in free}  # until it is known how they ended
        with lease.kept(unfinished):
            self._work_through(free)
            unfinished -= self._state.finished
            unfinished -= {run.name for run in free if self._is_ok(run)}
            begun = self._state.begun | set(lease.unfinished)
            unfinished &= begun  # a table that no run has touched needs no second look

    def _in_turn(self, tables: list[TableRun]) -> list[TableRun]:
        """Parents first; but when the last run had no time for a table, the longest unserved first.

        A parent was loaded by the run that had no time for its child.
        """
        if not self._is_continued:
            return tables
        never = datetime.min.replace(tzinfo=UTC)

        def served_at(run: TableRun) -> datetime:
            return self._state.known_table(run.name).served_at or never

        return sorted(tables, key=served_at)

    def _work_through(self, tables: Sequence[TableRun]) -> None:
        """Load parents first, purge children first, then finish each table."""
        with self._all_fail_together(tables):
            if not self._action.writes:
                self._read_ledger()
                self._context.target.check_writable()
            self._state.schema = dict(self._context.target.schema())
            for run in tables:
                with self._guarded(run):
                    self._begin(run, is_first=run is tables[0])
            self._warnings = report_removed(self._context, self._state)
            if self._action.purges:
                self._purge(tables)
            for run in tables:
                self._optimize(run)
            self._launch(tables, self._collect(tables))
            for run in tables:
                self._warn_of_evaluations(run)
                self._end(run)

    def _read_ledger(self) -> None:
        context = self._context
        self._state.known = context.ledger.known_tables(context.clock.utc())
        if any(known.checkpoint.two_steps for known in self._state.known.values()):
            context.target.upsert_in_two_steps()

    def _begin(self, run: TableRun, *, is_first: bool) -> None:
        """Do a table's work. A run whose time is over begins with one table only.

        When calls go on with each other's work, what one of them has synced is not left for later.
        """
        deadline = self._context.deadline
        if is_first or not deadline.over:
            self._action.work(run, self._state)
        elif self._is_continued and self._was_synced(run):
            self._passed_over.add(run.name)
        else:
            deadline.check(run.name)

    @property
    def _is_continued(self) -> bool:
        """Whether the call before this one had no time for all tables."""
        return any(self._state.known_table(run.name).is_waiting for run in self._tables)

    def _was_synced(self, run: TableRun) -> bool:
        """Whether a call of the same work has synced a table."""
        request = self._context.request
        known = self._state.known_table(run.name)
        if known.ok_at is None or known.is_waiting:
            return False
        age = self._context.clock.utc() - known.ok_at
        return age < CONTINUED and request.action == "sync" and not request.full_refresh

    def _purge(self, tables: Sequence[TableRun]) -> None:
        names = {run.name for run in tables}
        for run in reversed(self._tables):
            if run.name in names and self._is_ok(run) and run.table.cursor:
                with self._guarded(run):
                    purge(run)

    def _optimize(self, run: TableRun) -> None:
        """Optimize a changed table. One that is not optimized is slower, not wrong."""
        progress = run.progress
        changed = progress.uploaded or progress.purged or progress.repaired or progress.deleted
        if not changed or not self._action.writes or self._context.deadline.over:
            return
        try:
            with self._measured(run):
                run.lease.check()
                run.target.optimize(run.name)
        except SyncError as error:
            message = f"{run.name}: optimize failed, the next run does it: {error}"
            run.events("optimize_failed", message, "WARNING", table=run.name)

    # -- evaluations

    def _collect(self, tables: Sequence[TableRun]) -> Known:
        """Collect evaluations that have ended. Tables that evaluate nothing pay nothing for it."""
        settings = [run.table for run in tables if run.table.evaluate]
        if not self._action.evaluates or not settings:
            return None
        everything = self._context.request.tables is None
        with self._harmless():
            return evaluation.collect(self._evaluations, settings, everything=everything)
        return None

    def _launch(self, tables: Sequence[TableRun], known: Known) -> None:
        """Start an evaluation of the tables that ended ok."""
        loaded = [
            LoadedTable(run.table, run.progress.watermark_after)
            for run in tables
            if self._is_ok(run) and run.table.evaluate
        ]
        if not self._action.evaluates or not loaded:
            return
        with self._harmless():
            schema = self._state.schema
            for started in evaluation.launch(self._evaluations, loaded, schema, known):
                (run,) = [run for run in tables if run.name == started.table]
                run.progress.evaluations.append({"name": started.name, "job_id": started.job_id})

    def _warn_of_evaluations(self, run: TableRun) -> None:
        for finding in self._evaluations.findings:
            if finding.table == run.name:
                run.warn("evaluation", f"evaluation {finding.name}: {finding.message}")

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """No evaluation stops a sync, not even by an error that nobody has thought of."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - measuring must not stop what is measured
            self._context.events("evaluation_failed", str(unexpected(error)), "ERROR")

    # -- the end of a table

    def _is_ok(self, run: TableRun) -> bool:
        """Whether this run has done a table's work."""
        return run.name not in self._errors and run.name not in self._passed_over

    def _end(self, run: TableRun) -> None:
        """Write the table's row, log its end, and make its report."""
        self._count_other_calls(run)
        self._warn_of_counts(run)
        report = table_report(run, self._errors.get(run.name))
        # A busy table has a row of the run that holds it, and one passed over of an earlier call.
        is_known = report.status == "busy" or run.name in self._passed_over
        if self._action.writes and self._context.lease.taken and not is_known:
            with self._guarded(run):
                self._context.ledger.record_run(self._record(run, report))
            report = table_report(run, self._errors.get(run.name))
        self._reports[run.name] = report
        self._log_rejects(report)
        self._log_table(report)

    def _count_other_calls(self, run: TableRun) -> None:
        """Count the requests that belong to no table alone with the table that ends first."""
        total = self._context.target.calls
        run.progress.aito_calls += total - self._counted_calls
        self._counted_calls = total

    def _warn_of_counts(self, run: TableRun) -> None:
        progress = run.progress
        were = "would be" if run.request.dry_run else "were"
        gone = progress.deleted - progress.deleted_by_condition
        if gone:
            run.warn(
                "rows_deleted",
                f"{gone} rows {were} deleted because the source no longer has them; if that is "
                "wrong, bring them back at the source, and `reconcile`",
            )
        if progress.rejected:
            run.warn(
                "rejects",
                f"{progress.rejected} rows {were} rejected; `python -m sync rejects` and the "
                "ledger say why; correct them at the source, or the column in the configuration",
            )

    def _log_rejects(self, report: TableReport) -> None:
        """One event for each reason. A reason holds no row's value."""
        for reject in report.rejects:
            self._context.events(
                "row_rejected",
                f"{report.table}: {reject.rows} rows were rejected: {reject.reason}",
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

    def _record(self, run: TableRun, report: TableReport) -> RunRecord:
        return RunRecord.of(
            report,
            run_id=run.run_id,
            action=run.request.action,
            started_at=datetime.fromtimestamp(run.now, UTC).isoformat(),
            finished_at=run.clock.timestamp(),
            version=__version__,
        )

    # -- errors

    @contextmanager
    def _guarded(self, run: TableRun) -> Iterator[None]:
        """One bad table does not stop the others: an error in the body is the table's own."""
        try:
            with self._measured(run):
                yield
        except SyncError as error:
            self._errors[run.name] = error
        except Exception as error:  # noqa: BLE001 - the edge: a table fails, without a traceback
            self._errors[run.name] = unexpected(error)

    @contextmanager
    def _measured(self, run: TableRun) -> Iterator[None]:
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

    @contextmanager
    def _all_fail_together(self, tables: Sequence[TableRun]) -> Iterator[None]:
        """An error outside of any table's turn is the failure of every table."""
        try:
            yield
        except SyncError as error:
            for run in tables:
                self._errors[run.name] = error
                self._end(run)

    # -- the rest of a run

    def _continue(self, report: RunReport) -> bool:
        """Ask for the rest of partial tables by a message. Returns whether that was possible.

        Not when another table failed or was busy: whoever called calls again then, and that run
        continues. A message from each of its calls would make the runs more and more.
        """
        rest = [table.table for table in report.tables if table.status == "partial"]
        others = {table.status for table in report.tables} - {"ok", "partial"}
        publish = self._context.publish
        if not rest or others or publish is None or not self._action.writes:
            return False
        request = self._context.request
        message: dict[str, object] = {"action": request.action, "tables": rest}
        for flag in ("full_refresh", "deep"):
            if getattr(request, flag):
                message[flag] = True
        if request.allow:
            message["allow"] = sorted(request.allow)
        for name, moment in (("since", request.since), ("until", request.until)):
            if moment is not None:
                message[name] = datetime.fromtimestamp(moment, UTC).isoformat()
        try:
            publish(message)
        except SyncError as error:
            self._context.events("continuation_failed", str(error), "WARNING")
            return False
        return True


def run_tables(context: RunContext, tables: Sequence[TableRun]) -> RunReport:
    """Run the tables, parents before children, and report."""
    return Run(context, tables).report()
