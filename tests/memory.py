"""One table's run whose both ends, ledger, lease and clock are in memory. Tests need no server.

Rows are dicts with `id` and `unix`, the cursor in epoch seconds, as the target holds them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from sync.base.clock import Clock, Deadline
from sync.base.events import EventLog
from sync.config import BatchSettings, TableSettings, parse
from sync.model import batches
from sync.model.batches import DELETES, Batch
from sync.model.checkpoint import Checkpoint
from sync.model.columns import Column
from sync.model.conditions import Condition
from sync.model.keys import KeyState
from sync.model.plan import Changes, Plan
from sync.model.ports import Lease, Ledger, Source, SourceTable
from sync.model.records import OpenReject, RejectRecord
from sync.model.request import Request
from sync.model.stage import StagePlan
from sync.model.window import Bucket, Faults, Histogram, Slice, Totals, Window
from sync.pipeline.compare import fingerprint
from sync.pipeline.loaded import Loaded
from sync.pipeline.rejects import RejectBook
from sync.pipeline.table_run import TableRun
from tests.printing_target import PrintingTarget

Row = dict[str, Any]
NOW = 1_772_366_400  # 2026-03-01T12:00:00Z
HOUR = 3600
NAME = "t"
CONFIG = """
aito: {{url: "https://x.aito.app", api_key_secret: k}}
ledger: l
time_budget_seconds: 1000
batch: {{rows: {batch_rows}}}
tables:
  - name: t
    source: d.s
    {table}
"""
WITH_CURSOR = "key: id\n    cursor: {source: at, column: unix}\n    keep: 30d"


def row(key: Any, unix: int, **more: Any) -> Row:
    """A row of the table."""
    return {"id": key, "unix": unix, **more}


def batch_of(rows: Sequence[Row], newest: int | None = None) -> Batch:
    """Rows as a batch. `fault` is a flag and no value; see `sync.model.batches`."""
    return batches.of([_text(each) for each in rows], newest)


def _text(each: Row) -> str:
    values = {name: value for name, value in each.items() if name != "fault"}
    flag = f"{each['fault']}\n" if "fault" in each else ""
    return flag + json.dumps(values, separators=(",", ":"))


class MemoryTarget(PrintingTarget):
    """Tables in memory, which say what was written to them, and fail as they are told.

    log: each write: its kind, and the keys of the rows, or the condition of a delete.
    answer: is called with the kind and the rows of each insert and upsert, or with the condition
    of a delete, before it is applied; it may raise, and apply the write itself.
    """

    def __init__(self, lease: MemoryLease) -> None:
        super().__init__()
        self._lease = lease
        self.read: list[Condition | None] = []  # what was counted and read
        self.on_read: Callable[[], None] = lambda: None
        self.log: list[tuple[str, Any]] = []
        self.answer: Callable[[str, Any], None] = lambda _kind, _rows: None

    @property
    def written(self) -> list[list[Any]]:
        """The keys of each insert and upsert, in order."""
        return [keys for kind, keys in self.log if kind in ("insert", "upsert")]

    @property
    def keys(self) -> list[Any]:
        """The keys that the table holds, sorted."""
        return sorted(each["id"] for each in self.held[NAME])

    def _matching(self, table: str, condition: Condition | None) -> list[Row]:
        self.read.append(condition)
        self.on_read()
        return super()._matching(table, condition)

    def insert(self, table: str, batch: Batch) -> None:
        """Store the rows of a batch."""
        self._write("insert", table, batch)

    def upsert(self, table: str, key: str, keys: Sequence[Any], batch: Batch) -> None:
        """Delete the rows with these keys and store the batch."""
        rows = self._write("upsert", table, batch)
        assert list(keys) == [each[key] for each in rows]

    def store(self, rows: Sequence[Row], *, upsert: bool = False, table: str = NAME) -> None:
        """Apply a write."""
        if upsert:
            new = {each["id"] for each in rows}
            self.held[table] = [each for each in self.held[table] if each["id"] not in new]
        self.held[table] += rows

    def create(self, table: str, columns: Sequence[Column]) -> None:
        """Make an empty table."""
        assert table not in self.tables
        super().create(table, columns)

    def drop(self, table: str) -> None:
        """Remove a table."""
        self.log.append(("drop", table))
        super().drop(table)

    def rename(self, table: str, new: str) -> None:
        """Rename a table over another one."""
        self._lease.use()
        self.log.append(("rename", table))
        self.answer("rename", table)
        super().rename(table, new)

    def delete(self, table: str, condition: Condition) -> int:
        """Delete the rows that match."""
        self._lease.use()
        self.log.append(("delete", condition))
        self.answer("delete", condition)
        return super().delete(table, condition)

    def _write(self, kind: str, table: str, batch: Batch) -> list[Row]:
        self._lease.use()
        rows: list[Row] = json.loads(batch.body)
        self.log.append((kind, [each["id"] for each in rows]))
        self.answer(kind, rows)
        self.store(rows, upsert=kind == "upsert", table=table)
        return rows


class MemoryLease(Lease):
    """A lease that must be looked at before each write."""

    def __init__(self) -> None:
        self._fresh = False

    def check(self) -> None:
        """The lease is held."""
        self._fresh = True

    def use(self) -> None:
        """A write begins."""
        assert self._fresh, "nobody has looked at the lease"
        self._fresh = False


@dataclass
class MemoryLedger(Ledger):
    """Rejects and deletions. open: rejects of earlier runs. recorded: those of this one."""

    open: list[OpenReject] = field(default_factory=list)
    recorded: list[RejectRecord] = field(default_factory=list)
    deleted: int = 0
    checkpoints: list[Checkpoint] = field(default_factory=list)
    asked_since: list[datetime] = field(default_factory=list)

    def record_rejects(self, records: Sequence[RejectRecord]) -> None:
        """Append rejects."""
        self.recorded += records

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Append a checkpoint."""
        self.checkpoints.append(checkpoint)

    def open_rejects(self, table: str, now: datetime) -> list[OpenReject]:
        """The rejects of earlier runs."""
        return self.open

    def deleted_since(self, table: str, since: datetime) -> int:
        """Rows that earlier runs have deleted."""
        self.asked_since.append(since)
        return self.deleted


