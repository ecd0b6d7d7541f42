"""One table in one run: what its steps are given, and the progress that they add to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sync.base.clock import Clock, Deadline
from sync.base.events import EventLog
from sync.base.summary import without_numbers
from sync.config import Settings, TableSettings
from sync.model import window as windows
from sync.model.conditions import Before, Between
from sync.model.ports import Lease, Ledger, Source, Target
from sync.model.report import COUNTS, TableWarning, WarningCode
from sync.model.request import Request
from sync.model.window import Window


@dataclass
class Progress:
    """What was done so far. Steps add to it, also before they raise; none decides by it."""

    window: Window | None = None
    fetched: int = 0
    uploaded: int = 0
    skipped: int = 0
    rejected: int = 0
    repaired: int = 0
    changed: int = 0  # of `repaired`: rows whose key Aito held with other contents
    deleted: int = 0
    deleted_by_condition: int = 0  # of `deleted`: those that `deletes` names
    outdated: int = 0  # of `deleted`: those whose newest state was rejected
    purged: int = 0
    watermark_before: int | None = None
    watermark_after: int | None = None
    slices_planned: int = 0
    slices_done: int = 0
    verified: bool = False
    seconds: float = 0.0
    aito_calls: int = 0
    names: set[str] = field(default_factory=set)  # of columns, which a reason may show
    reject_reasons: Counter[str] = field(default_factory=Counter)
    warnings: list[TableWarning] = field(default_factory=list)
    evaluations: list[dict[str, str]] = field(default_factory=list)
    estimate: dict[str, Any] | None = None
    study: dict[str, Any] | None = None

    def add_deletions(self, rows: int) -> None:
        """Count rows that were deleted because the source says so (`deletes`)."""
        self.deleted += rows
        self.deleted_by_condition += rows

    def add_outdated(self, rows: int) -> None:
        """Count rows that were deleted because the newest row of their key was rejected."""
        self.deleted += rows
        self.outdated += rows

    @property
    def taken_back(self) -> int:
        """Deleted rows whose key the source still has: they are no sign of a lost source."""
        return self.deleted_by_condition + self.outdated

    def counts(self) -> dict[str, Any]:
        """The rows, by what became of them."""
        return {name: getattr(self, name) for name in COUNTS}


@dataclass(frozen=True)
class TableRun:
    """One table in one run. now: end of the run's window, epoch seconds."""

    run_id: str
    now: int
    request: Request
    settings: Settings
    table: TableSettings
    source: Source
    target: Target
    ledger: Ledger
    lease: Lease
    events: EventLog
    clock: Clock
    deadline: Deadline
    progress: Progress = field(default_factory=Progress)

    @property
    def name(self) -> str:
        """The target table."""
        return self.table.name

    @property
    def key(self) -> str:
        """The column that identifies a row. A table with a cursor always has one."""
        assert self.table.key_name
        return self.table.key_name

    @property
    def cursor(self) -> str:
        """The column that holds the cursor in epoch seconds."""
        assert self.table.cursor
        return self.table.cursor.column

    def cursor_between(self, start: int, end: int) -> Between:
        """The target's rows whose cursor lies in [start, end), epoch seconds."""
        return Between(self.cursor, start, end, self._has_wide_cursor)

    def cursor_before(self, end: int) -> Before:
        """The target's rows whose cursor is before `end`, epoch seconds."""
        return Before(self.cursor, end, self._has_wide_cursor)

    @property
    def _has_wide_cursor(self) -> bool:
        declared = self.table.named.get(self.cursor)
        return declared is not None and declared.type == "Long"

    def warn(self, code: WarningCode, message: str) -> None:
        """Add a warning to the report, and log it."""
        self.progress.warnings.append(TableWarning(code, message))
        summary = without_numbers(message, frozenset({self.name}))
        self.events(
            "table_warning",
            f"{self.name}: {message}",
            "WARNING",
            table=self.name,
            code=code,
            summary=summary,
        )

    def slice_done(self, start: int, end: int) -> None:
        """Count a slice, and log it."""
        progress = self.progress
        progress.slices_done += 1
        self.events(
            "slice_done",
            f"{self.name}: {progress.slices_done} of {progress.slices_planned} slices",
            table=self.name,
            slice_start=start,
            slice_end=end,
            **progress.counts(),
        )


def oldest(run: TableRun) -> int:
    """Start of the range whose rows are kept, epoch seconds."""
    return windows.window(run.now, None, 0, run.table.keep).start
