"""One run over all tables: order, lease, time budget, report.

The only place where the adapters meet the verbs.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.cloud import bigquery

from sync import config
from sync.aito.transport import Pace, Transport
from sync.aito.v1 import Target
from sync.base.clock import Clock, Deadline
from sync.base.errors import Busy, LeaseLost, ActionRequired, OutOfTime, SyncError
from sync.base.events import Log, Severity, Sink, Watcher, to_stdout
from sync.bigquery import client as warehouse
from sync.bigquery.source import Source
from sync.config import Settings, TableSettings
from sync.evaluation import evaluation
from sync.gcp import topic
from sync.gcp.secret import Secret, secret
from sync.ledger.lease import Lease
from sync.ledger.ledger import Ledger
from sync.model.ports import Work
from sync.model.report import Request, RunReport, TableReport
from sync.pipeline import freshness as watch
from sync.pipeline.load import load
from sync.pipeline.plan import plan
from sync.pipeline.purge import purge
from sync.pipeline.reconcile import reconcile
from sync.pipeline.swap import replace
from sync.status import facts as status

RETRY_AFTER = 60  # seconds until an upstream that failed is worth another try
DEFAULT_CONFIG = Path(__file__).parents[2] / "sync.yaml"


@dataclass(frozen=True)
class Services:
    """What lives as long as the process: settings, clients, the key, the pace of requests."""

    settings: Settings
    bigquery: bigquery.Client
    secret: Secret
    pace: Pace
    clock: Clock

    @classmethod
    def from_environment(cls, clock: Clock | None = None) -> Services:
        """Read the configuration and make the clients. Raises ConfigError, AccessDenied."""
        clock = clock or Clock()
        settings = config.load(os.environ.get("SYNC_CONFIG") or DEFAULT_CONFIG)
        client = warehouse.client(settings.bigquery)
        key = secret(
            settings.aito.api_key_secret, os.environ.get("GOOGLE_CLOUD_PROJECT") or client.project
        )
        return cls(settings, client, key, Pace(settings.aito.requests_per_second, clock), clock)


def run(
    services: Services,
    request: Request,
    sink: Sink = to_stdout,
    stopped: Callable[[], bool] = lambda: False,
    watcher: Watcher | None = None,
) -> RunReport:
    """Do what was asked for and tell what was done. Errors end in the report, not in an exception.

    sink: takes the log; stopped: whether to end at the next batch; watcher: hears of progress.
    """
    moment = datetime.fromtimestamp(services.clock.now(), UTC)
    run_id = f"{moment:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}{request.mark(services.settings)}"
    return Run(services, request, run_id, Log(run_id, sink, watcher), stopped).report()


def facts(services: Services) -> dict[str, Any]:
    """What the status page shows, from the ledger alone."""
    reader = warehouse.Warehouse(services.bigquery, services.settings.bigquery, "status", "status")
    return status.facts(services.settings, Ledger(reader, services.settings), services.clock)


class Run:
    """The state of one run."""

    def __init__(
        self,
        services: Services,
        request: Request,
        run_id: str,
        log: Log,
        stopped: Callable[[], bool],
    ) -> None:
        self._services = services
        self._request = request
        self._run_id = run_id
        self._log = log
        self._clock = services.clock
        self._started = self._clock.monotonic()
        settings = services.settings
        self._deadline = Deadline.after(self._clock, settings.time_budget_seconds, stopped)
        self._now = int(self._clock.now())
        self._warehouse = warehouse.Warehouse(
            services.bigquery, settings.bigquery, run_id, request.action
        )
        self._ledger = Ledger(self._warehouse, settings)
        self._lease = Lease(self._ledger, run_id, self._clock, settings.aito.timeout_seconds)
        transport = Transport(
            settings.aito.url,
            services.secret,
            settings.aito.timeout_seconds,
            services.pace,
            self._deadline,
            self._repeated,
        )
        self._target = Target(transport)
        chosen = [
            t
            for t in settings.parents_first()
            if request.tables is None or t.name in request.tables
        ]
        self._works = [self._work(table) for table in chosen]
        self._evaluations: evaluation.Known = None

    def _repeated(self, what: str, answer: str, attempt: int) -> None:
        """Before a request is sent once more: time has passed, and with it perhaps the lease."""
        if not self._request.dry_run and self._request.action != "watch":
            self._lease.check()
        self._log(
            "batch_retried", f"{what}: {answer}; sending it again", "WARNING", attempt=attempt
        )

    def _work(self, table: TableSettings) -> Work:
        return Work(
            run_id=self._run_id,
            request=self._request,
            settings=self._services.settings,
            table=table,
            source=Source(self._warehouse, self._services.bigquery.project),
            target=self._target,
            ledger=self._ledger,
            lease=self._lease,
            log=self._log,
            clock=self._clock,
            deadline=self._deadline,
            report=TableReport(table.name),
            schema={},
        )

    def report(self) -> RunReport:
        """Run, and tell."""
        tables = [work.report for work in self._works]
        self._log(
            "run_started",
            f"{self._request.action} of {len(tables)} tables",
            action=self._request.action,
            tables=[t.table for t in tables],
            dry_run=self._request.dry_run,
        )
        report = RunReport(self._run_id, self._request, tables)
        if self._request.action == "watch":
            self._watch()
        elif self._request.dry_run:
            self._tables(self._works)
        else:
            self._under_lease()
            self._ask_for_the_rest(report)
        report.seconds = self._clock.monotonic() - self._started
        severity: Severity = "ERROR" if report.status == "failed" else "INFO"
        self._log(
            "run_done",
            f"{self._request.action}: {report.status}",
            severity,
            action=self._request.action,
            status=report.status,
            http_status=report.http_status,
            seconds=round(report.seconds, 3),
        )
        return report

    def _watch(self) -> None:
        """Collect, and tell how fresh each table is.

        Takes no lease, loads nothing, and leaves no row in `runs`.
        """
        with self._all_fail_together(self._works):
            if not self._request.dry_run:
                self._collect(self._works)
            schema, ended = self._target.schema(), watch.last_ok(self._works)
            for work in self._works:
                work.schema = schema
                with self._guarded(work):
                    watch.tell(work, ended.get(work.table.name))
                self._done(work)

    @property
    def _evaluating(self) -> bool:
        return self._request.action == "sync" and not self._request.dry_run

    def _collect(self, works: Sequence[Work]) -> None:
        with self._harmless():
            self._evaluations = evaluation.collect(works, everything=self._request.tables is None)

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """No evaluation stops a sync, not even by an error nobody thought of."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - what is measured must not be stopped by the measuring
            self._log("evaluation_failed", str(unforeseen(error)), "ERROR")

    def _under_lease(self) -> None:
        free: list[Work] = []
        with self._all_fail_together(self._works):
            busy = self._lease.take([work.table.name for work in self._works])
            for work in self._works:
                if error := busy.get(work.table.name):
                    _failed(work.report, error)
                    self._done(work)
                else:
                    work.inherited = self._lease.inherited
                    free.append(work)
        if free:
            self._lease.unfinished = [
                work.table.name for work in free
            ]  # until it is known what became of them
            with self._lease.kept():
                self._tables(free)
                self._lease.unfinished = [
                    work.table.name for work in free if work.report.status != "ok"
                ]

    def _tables(self, works: Sequence[Work]) -> None:
        """Load parents first, purge children first, then finish each table."""
        with self._all_fail_together(works):
            if self._evaluating:
                self._collect(works)
            schema = self._target.schema()
            for work in works:
                work.schema = schema
                with self._guarded(work):
                    if any(other.report.uploaded or other.report.repaired for other in works):
                        self._deadline.check(
                            work.table.name
                        )  # a run whose time is over begins nothing more
                    self._load(work)
            for work in reversed(works):
                if (
                    work.report.status == "ok"
                    and work.table.cursor
                    and self._request.action == "sync"
                ):
                    with self._guarded(work):
                        purge(work, self._now)
            for work in works:
                self._finish(work)

    def _load(self, work: Work) -> None:
        if work.table.mode == "replace":
            replace(work)
            return
        planned = plan(work, self._now)
        if self._request.action == "reconcile":
            reconcile(work, planned)
        elif not self._request.dry_run:
            load(work, planned)

    def _finish(self, work: Work) -> None:
        """What comes after the rows: settle Aito's segments, start evaluations, write the ledger,
        tell.
        """
        report = work.report
        if (report.uploaded or report.purged or report.repaired) and not self._request.dry_run:
            self._optimize(work)
        if report.status == "ok" and self._evaluating:
            with self._harmless():
                evaluation.launch(work, self._evaluations)
        self._done(work)

    def _optimize(self, work: Work) -> None:
        """A table that is not optimized is slower, not wrong: a failure is said and forgotten."""
        try:
            work.lease.check()
            work.target.optimize(work.table.name)
        except SyncError as error:
            self._log(
                "batch_retried",
                f"{work.table.name}: optimize failed, the next run does it: {error}",
                "WARNING",
                table=work.table.name,
            )

    def _done(self, work: Work) -> None:
        report = work.report
        report.bytes_processed = work.source.bytes
        # A table whose lease could not be had leaves no row: the ledger is out of reach, or holds
        # another run's.
        recorded = (
            self._lease.taken and not self._request.dry_run and self._request.action != "watch"
        )
        if recorded and report.status != "busy":  # a busy table has a row of the run that holds it
            with self._guarded(work):
                self._ledger.append("runs", [self._row(work)], [f"{self._run_id}-{report.table}"])
        severity: Severity = (
            "INFO" if report.status == "ok" else "ERROR" if report.status == "failed" else "WARNING"
        )
        nested = ("window", "watermark", "slices")
        body = {name: value for name, value in report.to_json().items() if name not in nested}
        message = f"{report.table}: {report.status}" + (f", {report.error}" if report.error else "")
        self._log(
            "table_done",
            message,
            severity,
            action=self._request.action,
            watermark=report.watermark_after,
            **body,
        )

    def _row(self, work: Work) -> dict[str, object]:
        report = work.report
        # So far a run through everything came: the call that goes on reads it here (plan).
        end = (
            report.covered
            if report.status == "partial" and report.covered is not None
            else report.end
        )
        return {
            "run_id": self._run_id,
            "table": report.table,
            "action": self._request.action,
            "status": report.status,
            "started_at": datetime.fromtimestamp(self._now, UTC).isoformat(),
            "finished_at": self._clock.timestamp(),
            "window_start": report.start,
            "window_end": end,
            **report.counts(),
            "watermark_after": report.watermark_after,
            "bytes_processed": report.bytes_processed,
            "error": report.error,
        }

    @contextmanager
    def _guarded(self, work: Work) -> Iterator[None]:
        """One bad table does not stop the others: what goes wrong in the body is the table's own
        report.
        """
        begun = self._clock.monotonic()
        try:
            yield
        except SyncError as error:
            _failed(work.report, error)
        except Exception as error:  # noqa: BLE001 - the edge: a table's failure, never a traceback
            _failed(work.report, unforeseen(error))
        finally:
            work.report.seconds += self._clock.monotonic() - begun

    @contextmanager
    def _all_fail_together(self, works: Sequence[Work]) -> Iterator[None]:
        """What goes wrong in the body itself, before any table's turn, is every table's failure."""
        try:
            yield
        except SyncError as error:
            for work in works:
                _failed(work.report, error)
                self._done(work)

    def _ask_for_the_rest(self, report: RunReport) -> None:
        rest = [t for t in report.tables if t.status == "partial"]
        if not rest or not self._services.settings.topic:
            return
        asked = {"action": self._request.action, "tables": [t.table for t in rest]}
        flags = {name: True for name in ("full_refresh", "deep") if getattr(self._request, name)}
        try:
            topic.publish(self._services.settings.topic, {**asked, **flags})
            report.continued = True
        except SyncError as error:
            self._log("batch_retried", str(error), "WARNING")


def _failed(report: TableReport, error: SyncError) -> None:
    """Write an error into a table's report."""
    report.error = str(error)
    report.http_status = error.status
    if isinstance(error, Busy):
        report.status, report.retry_after = "busy", error.retry_after
    elif isinstance(error, OutOfTime | LeaseLost):
        report.status, report.retry_after = "partial", 1
    else:
        report.status = "failed"
        report.retry_after = RETRY_AFTER if error.status == 503 else None


def unforeseen(error: Exception) -> SyncError:
    """An error nobody thought of, without its message, which may hold a row's value."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "?"
    return ActionRequired(f"internal error: {type(error).__name__} at {where}; please report it")
