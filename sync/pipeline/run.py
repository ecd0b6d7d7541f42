"""One run over all its tables: leases, order and budget. Each step of a table is another file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from sync.base.errors import SyncError
from sync.base.events import Severity
from sync.base.words import counted
from sync.evaluation import MEMORY
from sync.model.report import RunReport, TableWarning
from sync.pipeline.actions import RunState, action_of
from sync.pipeline.calls import limit_warnings, monthly_calls
from sync.pipeline.context import RunContext
from sync.pipeline.continuation import ask_for_the_rest
from sync.pipeline.evaluating import Evaluating
from sync.pipeline.freshness import report_freshness
from sync.pipeline.purge import purge
from sync.pipeline.removed import report_removed
from sync.pipeline.table_end import TableEnds
from sync.pipeline.table_run import TableRun
from sync.pipeline.turns import Turns


class Run:
    """One run over its tables."""

    def __init__(self, context: RunContext, tables: Sequence[TableRun]) -> None:
        self._context = context
        self._tables = tables
        self._action = action_of(context.request)
        self._state = RunState()
        self._ends = TableEnds(context, writes=self._action.writes)
        self._turns = Turns(context, self._state, tables)
        self._evaluating = Evaluating(context)
        self._warnings: list[TableWarning] = []

    def report(self) -> RunReport:
        """Do what was requested. Errors end in the report, not in an exception."""
        self._log_start()
        if self._action.watches:
            self._watch()
        elif self._action.studies:
            self._study()
        elif self._action.writes:
            self._under_lease()
        else:
            self._work_through(self._tables)
        report = self._make_report()
        self._log_end(report)
        return report

    def _make_report(self) -> RunReport:
        context = self._context
        tables = [self._ends.reports[run.name] for run in self._tables]
        report = RunReport(context.run_id, context.request, tables, warnings=self._warnings)
        if self._action.writes:
            report.continued = ask_for_the_rest(context, report)
        report.seconds = context.clock.monotonic() - context.started
        report.aito_calls = context.target.calls
        self._estimate(report)
        report.warnings = [*report.warnings, *limit_warnings(report.monthly_calls)]
        return report

    def _estimate(self, report: RunReport) -> None:
        """Enter what a month of syncs, and the ledger of one sync, would cost. Of a dry run."""
        context = self._context
        if not context.request.dry_run or context.request.action != "sync":
            return
        now = context.clock.utc()
        evaluates = any(run.table.evaluate for run in self._tables)
        since = now - MEMORY if evaluates else None
        with suppress(SyncError):  # the ledger is away, which the tables say
            report.monthly_calls = monthly_calls(context, self._tables)
            report.ledger_bytes = context.ledger.bytes_of_sync(now, since)

    def _log_start(self) -> None:
        request = self._context.request
        names = [run.name for run in self._tables]
        self._context.events(
            "run_started",
            f"{request.action} of {counted(len(names), 'table')}",
            action=request.action,
            tables=names,
            dry_run=request.dry_run,
        )

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
        with self._ends.all_fail_together(self._tables):
            records = self._evaluating.records([run.name for run in self._tables])
            if self._action.evaluates:
                with self._evaluating.harmless():
                    self._evaluating.resume(records)
            for run in self._tables:
                with self._ends.guarded(run):
                    rejects = records.open_rejects.get(run.name, 0)
                    self._evaluating.warn(run)
                    report_freshness(run, records.syncs.get(run.name), rejects)
                self._ends.end(run)

    def _study(self) -> None:
        """Begin a study of each table, or go on with the one that is open. Takes no lease."""
        names = [table.name for table in self._context.settings.tables]
        with self._ends.all_fail_together(self._tables):
            known = self._evaluating.records(names)
            for run in self._tables:
                with self._ends.guarded(run):
                    self._evaluating.study(run, known)
            if not self._context.request.dry_run:
                self._evaluating.resume(self._evaluating.records(names))
            for run in self._tables:
                self._ends.end(run)

    def _under_lease(self) -> None:
        free = self._take_leases()
        if not free:
            return
        unfinished = {run.name for run in free}  # until it is known how they ended
        lease = self._context.lease
        with lease.kept(unfinished):
            self._work_through(free)
            unfinished -= self._state.finished
            unfinished -= {run.name for run in free if self._ends.is_ok(run)}
            begun = self._state.begun | set(lease.unfinished)
            unfinished &= begun  # a table that no run has touched needs no second look

    def _take_leases(self) -> list[TableRun]:
        """The tables that no other run holds, in order. The others end here."""
        free: list[TableRun] = []
        lease = self._context.lease
        with self._ends.all_fail_together(self._tables):
            self._read_ledger()
            busy = lease.take([run.name for run in self._tables])
            self._state.unfinished = lease.unfinished
            free = self._turns.in_order([run for run in self._tables if run.name not in busy])
            for run in self._tables:
                if run.name in busy:
                    self._ends.fail(run, busy[run.name])
        return free

    # -- the tables

    def _work_through(self, tables: Sequence[TableRun]) -> None:
        """Load parents first, purge children first, then finish each table."""
        with self._ends.all_fail_together(tables):
            if not self._action.writes:
                self._read_ledger()
                if not self._context.key_may_write:
                    self._context.target.check_writable()
            self._state.schema = dict(self._context.target.schema())
            for run in tables:
                with self._ends.guarded(run):
                    self._begin(run, is_first=run is tables[0])
            self._warnings = report_removed(self._context, self._state)
            self._purge(tables)
            for run in tables:
                self._optimize(run)
            self._evaluate(tables)
            for run in tables:
                self._evaluating.warn(run)
                self._ends.end(run)

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
        elif self._turns.had_turn(run):
            self._ends.pass_over(run)
        else:
            deadline.check(run.name)

    def _purge(self, tables: Sequence[TableRun]) -> None:
        if not self._action.purges:
            return
        names = {run.name for run in tables}
        for run in reversed(self._tables):
            if run.name in names and self._ends.is_ok(run) and run.table.cursor:
                with self._ends.guarded(run):
                    purge(run)

    def _optimize(self, run: TableRun) -> None:
        """Optimize a changed table. One that is not optimized is slower, not wrong."""
        progress = run.progress
        changed = progress.uploaded or progress.purged or progress.repaired or progress.deleted
        if not changed or not self._action.writes or self._context.deadline.over:
            return
        try:
            with self._ends.measured(run):
                run.lease.check()
                run.target.optimize(run.name)
        except SyncError as error:
            message = f"{run.name}: optimize failed, the next run does it: {error}"
            run.events("optimize_failed", message, "WARNING", table=run.name)

    def _evaluate(self, tables: Sequence[TableRun]) -> None:
        """Collect the evaluations that have ended, and start one of the tables that ended ok."""
        if not self._action.evaluates:
            return
        known = self._evaluating.collect(tables)
        loaded = [run for run in tables if self._ends.is_ok(run)]
        self._evaluating.launch(loaded, self._state.schema, known)


def run_tables(context: RunContext, tables: Sequence[TableRun]) -> RunReport:
    """Run the tables, parents before children, and report."""
    return Run(context, tables).report()
