"""The composition root: settings -> clients -> a run. The only module that knows all adapters."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sync import config, status
from sync.aito import AitoTarget, RateLimiter, Transport
from sync.base.clock import Clock, Deadline
from sync.base.events import EventLog, ProgressWatcher, Sink, to_stdout
from sync.bigquery import BigQueryClient, BigQuerySession, BigQuerySource, make_client
from sync.config import BigQuerySettings, Settings, TableSettings
from sync.gcp import Secret, api_key, publish
from sync.ledger import BigQueryLedger, LeaseTable, LedgerTables, RunLease
from sync.model.report import RunReport
from sync.model.request import Request
from sync.pipeline import RunContext, TableRun, run_tables

if TYPE_CHECKING:
    from sync.model.inspection import ChooseLinks, Inspection

DEFAULT_CONFIG = Path(__file__).parents[1] / "sync.yaml"


@dataclass(frozen=True)
class Services:
    """What lives as long as the process: settings, clients, the key, the rate of requests."""

    settings: Settings
    bigquery: BigQueryClient
    secret: Secret
    limiter: RateLimiter
    clock: Clock

    @classmethod
    def from_environment(cls, clock: Clock | None = None) -> Services:
        """Read the configuration and make the clients. Raises ConfigError, AccessDenied."""
        clock = clock or Clock()
        settings = config.load(os.environ.get("SYNC_CONFIG") or DEFAULT_CONFIG)
        client = make_client(settings.bigquery)
        project = os.environ.get("GOOGLE_CLOUD_PROJECT") or client.project
        key = api_key(settings.aito.api_key_secret, project)
        limiter = RateLimiter(settings.aito.requests_per_second, clock)
        return cls(settings, client, key, limiter, clock)


def run(
    services: Services,
    request: Request,
    sink: Sink = to_stdout,
    stopped: Callable[[], bool] = lambda: False,
    watcher: ProgressWatcher | None = None,
) -> RunReport:
    """Do what was requested and report it. Errors end in the report, not in an exception.

    sink: takes the log. stopped: whether to end at the next batch. watcher: hears of progress.
    """
    now = services.clock.now()
    moment = datetime.fromtimestamp(now, UTC)
    run_id = f"{moment:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    events = EventLog(run_id, sink, watcher)
    builder = _Builder(services, request, run_id, events, stopped)
    context = builder.context(int(now))
    chosen = [table for table in services.settings.parents_first() if _is_chosen(table, request)]
    return run_tables(context, [builder.table_run(context, table) for table in chosen])


def facts(services: Services) -> dict[str, Any]:
    """What the status page shows, from the ledger alone."""
    settings = services.settings
    session = BigQuerySession(services.bigquery, settings.bigquery, "status", "status")
    ledger = BigQueryLedger(LedgerTables(session, settings.ledger))
    return status.facts(settings, ledger, services.clock)


def inspect_tables(
    names: Sequence[str], choose_links: ChooseLinks, clock: Clock | None = None
) -> Inspection:
    """Look at tables, views and datasets. Needs no configuration, and writes nothing.

    choose_links: which columns to compare with the keys of other tables.
    Raises BadRequest for a name that does not exist, AccessDenied, Unavailable.
    """
    from sync.bigquery.inspect import Inspector  # the function never needs it

    clock = clock or Clock()
    settings = BigQuerySettings()
    session = BigQuerySession(make_client(settings), settings, "init", "init")
    inspector = Inspector(session, settings.max_bytes_billed)
    tables = inspector.tables(names)
    links = inspector.links(choose_links(tables))
    return inspector.result(tables, links, int(clock.now()))


def _is_chosen(table: TableSettings, request: Request) -> bool:
    return table.enabled and (request.tables is None or table.name in request.tables)


class _Builder:
    """Connects the adapters of one run."""

    def __init__(
        self,
        services: Services,
        request: Request,
        run_id: str,
        events: EventLog,
        stopped: Callable[[], bool],
    ) -> None:
        settings, clock = services.settings, services.clock
        self._services = services
        self._request = request
        self._run_id = run_id
        self._events = events
        self._started = clock.monotonic()
        self._deadline = Deadline.after(clock, settings.time_budget_seconds, stopped)
        self._session = BigQuerySession(
            services.bigquery, settings.bigquery, run_id, request.action
        )
        tables = LedgerTables(self._session, settings.ledger)
        self._ledger = BigQueryLedger(tables)
        longest_write = settings.aito.timeout_seconds
        self._lease = RunLease(LeaseTable(tables), run_id, clock, longest_write)
        self._target = AitoTarget(self._transport())

    def _transport(self) -> Transport:
        aito = self._services.settings.aito
        return Transport(
            aito.url,
            self._services.secret,
            aito.timeout_seconds,
            self._services.limiter,
            self._deadline,
            self._before_repetition,
        )

    def _before_repetition(self, what: str, answer: str, attempt: int) -> None:
        """Time has passed before a request is repeated, and perhaps the lease with it."""
        if self._lease.taken:
            self._lease.check()
        message = f"{what}: {answer}; sending it again"
        self._events("request_retried", message, "WARNING", attempt=attempt)

    def context(self, now: int) -> RunContext:
        """What all tables of the run share."""
        settings = self._services.settings
        return RunContext(
            run_id=self._run_id,
            now=now,
            request=self._request,
            settings=settings,
            target=self._target,
            ledger=self._ledger,
            lease=self._lease,
            events=self._events,
            clock=self._services.clock,
            deadline=self._deadline,
            publish=_publisher(settings.topic),
            started=self._started,
        )

    def table_run(self, context: RunContext, table: TableSettings) -> TableRun:
        """One table of the run."""
        return TableRun(
            run_id=context.run_id,
            now=context.now,
            request=context.request,
            settings=context.settings,
            table=table,
            source=BigQuerySource(self._session),
            target=context.target,
            ledger=context.ledger,
            lease=context.lease,
            events=context.events,
            clock=context.clock,
            deadline=context.deadline,
        )


def _publisher(topic: str | None) -> Callable[[Mapping[str, Any]], None] | None:
    if topic is None:
        return None
    return lambda message: publish(topic, message)
