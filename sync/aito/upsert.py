"""Replace rows by key, by a call whose answer and effect no public source shows.

`_modify` takes a delete and an insert as one atomic step. That is documented, but nobody has
recorded what it does: builds were seen that removed the wrong row. So the first upsert of each run
is read back. Where the table is not as it should be, rows are replaced in two steps instead: delete
by key and count, insert and count. The caller remembers that, so that no later run tries again.

A row that the first upsert removed by mistake may be any row of the table. So RowsLost is raised,
and the next run compares the whole table by keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from sync.base.errors import OutcomeUnknown, Refusal, Refused, RowsLost, Unknown
from sync.base.words import counted
from sync.model.batches import Batch
from sync.model.conditions import Condition, OneOf


class Calls(Protocol):
    """What this module needs of a target."""

    def count(self, table: str, condition: Condition | None = None) -> int:
        """How many rows match."""
        ...

    def rows(
        self, table: str, condition: Condition, key: str, columns: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """The given columns of every row that matches."""
        ...

    def insert(self, table: str, batch: Batch) -> None:
        """Store the rows of a batch."""
        ...

    def delete(self, table: str, condition: Condition) -> int:
        """Delete the rows that match. Returns how many were deleted."""
        ...

    def modify(self, table: str, condition: Condition, batch: Batch) -> int | None:
        """Delete the rows that match and store the batch, in one step.

        Returns how many rows were stored by the answer; None: it does not say.
        """
        ...


class Upserts:
    """The upserts of one run.

    in_two_steps: rows are deleted and inserted. rows_lost: other rows that the check found removed.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._is_checked = False
        self.in_two_steps = False
        self.rows_lost = 0

    def send(self, table: str, key: str, keys: Sequence[Any], batch: Batch) -> None:
        """Replace the rows with these keys by the batch.

        Raises Refused, OutcomeUnknown; RowsLost when the first upsert removed other rows.
        """
        condition = OneOf(key, tuple(keys))
        if self.in_two_steps:
            self._replace_in_two_steps(table, condition, batch)
        elif self._is_checked:
            self._calls.modify(table, condition, batch)
        else:
            self._check_first(table, condition, batch)

    def _check_first(self, table: str, condition: OneOf, batch: Batch) -> None:
        """Send the first batch in one step, read it back, and change the way if it was wrong."""
        if self._is_right(table, condition, batch):
            self._is_checked = True
            return
        self.in_two_steps = True
        self._replace_in_two_steps(table, condition, batch)
        if self.rows_lost:
            raise RowsLost(
                f"Aito: {table}: `_modify` removed {counted(self.rows_lost, 'other row')}; it is "
                "not used again, and the next run compares the whole table and loads what is lost"
            )

    def _is_right(self, table: str, condition: OneOf, batch: Batch) -> bool:
        """Send the batch by `_modify`, and tell whether the table is as it should be after."""
        rows_before = self._calls.count(table)
        replaced = self._calls.count(table, condition)
        try:
            inserted = self._calls.modify(table, condition, batch)
            if not replaced:
                # Nothing had to be deleted. The same again shows whether deleting works.
                inserted = self._calls.modify(table, condition, batch)
        except Refused as error:
            if error.cause in (Refusal.NOT_FOUND, Refusal.OTHER):
                return False
            raise
        stored = self._stored(table, condition)
        others = self._calls.count(table) - len(stored)
        # More of the others are no fault of this call: an earlier write may have come late.
        self.rows_lost = max(0, rows_before - replaced - others)
        is_once = len(stored) == len(set(stored)) == batch.rows
        return is_once and not self.rows_lost and inserted in (None, batch.rows)

    def _stored(self, table: str, condition: OneOf) -> list[Any]:
        """The keys of the rows that match, each as often as it is there."""
        key = condition.column
        return [row.get(key) for row in self._calls.rows(table, condition, key, [key])]

    def _replace_in_two_steps(self, table: str, condition: OneOf, batch: Batch) -> None:
        self._calls.delete(table, condition)
        self._calls.insert(table, batch)
        stored = self._calls.count(table, condition)
        if stored != batch.rows:
            sent = counted(batch.rows, "row was", "rows were")
            text = f"Aito: {table}: {sent} stored by key, and Aito counts {stored}"
            raise OutcomeUnknown(text, Unknown.NO_ANSWER)
