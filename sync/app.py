"""The composition root: settings -> clients -> a run. The only module that knows all adapters."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sync import config, evaluation, pipeline, status
from sync.aito import AitoTarget, RateLimiter, Transport
from sync.aito.transport import OnRepeat
from sync.aito.version import build
from sync.base.clock import Clock, Deadline
from sync.base.errors import SyncError
from sync.base.events import EventLog, ProgressWatcher, Sink, to_stdout
from sync.base.words import counted
from sync.bigquery import (
    BigQueryClient,
    BigQuerySession,
    BigQuerySource,
    Stages,
    identity,
    make_client,
)
from sync.config import BigQuerySettings, Settings, TableSettings
from sync.evaluation import EvaluationContext
from sync.gcp import Secret, api_key, publish
from sync.ledger import BigQueryLedger, LeaseTable, LedgerTables, RunLease
from sync.model.parts import Part, Parts
from sync.model.ports import Target
from sync.model.report import RunReport
from sync.model.request import Request
from sync.pipeline import ResetPlan, RunContext, TableRun, run_tables
from sync.status.console import Console

if TYPE_CHECKING:
    from sync.aito.conformance import ConformanceReport
    from sync.model.inspection import ChooseKeys, ChooseLinks, Inspection

DEFAULT_CONFIG = Path(__file__).parents[1] / "sync.yaml"
STUDY_SECONDS = 8 * 3_600.0  # a study that takes longer is continued by `watch`
# The deployment's scheduler waits 300 seconds for a watch: this and one request. Watches that hang
# would otherwise fill the function's four places, and the page and the sync would wait.
WATCH_SECONDS = 240.0
WAIT_SECONDS = 7_200.0  # an evaluation that takes longer is collected by a later `watch`


@dataclass(frozen=True)
class Services:
    """What lives as long as the process: settings, clients, the key, the rate of requests.

    key_may_write: whether Aito has just reported so. Otherwise a dry run requests it.
    """

    settings: Settings
    bigquery: BigQueryClient
    secret: Secret
    limiter: RateLimiter
    clock: Clock
    key_may_write: bool = False

    @classmethod
    def from_environment(cls, clock: Clock | None = None) -> Services:
        """Read the configuration and make the clients. Raises ConfigError, AccessDenied."""
        settings = read_settings()
        return cls.of(settings, make_client(settings.bigquery), clock or Clock())

    @classmethod
    def of(cls, settings: Settings, client: BigQueryClient, clock: Clock) -> Services:
        """The services over a client of BigQuery. Raises AccessDenied when no key is named."""
        project = os.environ.get("GOOGLE_CLOUD_PROJECT") or client.project
        key = api_key(settings.aito.api_key_secret, project, settings.aito.at("api_key_secret"))
        limiter = RateLimiter(settings.aito.requests_per_second, clock)
        return cls(settings, client, key, limiter, clock)


def read_settings() -> Settings:
    """The settings of the file that SYNC_CONFIG names. Raises ConfigError."""
    return config.load(os.environ.get("SYNC_CONFIG") or DEFAULT_CONFIG)


class Reach:
    """Looks at every part that a sync depends on, and writes nothing.

    services: what a run needs; None when the credentials or the key cannot be had.
    """

    def __init__(self, settings: Settings, on_part: Callable[[Part], None]) -> None:
        """on_part: is called with each part."""
        self.services: Services | None = None
        self._settings = settings
        self._clock = Clock()
        self._parts = Parts(on_part)
        if self._parts.look("credentials", self._credentials):
            if self._parts.look("BigQuery", self._bigquery):
                self._parts.look("ledger", self._ledger)
            if self._parts.look("key", self._key):
                self._parts.look("Aito", self._aito)

    @property
    def parts(self) -> list[Part]:
        """The parts that were looked at."""
        return self._parts.found

    @property
    def errors(self) -> list[SyncError]:
        """Why parts could not be used."""
        return self._parts.errors

    def _credentials(self) -> str:
        self._client = make_client(self._settings.bigquery)
        return identity(self._client)

    def _session(self) -> BigQuerySession:
        return BigQuerySession(self._client, self._settings.bigquery, "check", "check")

    def _bigquery(self) -> str:
        session = self._session()
        session.check_queries()
        return f"queries run in project {session.project}"

    def _ledger(self) -> str:
        session = self._session()
        dataset = LedgerTables(session, self._settings.ledger).dataset
        location = session.location_of(dataset, f"ledger {dataset}")
        if location is None:
            return f"{dataset} does not exist yet; the first sync makes it"
        return f"{dataset}, in {location}"

    def _key(self) -> str:
        services = Services.of(self._settings, self._client, self._clock)
        services.secret.get()
        self.services = services
        from_environment = os.environ.get("AITO_API_KEY", "").strip()
        if from_environment:
            return "AITO_API_KEY"
        return f"secret {self._settings.aito.api_key_secret}"

    def _aito(self) -> str:
        services = self.services
        assert services is not None  # `_key` made them
        deadline = Deadline.after(self._clock, self._settings.time_budget_seconds)
        target = _target(services, deadline)
        schema = target.schema()
        target.check_writable()
        self.services = replace(services, key_may_write=True)
        tables = counted(len(schema), "table")
        return f"{self._settings.aito.url}: {tables}; the key may write"


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
    builder = _Builder(services, request, sink, stopped, watcher)
    context = builder.context()
    chosen = [table for table in services.settings.parents_first() if _is_chosen(table, request)]
    return run_tables(context, [builder.table_run(context, table) for table in chosen])


def wait_for_evaluations(
    services: Services,
    tables: Collection[str] | None,
    sink: Sink = to_stdout,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Collect the evaluations of the named tables until none is open or due. None: of all tables.

    Takes WAIT_SECONDS at most. stopped: whether to end now. Raises what the ledger raises.
    """
    request = Request("watch")
    builder = _Builder(services, request, sink, stopped, seconds=WAIT_SECONDS)
    configured = services.settings.tables
    evaluation.wait_for(builder.evaluation_context(), configured, WAIT_SECONDS, tables)


