"""The evaluations that go with a run. None of them stops a sync."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from sync import evaluation
from sync.evaluation import EvaluationContext, Known, LoadedTable
from sync.model.columns import TargetTable
from sync.model.records import WatchRecords
from sync.pipeline.context import RunContext
from sync.pipeline.outcome import unexpected
from sync.pipeline.table_run import TableRun


class Evaluating:
    """Collects and starts evaluations and studies for the tables of one run."""

    def __init__(self, context: RunContext) -> None:
        self._run = context
        self._context = EvaluationContext(
            context.run_id,
            context.target,
            context.ledger,
            context.events,
            context.clock,
            context.deadline,
            context.settings.tables,
        )

    def records(self, names: Sequence[str]) -> WatchRecords:
        """What the ledger knows of these tables' evaluations and syncs."""
        now = self._run.clock.utc()
        return self._run.ledger.watch_records(names, now - evaluation.MEMORY, now)

    def resume(self, records: WatchRecords) -> None:
        """Collect what has ended, and start what is due."""
        evaluation.resume(self._context, self._run.settings.tables, records)

    @contextmanager
    def harmless(self) -> Iterator[None]:
        """No evaluation stops a sync, not even by an error that nobody has thought of."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - measuring must not stop what is measured
            self._run.events("evaluation_failed", str(unexpected(error)), "ERROR")

    def collect(self, tables: Sequence[TableRun]) -> Known:
        """Collect evaluations that have ended. Tables that evaluate nothing pay nothing for it."""
        settings = [run.table for run in tables if run.table.evaluate]
        if not settings:
            return None
        everything = self._run.request.tables is None
        with self.harmless():
            return evaluation.collect(self._context, settings, everything=everything)
        return None

    def launch(
        self, tables: Sequence[TableRun], schema: Mapping[str, TargetTable], known: Known
    ) -> None:
        """Start an evaluation of these tables. known: what `collect` has returned."""
        runs = {run.name: run for run in tables if run.table.evaluate}
        loaded = [LoadedTable(run.table, run.progress.watermark_after) for run in runs.values()]
        if not loaded:
            return
        with self.harmless():
            for started in evaluation.launch(self._context, loaded, schema, known):
                entry = {"name": started.name, "job_id": started.job_id}
                runs[started.table].progress.evaluations.append(entry)

    def study(self, run: TableRun, known: WatchRecords) -> None:
        """Begin a retention study of a table, or go on with the one that is open."""
        request = self._run.request
        wanted = evaluation.Wanted(request.histories, request.evaluations)
        study = evaluation.begin_study(
            self._context, run.table, wanted, known.evaluations, dry_run=request.dry_run
        )
        run.progress.study = study.summary()

    def warn(self, run: TableRun) -> None:
        """Add what the evaluations of a table have found to its report."""
        for finding in self._context.findings:
            if finding.table == run.name:
                run.warn("evaluation", f"evaluation {finding.name}: {finding.message}")