@dataclass(frozen=True)
class MemoryTable:
    """How the source describes its table."""

    columns: tuple[Column, ...]
    reject_reasons: tuple[str, ...] = ("no key", "too large")
    reads_recent_only: bool = True
    key_text: str = "id"
    origins: dict[str, str] = field(default_factory=dict)
    cursor_text: str | None = "unix"
    keys_may_change: bool = False
    slice_rows: int = 10
    sorted_rows: int = 10
    source_types: dict[str, str] = field(default_factory=dict)
    open_integers: tuple[str, ...] = ()

    def with_names(self, names: object) -> Self:
        """The same table."""
        return self

    def with_wide(self, names: object) -> Self:
        """The same table."""
        return self

    def whole(self) -> MemoryTable:
        """The same table, read without leaving anything out."""
        return replace(self, reads_recent_only=False)


class MemorySource(Source):
    """Rows in memory. A row may have a `fault`. One dated from NOW on comes after the window."""

    def __init__(self) -> None:
        self.described = MemoryTable(())
        self.rows: list[Row] = []
        self.counted: list[tuple[bool, Window]] = []  # whether recent rows only, and the window
        self.on_count: Callable[[], None] = lambda: None
        self.read: list[Slice | None] = []  # of which batches were read
        self.asked_if_empty = 0
        self.unread: set[Any] = set()  # keys that a reading of recent rows leaves out
        self.stage_name: str | None = None  # None: nothing is staged
        self.stages: list[StagePlan | None] = []

    def _within(self, source: SourceTable, window: Window) -> list[Row]:
        """The rows of a window that the reading shows, the oldest first."""
        unread = self.unread if source.reads_recent_only else ()
        read = [each for each in self.rows if each["id"] not in unread]
        found = [each for each in read if window.start <= each["unix"] < window.end]
        return sorted(found, key=lambda each: each["unix"])

    def _newest(self, source: SourceTable, window: Window) -> list[Row]:
        """The newest row of each key, in the order of cursor and key."""
        newest: dict[Any, Row] = {}
        for each in self._within(source, window):
            if each["id"] is not None:
                newest[each["id"]] = each
        return sorted(newest.values(), key=lambda each: (each["unix"], str(each["id"])))

    def histogram(
        self,
        source: SourceTable,
        window: Window,
        watermark: int,
        rows: int,
        integers: Sequence[str] = (),
    ) -> Histogram:
        """Count rows and keys by the hour."""
        self.counted.append((source.reads_recent_only, window))
        self.on_count()
        every = self._within(source, window)
        newest = self._newest(source, window)
        hours = sorted({each["unix"] // HOUR * HOUR for each in every})
        return Histogram(tuple(self._bucket(hour, every, newest) for hour in hours))

    def _bucket(self, hour: int, every: Sequence[Row], newest: Sequence[Row]) -> Bucket:
        inside = [each for each in every if each["unix"] // HOUR * HOUR == hour]
        last = [each for each in newest if each in inside]
        kept = [each for each in last if each.get("fault") != DELETES]
        keys = {each["id"] for each in inside}
        return Bucket(
            start=hour,
            rows=len(inside),
            latest_per_key=len(kept),
            keyless=sum(each["id"] is None for each in inside),
            max_cursor=max(each["unix"] for each in every if each["id"] in keys),
            fingerprint=fingerprint({str(each["id"]): [each["unix"]] for each in kept}),
            deletions=len(last) - len(kept),
        )

    def stage(self, source: SourceTable, plan: StagePlan | None) -> str | None:
        """Note what would be staged."""
        self.stages.append(plan)
        return self.stage_name

    def batches(
        self, source: SourceTable, part: Slice | None, limits: BatchSettings
    ) -> Iterator[Batch]:
        """The newest rows of the keys of a slice."""
        self.read.append(part)
        found = self._newest(source, Window(-(2**62), NOW))
        if part is not None:
            found = [each for each in found if part.start <= each["unix"] < part.end]
        for first in range(0, len(found), limits.rows):
            some = found[first : first + limits.rows]
            yield batch_of(some, max(each["unix"] for each in some))

    def keys_since(
        self, source: SourceTable, window: Window, keys: Sequence[str]
    ) -> dict[str, KeyState]:
        """The state of each key that a row has."""
        assert not source.reads_recent_only, "an unread row may still exist"
        states: dict[str, KeyState] = {}
        for each in self._newest(source, Window(window.start, 2**62)):
            deletes = each.get("fault") == DELETES
            states[str(each["id"])] = KeyState.DELETED if deletes else KeyState.PRESENT
            if each["unix"] >= window.end:
                states[str(each["id"])] = KeyState.LATER
        for each in self._newest(source, window):
            if each.get("fault") != DELETES:
                states[str(each["id"])] = KeyState.PRESENT
        return {key: states[key] for key in keys if key in states}

    def is_empty(self, source: SourceTable, since: int) -> bool:
        """Whether there is no row at all."""
        self.asked_if_empty += 1
        return not self.rows

    def describe(self, table: TableSettings, *, prune: bool = True) -> MemoryTable:
        """The table that the test has named."""
        return self.described

    def wide_integers(self, source: SourceTable, integers: Sequence[str]) -> frozenset[str]:
        """No integer is beyond 32 bits."""
        return frozenset()

    def totals(self, source: SourceTable) -> Totals:
        """Count rows and keys."""
        keys = [each["id"] for each in self.rows if each["id"] is not None]
        return Totals(len(self.rows), len(set(keys)), len(self.rows) - len(keys))

    def distinct_rows(self, source: SourceTable, window: Window | None) -> int:
        """How many different rows there are."""
        return len({str(each) for each in self.rows})

    def faults(
        self,
        source: SourceTable,
        window: Window | None,
        spans: Sequence[Window] | None = None,
    ) -> Faults:
        """No faults are known."""
        return Faults()

    def count(self, source: SourceTable) -> int:
        """All rows."""
        return len(self.rows)


class Memory:
    """The run, and what it is given.

    events: the log. at: the monotonic clock. slept: the pauses.
    """

    def __init__(
        self,
        table: str = WITH_CURSOR,
        *,
        key_type: str = "String",
        batch_rows: int = 100,
        **request: Any,
    ) -> None:
        """table: lines of its configuration. request: fields of `Request`."""
        self.at = 0.0
        self.slept: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None
        self.events: list[Row] = []
        self.shown: list[int] = []  # progress, in rows
        # No step that is tested here calls the methods that they lack.
        self.lease = MemoryLease()  # type: ignore[abstract]
        self.ledger = MemoryLedger()  # type: ignore[abstract]
        self.source = MemorySource()  # type: ignore[abstract]
        self.target = MemoryTarget(self.lease)
        columns = (Column("id", key_type), Column("unix", "Int"), Column("yes", "Boolean"))
        self.described = MemoryTable(columns)
        self.target.create(NAME, columns)
        settings = parse(CONFIG.format(table=table, batch_rows=batch_rows))
        clock = Clock(now=lambda: NOW, monotonic=lambda: self.at, sleep=self._sleep)
        self.run = TableRun(
            run_id="run",
            now=NOW,
            request=Request(**request),
            settings=settings,
            table=settings.tables[0],
            source=self.source,
            target=self.target,
            ledger=self.ledger,
            lease=self.lease,
            events=EventLog("run", self.events.append, lambda _, rows: self.shown.append(rows)),
            clock=clock,
            deadline=Deadline(clock, 1000.0),
        )
        self.progress = self.run.progress
        self.loaded = Loaded()
        self.rejects = RejectBook(self.run, self.described, lambda: 1000)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.on_sleep()

    @property
    def rejected(self) -> list[str | None]:
        """The keys of the rejects that were recorded."""
        return [each.key for each in self.ledger.recorded]

    def both(self, rows: Sequence[Row]) -> None:
        """Put rows into both ends."""
        self.source.rows += rows
        self.target.held[NAME] += [
            {name: value for name, value in each.items() if name != "fault"} for each in rows
        ]

    def plan(self, start: int = NOW - 240 * HOUR, **fields: Any) -> Plan:
        """The plan of a window that begins at `start`, with slices of `slice_rows` rows."""
        plan = Plan(
            source=self.described,
            changes=Changes(),
            exists=True,
            window=Window(start, NOW),
            verify_since=start,
            slice_rows=self.described.slice_rows,
            sorted_rows=self.described.sorted_rows,
        )
        plan = replace(plan, **fields)
        counted = self.source.histogram(self.described, plan.window, NOW, plan.sorted_rows)
        self.source.counted.clear()
        return replace(plan, slices=plan.cut(counted.buckets))
