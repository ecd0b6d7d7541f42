"""The workbench: one test's own source, configuration, ledger and runs on the shared stack.

Every use of the sync's own API in the tests of whole runs goes through this module. A name that
moves in `sync/` is changed here and nowhere else.

A workbench has a table of its own (`put`, `delete_from_source`). For it the workbench computes what
Aito must hold, from the rows that were put in and not by the code under test
(`assert_both_ends_equal`). Tests that need other columns or several tables make these with
`load_source` and `table`, and pass them to `run`.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from google.api_core.exceptions import NotFound
from google.api_core.retry import Retry
from google.cloud.bigquery import Client, SchemaField

from local import bigquery
from local.aito.server import Aito
from local.stack import Stack
from sync import app
from sync.app import Services, facts, run, wait_for_evaluations, wait_for_study
from sync.base.clock import Clock
from sync.bigquery import BigQuerySession, BigQuerySource
from sync.bigquery.session import label
from sync.bigquery.table import BigQueryTable
from sync.ledger.definitions import PARTITIONED_BY
from sync.model import window
from sync.model.ports import SourceTable
from sync.model.report import RunReport, TableReport
from sync.model.request import Request
from sync.model.sql import Query

__all__ = [
    "Clock",
    "Request",
    "RunReport",
    "Services",
    "TableReport",
    "Workbench",
    "facts",
    "label",
]

Row = dict[str, Any]

HOUR = 3600
DAY = 86_400
NOW = 1_772_366_400  # 2026-03-01T12:00:00Z
DATASET = "bench"
QUICK = Retry(timeout=10)  # the client's default repeats an emulator's error for ten minutes
NEW_RUN_ID = app._new_run_id
FAST = {"requests_per_second": 100_000, "timeout_seconds": 5}
IN_AN_HOUR = "TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 HOUR)"
LONG_AGO = "TIMESTAMP '2000-01-01 00:00:00+00'"
OWN_SCHEMA = [
    SchemaField("id", "STRING"),
    SchemaField("at", "TIMESTAMP"),
    SchemaField("value", "STRING"),
]
OWN_SCHEMA_WITH_NUMBERED_KEYS = [SchemaField("id", "INT64"), *OWN_SCHEMA[1:]]


# -- parts of a configuration and of a source


def table(name: str, source: str, **more: Any) -> Row:
    """A table of the configuration with the key `id`, and the cursor `ts`, which becomes `at`."""
    cursor = {"source": "ts", "column": "at"}
    return {"name": name, "source": source, "key": "id", "cursor": cursor, **more}


def batches_of(rows: int) -> Row:
    """The setting that limits a batch to so many rows."""
    return {"batch": {"rows": rows}}


def row(key: str | int, at: float, value: str = "v") -> Row:
    """A row of a workbench's own table. `at`: epoch seconds, fractions allowed."""
    return {"id": key, "at": datetime.fromtimestamp(at, UTC).isoformat(), "value": value}


def civil(seconds: float) -> str:
    """Epoch seconds as BigQuery reads a DATETIME."""
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat()


def iso(seconds: float) -> str:
    """Epoch seconds as BigQuery reads a TIMESTAMP."""
    return civil(seconds) + "Z"


# -- the sync's own limits, made small