def wait_for_study(
    services: Services,
    table: str,
    sink: Sink = to_stdout,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Go on with the study of a table until it ends. Takes STUDY_SECONDS at most.

    stopped: whether to end now. Raises what the ledger raises.
    """
    request = Request("watch")
    builder = _Builder(services, request, sink, stopped, seconds=STUDY_SECONDS)
    evaluation.wait_for_study(builder.evaluation_context(), table, STUDY_SECONDS)


def plan_reset(services: Services, name: str, sink: Sink = to_stdout) -> ResetPlan:
    """What a reset of a table would remove. Writes nothing. Raises SyncError."""
    context = _Builder(services, Request(), sink, action="reset").context()
    return pipeline.plan_reset(context, name)


def reset(services: Services, name: str, sink: Sink = to_stdout) -> ResetPlan:
    """Drop a table in Aito and forget its checkpoint. Returns what was removed.

    Raises Busy when another run holds the table, and any other SyncError.
    """
    builder = _Builder(services, Request(), sink, action="reset")
    removed = pipeline.reset_table(builder.context(), name)
    for table in services.settings.tables:
        if table.name == name:
            builder.drop_stages(table)
    return removed


def removed_tables(services: Services, sink: Sink = to_stdout) -> list[str]:
    """The tables that were synced once and that the configuration lacks now."""
    context = _Builder(services, Request(), sink, action="reset").context()
    known = context.ledger.known_tables(context.clock.utc())
    configured = {table.name for table in services.settings.tables}
    synced = [name for name, each in known.items() if each.checkpoint.definition is not None]
    return [name for name in synced if name not in configured]


def conformance(
    services: Services,
    *,
    read_only: bool = False,
    wait: bool = False,
    on_line: Callable[[str], None] = lambda _: None,
) -> ConformanceReport:
    """Check that Aito behaves as the sync assumes, with throw-away tables.

    read_only: make no table. wait: for the expiry of a job's result, 15 minutes.
    on_line: is called with each result in one line.
    Raises ActionRequired, AccessDenied, Unavailable when the checks cannot begin.
    """
    # The function never needs it.
    from sync.aito.conformance import WHOLE_SECONDS, ConformanceReport, run_conformance

    clock = services.clock
    transport = _transport(services, Deadline.after(clock, WHOLE_SECONDS))
    date = clock.utc().isoformat(timespec="seconds")
    results = run_conformance(
        transport,
        [table.name for table in services.settings.tables],
        read_only=read_only,
        wait=wait,
        clock=clock,
        on_result=lambda result: on_line(result.line),
    )
    return ConformanceReport(transport.url, build(transport.url) or "unknown", date, tuple(results))


def facts(services: Services) -> dict[str, Any]:
    """What the status page shows, from the ledger alone."""
    settings = services.settings
    session = BigQuerySession(services.bigquery, settings.bigquery, "status", "status")
    ledger = BigQueryLedger(LedgerTables(session, settings.ledger))
    console = Console.of(os.environ, session.project)
    return status.facts(settings, ledger, services.clock, console)


def inspect_tables(
    names: Sequence[str],
    choose_keys: ChooseKeys,
    choose_links: ChooseLinks,
    clock: Clock | None = None,
) -> Inspection:
    """Look at tables, views and datasets. Needs no configuration, and writes nothing.

    choose_keys: which columns may identify a row together, where none does alone.
    choose_links: which columns to compare with the keys of other tables.
    Raises BadRequest for a name that does not exist, AccessDenied, Unavailable.
    """
    from sync.bigquery.inspect import Inspector  # the function never needs it

    clock = clock or Clock()
    settings = BigQuerySettings()
    session = BigQuerySession(make_client(settings), settings, "init", "init")
    inspector = Inspector(session, settings.max_bytes_billed, choose_keys)
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
        sink: Sink,
        stopped: Callable[[], bool] = lambda: False,
        watcher: ProgressWatcher | None = None,
        action: str | None = None,
        seconds: float | None = None,
    ) -> None:
        """action: what BigQuery's jobs are labelled with; default the action of the request.

        seconds: how long it may take; default what the request's action may.
        """
        settings, clock = services.settings, services.clock
        self._services = services
        self._request = request
        self._now = clock.now()
        self._run_id = _new_run_id(self._now)
        self._events = EventLog(self._run_id, sink, watcher)
        self._started = clock.monotonic()
        budget = _budget(settings, request) if seconds is None else seconds
        self._deadline = Deadline.after(clock, budget, stopped)
        self._session = BigQuerySession(
            services.bigquery, settings.bigquery, self._run_id, action or request.action
        )
        sources = _sources(settings.tables, self._session.project)
        tables = LedgerTables(self._session, settings.ledger, sources)
        self._ledger = BigQueryLedger(tables)
        self._stages = Stages(self._session, settings.ledger, self._run_id)
        longest_write = settings.aito.timeout_seconds
        self._lease = RunLease(LeaseTable(tables), self._run_id, clock, longest_write)
        self._target = _target(services, self._deadline, self._before_repetition)

    def _before_repetition(self, what: str, answer: str, attempt: int) -> None:
        """Time has passed before a request is repeated, and perhaps the lease with it."""
        if self._lease.taken:
            self._lease.check()
        message = f"{what}: {answer}; sending it again"
        self._events("request_retried", message, "WARNING", attempt=attempt)

    def context(self) -> RunContext:
        """What all tables of the run share."""
        settings = self._services.settings
        return RunContext(
            run_id=self._run_id,
            now=int(self._now),
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
            key_may_write=self._services.key_may_write,
        )

    def evaluation_context(self) -> EvaluationContext:
        """What evaluations work with, outside of a run over tables."""
        return EvaluationContext(
            self._run_id,
            self._target,
            self._ledger,
            self._events,
            self._services.clock,
            self._deadline,
            self._services.settings.tables,
        )

    def drop_stages(self, table: TableSettings) -> None:
        """Drop what an unfinished load has left of a table's source."""
        BigQuerySource(self._session, stages=self._stages).drop_stages(table)

    def table_run(self, context: RunContext, table: TableSettings) -> TableRun:
        """One table of the run."""
        return TableRun(
            run_id=context.run_id,
            now=context.now,
            request=context.request,
            settings=context.settings,
            table=table,
            source=BigQuerySource(self._session, context.now, self._stages),
            target=context.target,
            ledger=context.ledger,
            lease=context.lease,
            events=context.events,
            clock=context.clock,
            deadline=context.deadline,
        )


def _budget(settings: Settings, request: Request) -> float:
    """How many seconds a request may take."""
    if request.action == "watch":
        return min(WATCH_SECONDS, settings.time_budget_seconds)
    return settings.time_budget_seconds


def _sources(tables: Sequence[TableSettings], project: str) -> list[str]:
    """What is read: "project.dataset" of each source, and each query."""
    datasets = [table.source.rpartition(".")[0] for table in tables if table.source]
    named = [name if "." in name else f"{project}.{name}" for name in dict.fromkeys(datasets)]
    return [*named, *(table.query for table in tables if table.query)]


def _target(
    services: Services, deadline: Deadline, on_repeat: OnRepeat = lambda *_: None
) -> Target:
    """The target of a run. Another target is made here."""
    return AitoTarget(_transport(services, deadline, on_repeat))


def _transport(
    services: Services, deadline: Deadline, on_repeat: OnRepeat = lambda *_: None
) -> Transport:
    aito = services.settings.aito
    return Transport(
        aito.url,
        services.secret,
        aito.timeout_seconds,
        services.limiter,
        deadline,
        on_repeat,
        setting=aito.at("url"),
    )


def _new_run_id(now: float) -> str:
    """now: epoch seconds."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"{moment:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def _publisher(topic: str | None) -> Callable[[Mapping[str, Any]], None] | None:
    if topic is None:
        return None
    return lambda message: publish(topic, message)
