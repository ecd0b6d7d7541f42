"""What the target holds of the rows that were read, and in which state."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from sync.base.errors import Refused
from sync.model.batches import Batch, Row
from sync.model.conditions import AnyOf, Condition, OneOf
from sync.model.plan import Plan
from sync.model.window import Slice
from sync.pipeline.compare import TargetIndex
from sync.pipeline.null_booleans import NullBooleans
from sync.pipeline.table_run import TableRun

HeldRows = dict[str, list[dict[str, object]]]  # by key, each as often as the target holds it


class RowState(Enum):
    """How the target holds a row: exactly so, in another state, or not at all."""

    SAME = "same"
    OTHER = "other"
    ABSENT = "absent"


class Held:
    """Looks up rows in the target, and compares them with those that were read."""

    def __init__(self, run: TableRun, plan: Plan, nulls: NullBooleans) -> None:
        """nulls: knows whether this target reads a null as false."""
        self._run = run
        self._columns = [column.name for column in plan.source.columns]
        self._nulls = nulls

    def key(self, row: Row) -> str:
        """The key of a row as text."""
        return str(row.key(self._run.key))

    def of(self, rows: Sequence[Row]) -> HeldRows:
        """The target's rows under the keys of these rows."""
        if not rows:
            return {}
        return self._read(self._keys_of(rows))

    def of_slice(self, part: Slice, found: Sequence[Batch]) -> HeldRows:
        """The target's rows of a slice, and those under its keys, which may have any cursor."""
        span = self._run.cursor_between(part.start, part.end)
        good = [row for batch in found for row in batch.read() if row.fault is None]
        if not good or not self._run.table.replaces_by_key:
            return self._read(span)
        by_key = self._keys_of(good)
        try:
            return self._read(AnyOf((span, by_key)))
        except Refused:  # It may take fewer keys in one condition.
            return {**self._read(span), **self._read(by_key)}

    def states(self, rows: Sequence[Row], held: HeldRows) -> dict[str, RowState]:
        """The state of each row by its key, by the whole content.

        Every key that was looked up is removed from `held`.
        """
        return {self.key(row): self._state(row, held.pop(self.key(row), None)) for row in rows}

    def states_by_key(self, rows: Sequence[Row], index: TargetIndex) -> dict[str, RowState]:
        """The same by key and cursor alone."""
        states: dict[str, RowState] = {}
        for row in rows:
            cursors = index.get(self.key(row))
            if cursors is None:
                state = RowState.ABSENT
            elif cursors == [row.values[self._run.cursor]]:
                state = RowState.SAME
            else:
                state = RowState.OTHER
            states[self.key(row)] = state
        return states

    def _state(self, row: Row, held: list[dict[str, object]] | None) -> RowState:
        if held is None:
            return RowState.ABSENT
        is_same = len(held) == 1 and self._nulls.is_equal(_present(row.values), held[0])
        return RowState.SAME if is_same else RowState.OTHER

    def _keys_of(self, rows: Sequence[Row]) -> OneOf:
        return OneOf(self._run.key, tuple(row.values[self._run.key] for row in rows))

    def _read(self, condition: Condition) -> HeldRows:
        held: HeldRows = {}
        hits = self._run.target.rows(self._run.name, condition, self._run.key, self._columns)
        for hit in hits:
            held.setdefault(str(hit.get(self._run.key)), []).append(hit)
        return held


def _present(values: dict[str, object]) -> dict[str, object]:
    """A document as the target shows it: without its nulls."""
    return {name: value for name, value in values.items() if value is not None}
