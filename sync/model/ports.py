"""What the verbs need of the world, and the work they are given: one table in one run.

The protocols are the shape of the adapters (source, target, ledger) as the verbs see them; no verb
imports an adapter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sync.base.clock import Clock, Deadline
from sync.base.events import Log
from sync.bigquery.queries import Origin, Parameter
from sync.config import Settings, TableSettings
from sync.model.batches import Batch
from sync.model.results import Request, TableReport
from sync.model.window import Bucket, Slice, Window

PAGE = 10_000  # Aito's hits a request; its own examples use it
Where = Mapping[str, Any]
Columns = Mapping[str, Mapping[str, Any]]


class Counted(Protocol):
    """A histogram of a window."""

    @property
    def buckets(self) -> tuple[Bucket, ...]: ...
    @property
    def cursorless(self) -> int: ...


class SourcePort(Protocol):
    """BigQuery, for reading. `bytes`: what it processed so far."""

    bytes: int

    def origin(
        self, table: TableSettings, *, prune: bool = True
    ) -> tuple[Origin, float | None]: ...
    def histogram(
        self, origin: Origin, span: Window, watermark: int, rows: int = ...
    ) -> Counted: ...
    def batches(
        self, origin: Origin, part: Slice | None, rows: int, size: int
    ) -> Iterator[Batch]: ...
    def estimate(self, origin: Origin, span: Window, parts: Sequence[Slice]) -> int: ...


class TargetPort(Protocol):
    """Aito."""

    def schema(self) -> dict[str, dict[str, Any]]: ...
    def create(self, table: str, columns: Columns) -> None: ...
    def add_column(self, table: str, name: str, column: Mapping[str, Any]) -> None: ...
    def drop(self, table: str) -> None: ...
    def rename(self, table: str, new: str) -> None: ...
    def count(self, table: str, where: Where | None = None) -> int: ...
    def newest(self, table: str, cursor: str, before: int) -> tuple[int | None, int]: ...
    def rows(
        self, table: str, where: Where, key: str, select: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]: ...
    def insert(self, table: str, batch: Batch) -> None: ...
    def replace(self, table: str, key: str, values: Sequence[Any], batch: Batch | None) -> None: ...
    def delete(self, table: str, where: Where) -> int: ...
    def optimize(self, table: str) -> None: ...
    def start_job(self, path: str, query: Mapping[str, Any]) -> str: ...
    def job(self, job_id: str) -> Mapping[str, Any]: ...
    def job_result(self, job_id: str) -> Any: ...


class LedgerPort(Protocol):
    """The sync's own records."""

    def append(
        self,
        kind: Literal["runs", "rejects", "evaluations", "leases"],
        rows: Sequence[Mapping[str, Any]],
        ids: Sequence[str],
    ) -> None: ...
    def rows(self, text: str, parameters: Sequence[Parameter] = ()) -> list[dict[str, Any]]: ...


class LeasePort(Protocol):
    """The lock of a run."""

    def check(self) -> None: ...


@dataclass
class Work:
    """One table in one run: everything a verb is given, and the report it fills."""

    run_id: str
    request: Request
    settings: Settings
    table: TableSettings
    source: SourcePort
    target: TargetPort
    ledger: LedgerPort
    lease: LeasePort
    log: Log
    clock: Clock
    deadline: Deadline
    report: TableReport
    schema: dict[str, dict[str, Any]]  # Aito's tables and columns, as far as the run knows
    rejected: set[tuple[str, int]] = field(
        default_factory=set
    )  # key and cursor of each row rejected in this run
    inherited: bool = False  # a run before this one did not finish: what it did is counted again
    deleted: int = 0  # rows removed, or about to be, because the source no longer has them

    @property
    def key(self) -> str:
        """The Aito column that identifies a row; config sees to it that tables with a cursor have
        one.
        """
        assert self.table.key
        return self.table.key

    @property
    def cursor(self) -> str:
        """The Aito column that holds the cursor in epoch seconds."""
        assert self.table.cursor
        return self.table.cursor.column


def between(cursor: str, start: int, end: int) -> Where:
    """Aito's condition for rows whose cursor lies in [start, end)."""
    return {"$and": [{cursor: {"$gte": start}}, {cursor: {"$lt": end}}]}


def one_of(column: str, values: Sequence[Any]) -> Where:
    """Aito's condition for rows whose column holds one of the values."""
    return {column: {"$or": list(values)}}