def limit_slices(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Cut the window into slices of so many rows, so that a few rows make several."""
    monkeypatch.setattr(window, "SLICE_ROWS", rows)


def limit_sorting(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Let a worker of BigQuery sort so many rows, so that a slice has several chunks."""
    monkeypatch.setattr(BigQueryTable, "sorted_rows", rows)


def limit_page(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Let an answer of the target hold so many rows."""
    monkeypatch.setattr("sync.aito.AitoTarget.page_rows", rows)


def limit_noticeable_bytes(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let a run be worth a word that reads so many bytes."""
    monkeypatch.setattr("sync.pipeline.warnings.NOTICEABLE_BYTES", size)


def limit_renewal(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let a run renew its leases each time so many seconds have passed."""
    monkeypatch.setattr("sync.ledger.lease.RENEW_SECONDS", seconds)


def limit_calls_without_progress(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Let a table fail after so many calls in a row that made no progress."""
    monkeypatch.setattr("sync.pipeline.actions.MAX_CALLS_WITHOUT_PROGRESS", calls)


def limit_insert(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let the ledger put at most so many bytes into one insert."""
    monkeypatch.setattr("sync.bigquery.tables.INSERT_BYTES", size)


def hear_counts(monkeypatch: pytest.MonkeyPatch, hear: Callable[[bool], None]) -> None:
    """Call `hear` after each count of the source: whether it was bound to recent partitions."""
    histogram, totals = BigQuerySource.histogram, BigQuerySource.totals

    def counted(source: BigQuerySource, described: SourceTable, *rest: Any) -> Any:
        found = histogram(source, described, *rest)
        hear(described.reads_recent_only)
        return found

    def counted_whole(source: BigQuerySource, described: SourceTable) -> Any:
        found = totals(source, described)
        hear(False)
        return found

    monkeypatch.setattr(BigQuerySource, "histogram", counted)
    monkeypatch.setattr(BigQuerySource, "totals", counted_whole)


def hear_statements(monkeypatch: pytest.MonkeyPatch, hear: Callable[[str], None]) -> None:
    """Call `hear` with the text of each query that a run starts, dry runs excepted."""
    start = BigQuerySession._start

    def started(session: BigQuerySession, query: Query, *rest: Any, **named: Any) -> Any:
        hear(query.text)
        return start(session, query, *rest, **named)

    monkeypatch.setattr(BigQuerySession, "_start", started)


def replace_load(monkeypatch: pytest.MonkeyPatch, instead: Callable[..., None]) -> None:
    """Call `instead` where a run loads a table."""
    monkeypatch.setattr("sync.pipeline.actions.load", instead)


# -- the workbench


@dataclass
class Workbench:
    """One source dataset, one ledger, one table of its own, and runs in this process.

    name: of the own table in Aito.
    dataset: of the source; the ledger is `dataset_ledger`. The default is one name for all tests,
    because the emulator remembers statements by their text. It is emptied here. The
    ledger's empty tables stay: a test of how they are made calls `drop_ledger`. Whoever needs
    several workbenches at a time, or one for several tests, names a dataset for each.
    now: epoch seconds; the time of the next run. The real time when it is left out.
    mode, keep (seconds, None for ever), table: settings of the workbench's own table.
    numbered: whether its keys are INT64 and not STRING.
    settings: of the configuration, beside its tables.
    first: whether no run has had a lease of its tables. Else they are as an earlier run left them,
    as in most nights: without them a run sends three statements more, a tenth of its time.
    """

    stack: Stack
    name: str
    mode: str = "append"
    keep: int | None = 90 * DAY
    now: int = 0
    numbered: bool = False
    table: Row | None = None
    settings: Row | None = None
    dataset: str = DATASET
    shared_ledger: str | None = None
    first: bool = False

    def __post_init__(self) -> None:
        self.now = self.now or int(datetime.now(UTC).timestamp())
        self.client: Client = self.stack.bigquery.client()
        self.aito: Aito = self.stack.aito
        self.source_rows: list[Row] = []
        self.events: list[Row] = []  # of the last run
        self._leased: set[str] = set()
        self._runs = 0
        self._emptied = ""  # the ledger that was emptied here
        if self.dataset == DATASET:
            self.client.delete_dataset(self.dataset, delete_contents=True, not_found_ok=True)
            self._empty_ledger()

    # -- the source

    @property
    def source(self) -> str:
        """The own table in BigQuery."""
        return f"{self.dataset}.rows"

    def put(self, rows: Iterable[Row]) -> None:
        """Add rows to the own table. It is made when it is missing."""
        rows = list(rows)
        self.source_rows += rows
        schema = OWN_SCHEMA_WITH_NUMBERED_KEYS if self.numbered else OWN_SCHEMA
        bigquery.load(self.client, self.source, schema, rows)

    def delete_from_source(self, keys: Iterable[str | int]) -> None:
        """Delete all rows of these keys from the own table."""
        gone = set(keys)
        self.source_rows = [each for each in self.source_rows if each["id"] not in gone]
        listed = ", ".join(json.dumps(key) for key in sorted(gone, key=str))
        self.sql(f"DELETE FROM `{self.source}` WHERE id IN ({listed})")

    def load_source(
        self, table: str, schema: dict[str, str], rows: Iterable[Row], **options: Any
    ) -> None:
        """Append rows to any table of the dataset. It is made when it is missing.

        schema: column name -> BigQuery type. options: of `local.bigquery.load`.
        """
        fields = [SchemaField(name, kind) for name, kind in schema.items()]
        bigquery.load(self.client, f"{self.dataset}.{table}", fields, rows, **options)

    def session(self) -> BigQuerySession:
        """A session of the sync on this BigQuery."""
        services = self.services()
        return BigQuerySession(services.bigquery, services.settings.bigquery, "test", "sync")

    def sql(self, text: str) -> list[Row]:
        """Run one statement on the emulator. `{d}` stands for the dataset."""
        return bigquery.sql(self.client, text.replace("{d}", self.dataset))

    # -- configuration

    def table_config(self) -> Row:
        """The own table as the configuration has it."""
        config: Row = {"name": self.name, "source": self.source, "mode": self.mode, "key": "id"}
        config |= self.table or {}
        if "query" in config:
            del config["source"]
        if self.mode != "replace":
            config["cursor"] = {"source": "at", "column": "unix"}
            if self.keep is not None:
                config["keep"] = f"{self.keep}s"
        return config

    def configure(self, *tables: Row, **settings: Any) -> Path:
        """Write the configuration. -> its path.

        tables: the own table when none is given. settings: go before the workbench's own.
        """
        settings = {**(self.settings or {}), **settings}
        aito = {**FAST, **settings.pop("aito", {})}
        return self.stack.configure(
            name=f"{self.name}.yaml",
            ledger=self.ledger,
            aito=aito,
            tables=list(tables or [self.table_config()]),
            **settings,
        )

    def environment(self, *tables: Row, **settings: Any) -> dict[str, str]:
        """The environment of a process of the function that has this configuration."""
        return self.stack.environ(self.configure(*tables, **settings))

    def services(self, *tables: Row, clock: Clock | None = None, **settings: Any) -> Services:
        """What a process of the function holds. Its clock stands at `now` and never waits."""
        with mock.patch.dict("os.environ", self.environment(*tables, **settings)):
            return self._services(clock)

    def environment_here(self, *tables: Row, **settings: Any) -> dict[str, str]:
        """The same for a run in this process. It holds the key, unless a setting names a secret.

        To ask Secret Manager anew for each run takes a tenth of the run's time.
        """
        named = {**(self.settings or {}), **settings}.get("aito", {})
        key = {} if "api_key_secret" in named else {"AITO_API_KEY": self.aito.api_key}
        return {**self.environment(*tables, **settings), **key}

    def _services(self, clock: Clock | None) -> Services:
        clock = clock or Clock(now=lambda: self.now, sleep=lambda _: None)
        return Services.from_environment(clock)

    # -- runs

    def run(
        self,
        *tables: Row,
        settings: Row | None = None,
        clock: Clock | None = None,
        stopped: Callable[[], bool] = lambda: False,
        on_event: Callable[[Row], None] = lambda _: None,
        **request: Any,
    ) -> RunReport:
        """One run in this process, over the tables given or the own one.

        request: the fields of `Request`. stopped: whether the run is asked to end, such as by
        SIGTERM. on_event: is called with each line of the log.
        """
        self.events = []

        def hear(event: Row) -> None:
            self.events.append(event)
            on_event(event)

        if self.ledger == self._emptied and not self.first:
            self._give_leases_back({each["name"] for each in tables} or {self.name})
        with (
            mock.patch.dict("os.environ", self.environment_here(*tables, **(settings or {}))),
            mock.patch.object(app, "_new_run_id", self._new_run_id),
        ):
            return run(self._services(clock), Request(**request), hear, stopped)

    def _new_run_id(self, now: float) -> str:
        """The sync's own id, but numbered and not random.

        The id is part of a stage's name. The emulator remembers statements by their text.
        """
        self._runs += 1
        own = zlib.crc32(self.name.encode()) & 0xFFFF
        return f"{NEW_RUN_ID(now)[:-6]}{own:04x}{self._runs:02x}"

    def run_ok(self, *tables: Row, **options: Any) -> TableReport:
        """One run that must end ok. -> the report of its last table.

        options: of `run`. Where the run is over the own table, and no dry run, both ends must be
        verified and equal after it.
        """
        report = self.run(*tables, **options)
        wrong = [f"{t.table} {t.status}: {t.error}" for t in report.tables if t.status != "ok"]
        assert not wrong, "; ".join(wrong) + f" {self._reject_reasons()}"
        assert (report.status, report.http_status) == ("ok", 200)
        if not tables and not options.get("dry_run"):
            assert report.tables[-1].verified
            self.assert_both_ends_equal()
        return report.tables[-1]

    def wait(self, *tables: Row, clock: Clock, **settings: Any) -> None:
        """Wait for the evaluations of the tables, as `--wait` does. settings: as of `configure`."""
        self.events = []
        with mock.patch.dict("os.environ", self.environment_here(*tables, **settings)):
            wait_for_evaluations(self._services(clock), None, self.events.append)

    def wait_for_study(self, *tables: Row, name: str, clock: Clock) -> None:
        """Wait for the end of a table's study, as `retention --wait` does."""
        with mock.patch.dict("os.environ", self.environment_here(*tables)):
            wait_for_study(self._services(clock), name, self.events.append)

    def run_until_ok(self, calls: int = 3, **options: Any) -> list[RunReport]:
        """At most `calls` runs, the last of which is ok. Then both ends are equal."""
        reports = []
        for _ in range(calls):
            reports.append(self.run(**options))
            if reports[-1].status == "ok":
                self.assert_both_ends_equal()
                return reports
        answers = [(report.http_status, report.tables[0].error) for report in reports]
        raise AssertionError(f"not ok after {calls} runs: {answers}")

    def event(self, name: str) -> Row:
        """The one event of that name in the last run."""
        (found,) = [event for event in self.events if event["event"] == name]
        return found

    # -- the ledger

    @property
    def ledger(self) -> str:
        """The ledger's dataset."""
        return self.shared_ledger or f"{self.dataset}_ledger"

    def ledger_rows(self, kind: str) -> list[Row]:
        """All rows of one of the ledger's tables, such as "runs"."""
        return self.sql(f"SELECT * FROM `{self.ledger}.{kind}`")

    def rejects(self) -> list[Row]:
        """The ledger's rejects of the own table."""
        return self.sql(f"SELECT * FROM `{self.ledger}.rejects` WHERE `table` = '{self.name}'")

    def drop_ledger(self) -> None:
        """Let the next run make the ledger."""
        self._emptied = ""
        self.client.delete_dataset(self.ledger, delete_contents=True, not_found_ok=True)

    def _empty_ledger(self) -> None:
        """Delete all rows of the ledger. To make its tables anew costs more than a run."""
        if bigquery.empty(self.client, self.ledger) == set(PARTITIONED_BY):
            self._emptied = self.ledger
        else:
            self.drop_ledger()

    def _give_leases_back(self, tables: set[str]) -> None:
        """Let the leases of tables that had none be as an earlier run left them."""
        leases = [
            {"table": name, "run_id": "before", "expires_at": iso(0), "state": "done"}
            for name in tables - self._leased
        ]
        if leases:
            self.client.insert_rows_json(f"{self.ledger}.leases", leases)
        self._leased |= tables

    def expire_leases(self) -> None:
        """Let the time pass that the lease of a dead run lasts."""
        with suppress(NotFound):  # the run died before it made the table
            self.sql(
                f"UPDATE `{self.ledger}.leases` SET expires_at = {LONG_AGO}"
                " WHERE expires_at > CURRENT_TIMESTAMP()"
            )

    def hold_lease(self, run_id: str) -> None:
        """Let another run hold the lease of every table for an hour. The leases must be there."""
        self.sql(
            f"UPDATE `{self.ledger}.leases` SET run_id = '{run_id}',"
            f" expires_at = {IN_AN_HOUR}, state = 'held' WHERE TRUE"
        )

    def insert_lease(self, run_id: str, ends: str = IN_AN_HOUR) -> None:
        """Add a lease of the own table, as another run does. ends: SQL of a TIMESTAMP."""
        self.sql(
            f"INSERT INTO `{self.ledger}.leases` (`table`, run_id, expires_at, state)"
            f" VALUES ('{self.name}', '{run_id}', {ends}, 'held')"
        )

    def lease_states(self) -> list[str]:
        """The state of each lease."""
        return [lease["state"] for lease in self.ledger_rows("leases")]

    def start_over(self, aito_rows: Iterable[Row]) -> None:
        """Make these the rows in Aito, and delete the ledger's rows.

        The lease of the own table is as an earlier run left it, unless no run has had it.
        """
        if self.name in self.aito.schema():
            self.aito.delete_rows(self.name, {})
            self.aito.insert(self.name, list(aito_rows))
        bigquery.empty(self.client, self.ledger)
        if not self.first:
            self._leased.clear()
            self._give_leases_back({self.name})

    def _reject_reasons(self) -> list[str]:
        with suppress(NotFound):
            return [reject["reason"] for reject in self.ledger_rows("rejects")][:3]
        return []

    # -- Aito

    def aito_rows(self) -> list[Row]:
        """Every row of the own table in Aito. None when the table is not there."""
        return self.aito.rows(self.name) if self.name in self.aito.schema() else []

    def aito_keys(self, table: str | None = None) -> list[Any]:
        """The `id` of every row in Aito, sorted."""
        return sorted(held["id"] for held in self.aito.rows(table or self.name))

    def aito_writes(self) -> int:
        """Write requests that Aito got since its figures were last reset."""
        return self.aito.total("writes")

    # -- what Aito must hold of the own table

    def expected_rows(self) -> dict[str, list[Row]]:
        """By key the newest row in the window, as Aito shows it. Several when they tie."""
        newest: dict[str, tuple[datetime, list[Row]]] = {}
        for source_row in self.source_rows:
            if not self._in_window(_second(source_row)):
                continue
            key, moment = str(source_row["id"]), datetime.fromisoformat(source_row["at"])
            known = newest.get(key)
            if known is None or moment > known[0]:
                newest[key] = (moment, [self.expected_row(source_row)])
            elif moment == known[0]:
                known[1].append(self.expected_row(source_row))
        return {key: expected for key, (_, expected) in newest.items()}

    def expected_row(self, source_row: Row) -> Row:
        """A row of the own table as Aito shows it."""
        moment = datetime.fromisoformat(source_row["at"]).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        expected = {"id": source_row["id"], "at": moment, "value": source_row["value"]}
        if self.mode != "replace":
            expected["unix"] = _second(source_row)
        return expected

    def differences(self) -> list[str]:
        """Every difference between what Aito holds in the window and what it must hold.

        A missing row that is recorded as a reject is none.
        """
        held = [each for each in self.aito_rows() if self._in_window(each.get("unix"))]
        times = Counter(str(each["id"]) for each in held)
        expected = self.expected_rows()
        missing = expected.keys() - times.keys()
        rejected = {reject["key"] for reject in self.rejects()} if missing else set()
        found = [f"missing {key}" for key in sorted(missing - rejected)]
        found += [f"{count} times {key}" for key, count in sorted(times.items()) if count > 1]
        found += [f"extra {key}" for key in sorted(times.keys() - expected.keys())]
        for each in held:
            if each not in expected.get(str(each["id"]), [each]):
                found.append(f"not the newest {each}")
        return found

    def assert_both_ends_equal(self) -> None:
        """Aito holds exactly the rows that it must hold."""
        found = self.differences()
        assert not found, f"{len(found)} differences: {found[:10]}"

    def _in_window(self, second: int | None) -> bool:
        if self.mode == "replace" or second is None:
            return True
        start = -(2**62) if self.keep is None else self.now - self.keep
        return start <= second < self.now


def _second(source_row: Row) -> int:
    """The cursor in whole epoch seconds, rounded down."""
    return int(datetime.fromisoformat(source_row["at"]).timestamp() // 1)
