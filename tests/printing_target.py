"""A target that prints rows and keeps them in memory: an example of another target than Aito."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sync.base.errors import ActionRequired
from sync.model.batches import Batch
from sync.model.columns import Column, SchemaDifference, TargetSchema, TargetTable
from sync.model.conditions import AllOf, AnyOf, Before, Between, Condition, OneOf
from sync.model.records import JobStatus

Row = dict[str, Any]


class PrintingTarget:
    """Tables in memory. Implements sync.model.ports.Target."""

    page_rows = 10_000
    calls = 0
    unknown_deletes = 0
    upserts_in_two_steps = False

    def __init__(self) -> None:
        self.tables: dict[str, TargetTable] = {}
        self.held: dict[str, list[Row]] = {}

    # -- what it cannot do, or does not need

    def upsert_in_two_steps(self) -> None:
        """Do nothing: one step does not go wrong here."""

    def check_writable(self) -> None:
        """Do nothing: there is no key."""

    def optimize(self, table: str) -> None:
        """Do nothing: there are no segments."""

    def engine(self) -> str | None:
        """No build is reported."""
        return None

    def start_evaluation(self, query: Mapping[str, Any]) -> str:
        """Raises ActionRequired."""
        raise ActionRequired("this target evaluates nothing")

    def evaluation_status(self, job_id: str) -> JobStatus:
        """Raises ActionRequired."""
        raise ActionRequired("this target evaluates nothing")

    def evaluations_since(self, since: datetime) -> list[str]:
        """There are none."""
        return []

    def evaluation_answer(self, job_id: str) -> Any:
        """Raises ActionRequired."""
        raise ActionRequired("this target evaluates nothing")

    # -- tables

    def schema(self) -> TargetSchema:
        """Every table by name."""
        return dict(self.tables)

    def hidden_kind(self, name: str) -> str | None:
        """Nothing is hidden."""
        return None

    def compare(self, table: str, wanted: Sequence[Column], held: TargetTable) -> SchemaDifference:
        """The columns that are missing. It takes values of any type, so nothing else differs."""
        missing = [column for column in wanted if column.name not in held.columns]
        return SchemaDifference(tuple(missing))

    def create(self, table: str, columns: Sequence[Column]) -> None:
        """Make an empty table."""
        self.tables[table] = TargetTable({column.name: column for column in columns})
        self.held[table] = []

    def add_column(self, table: str, column: Column) -> None:
        """Add a column."""
        self.tables[table] = TargetTable({**self.tables[table].columns, column.name: column})

    def drop(self, table: str) -> None:
        """Remove a table."""
        self.tables.pop(table, None)
        self.held.pop(table, None)

    def rename(self, table: str, new: str) -> None:
        """Rename a table over another one."""
        self.tables[new] = self.tables.pop(table)
        self.held[new] = self.held.pop(table)

    # -- reads

    def count(self, table: str, condition: Condition | None = None) -> int:
        """How many rows match."""
        return len(self._matching(table, condition))

    def newest(self, table: str, cursor: str, before: int) -> tuple[int | None, int]:
        """The newest cursor before a second, and the rows before it."""
        cursors = [row[cursor] for row in self._matching(table, Before(cursor, before))]
        return max(cursors, default=None), len(cursors)

    def oldest(self, table: str, cursor: str) -> int | None:
        """The oldest cursor."""
        return min((row[cursor] for row in self.held[table]), default=None)

    def cursor_at(self, table: str, cursor: str, before: int, rows: int) -> int | None:
        """The cursor of the row that has so many rows before it."""
        cursors = sorted(row[cursor] for row in self._matching(table, Before(cursor, before)))
        return cursors[rows] if rows < len(cursors) else None

    def rows(
        self, table: str, condition: Condition, key: str, columns: Sequence[str]
    ) -> Iterator[Row]:
        """The given columns of every row that matches, in the key's order."""
        for row in sorted(self._matching(table, condition), key=lambda each: each[key]):
            yield {name: row[name] for name in columns if name in row}

    def _matching(self, table: str, condition: Condition | None) -> list[Row]:
        return [row for row in self.held[table] if condition is None or meets(row, condition)]

    # -- writes

    def insert(self, table: str, batch: Batch) -> None:
        """Print and store the rows of a batch."""
        print(table, batch.text)
        self.held[table] += json.loads(batch.body)

    def upsert(self, table: str, key: str, keys: Sequence[Any], batch: Batch) -> None:
        """Delete the rows with these keys and store the batch."""
        self.delete(table, OneOf(key, tuple(keys)))
        self.insert(table, batch)

    def delete(self, table: str, condition: Condition) -> int:
        """Delete the rows that match. Returns how many."""
        kept = [row for row in self.held[table] if not meets(row, condition)]
        deleted = len(self.held[table]) - len(kept)
        self.held[table] = kept
        return deleted


def meets(row: Row, condition: Condition) -> bool:
    """Whether a row meets a condition. Raises ActionRequired for one in Aito's language."""
    match condition:
        case Between(column, start, end):
            return bool(start <= row[column] < end)
        case Before(column, end):
            return bool(row[column] < end)
        case OneOf(column, values):
            return row.get(column) in values
        case AllOf(conditions):
            return all(meets(row, each) for each in conditions)
        case AnyOf(conditions):
            return any(meets(row, each) for each in conditions)
        case _:
            raise ActionRequired("a condition in Aito's query language")
