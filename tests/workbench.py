"""A workbench: one test's own dataset, ledger and configuration on the shared stack, and runs in
this process.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from google.api_core.retry import Retry
from google.cloud import bigquery

from local import bigquery as emulator
from local.stack import Stack
from sync.base.clock import Clock
from sync.model.report import Request, RunReport, TableReport
from sync.pipeline.run import Services, run

NOW = 1_772_366_400  # 2026-03-01T12:00:00Z
DAY = 86_400
QUICK = Retry(timeout=10)  # an error of the emulator is not repeated for ten minutes


class Bench:
    """The dataset `name`, the ledger `name_ledger`, and runs at the time `now`; `events` are the
    last run's.
    """

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.stack, self.name, self.now = stack, name, NOW
        self.aito = stack.aito
        self.client = stack.bigquery.client()
        self.events: list[dict[str, Any]] = []
        self._monkeypatch = monkeypatch

    def sql(self, text: str) -> list[dict[str, Any]]:
        """Run one statement; {d} stands for the dataset."""
        self.client.create_dataset(self.name, exists_ok=True, retry=QUICK)
        return emulator.sql(self.client, text.replace("{d}", self.name))

    def load(
        self, table: str, schema: dict[str, str], rows: Iterable[dict[str, Any]], **options: Any
    ) -> None:
        """Append rows to a table of the dataset, making it when missing.

        schema: name -> BigQuery type.
        """
        fields = [bigquery.SchemaField(name, kind) for name, kind in schema.items()]
        emulator.load(self.client, f"{self.name}.{table}", fields, rows, **options)

    def services(self, *tables: dict[str, Any], **settings: Any) -> Services:
        """The configuration's services, at a clock that stands still and never waits."""
        aito = {"requests_per_second": 100_000, **settings.pop("aito", {})}
        config = self.stack.configure(
            name=f"{self.name}.yaml",
            ledger=f"{self.name}_ledger",
            aito=aito,
            tables=list(tables),
            **settings,
        )
        for name, value in self.stack.environ(config).items():
            self._monkeypatch.setenv(name, value)
        return Services.from_environment(Clock(now=lambda: self.now, sleep=lambda _: None))

    def run(
        self, *tables: dict[str, Any], request: Request | None = None, **settings: Any
    ) -> RunReport:
        """One run over the tables given."""
        services = self.services(*tables, **settings)
        self.events = []
        return run(services, request or Request(), self._hear)

    def ok(
        self, *tables: dict[str, Any], request: Request | None = None, **settings: Any
    ) -> TableReport:
        """One run that must end well: the report of its last table."""
        report = self.run(*tables, request=request, **settings)
        wrong = [f"{t.table} {t.status}: {t.error}" for t in report.tables if t.status != "ok"]
        assert not wrong, "; ".join(wrong) + f" {[r['reason'] for r in self.ledger('rejects')][:3]}"
        return report.tables[-1]

    def _hear(self, line: dict[str, Any]) -> None:
        self.events.append(line)

    def event(self, name: str) -> dict[str, Any]:
        """The one event of that name in the last run."""
        (found,) = [event for event in self.events if event["event"] == name]
        return found

    def ledger(self, kind: str) -> list[dict[str, Any]]:
        """The rows of a table of the ledger."""
        return emulator.sql(self.client, f"SELECT * FROM `{self.name}_ledger.{kind}`")

    def keys(self, table: str) -> list[Any]:
        """The `id` of every row in Aito, in order of the ids."""
        return sorted(row["id"] for row in self.aito.rows(table))

    def writes(self) -> int:
        """Write requests Aito got since it was last reset."""
        return self.aito.total("writes")


def table(name: str, source: str, **more: Any) -> dict[str, Any]:
    """A table of the configuration with the key `id` and the cursor `ts`."""
    return {
        "name": name,
        "source": source,
        "key": "id",
        "cursor": {"source": "ts", "column": "at"},
        **more,
    }


def civil(seconds: float) -> str:
    """Epoch seconds as BigQuery reads a DATETIME."""
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat()


def iso(seconds: float) -> str:
    """Epoch seconds as BigQuery reads a TIMESTAMP."""
    return civil(seconds) + "Z"
