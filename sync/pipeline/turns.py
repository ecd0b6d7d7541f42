"""Whose turn it is when the time of a run is not enough for all tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sync.pipeline.actions import RunState
from sync.pipeline.context import RunContext
from sync.pipeline.table_run import TableRun

CONTINUED = timedelta(hours=1)  # calls that go on with each other's work follow so soon


class Turns:
    """The order of tables, and which of them an earlier call of the same work has synced."""

    def __init__(self, context: RunContext, state: RunState, tables: Sequence[TableRun]) -> None:
        self._context = context
        self._state = state
        self._tables = tables

    @property
    def is_continued(self) -> bool:
        """Whether the call before this one had no time for all tables."""
        return any(self._state.known_table(run.name).is_waiting for run in self._tables)

    def in_order(self, tables: list[TableRun]) -> list[TableRun]:
        """Parents first; but when the last run had no time for a table, the longest unserved first.

        A parent was loaded by the run that had no time for its child.
        """
        if not self.is_continued:
            return tables
        never = datetime.min.replace(tzinfo=UTC)

        def served_at(run: TableRun) -> datetime:
            return self._state.known_table(run.name).served_at or never

        return sorted(tables, key=served_at)

    def had_turn(self, run: TableRun) -> bool:
        """Whether an earlier call of the same work has synced a table."""
        request = self._context.request
        known = self._state.known_table(run.name)
        if not self.is_continued or known.ok_at is None or known.is_waiting:
            return False
        age = self._context.clock.utc() - known.ok_at
        return age < CONTINUED and request.action == "sync" and not request.full_refresh
