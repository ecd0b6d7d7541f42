"""Writes to one target table under the lease, and remembers what is known of the writes so far."""

from __future__ import annotations

from collections.abc import Sequence

from sync.model import batches
from sync.model.batches import Batch, Row
from sync.model.conditions import Condition
from sync.model.window import earliest
from sync.pipeline.table_run import TableRun


class Writer:
    """Single requests to one table of the target. No request goes out without the lease."""

    def __init__(self, run: TableRun, table: str) -> None:
        self._run = run
        self._table = table
        self._warned = False
        self.probe: str | None = None  # a document that the target is known to hold
        self.taken = 0  # rows that the target took
        # The earliest cursor of a row whose write may still be applied later.
        self.unsettled_since: int | None = None

    def write(self, batch: Batch, *, upsert: bool) -> None:
        """Send a batch once. Raises Refused, OutcomeUnknown, LeaseLost, AccessDenied."""
        self._run.lease.check()
        if upsert:
            keys = [row.values[self._run.key] for row in batch.read()]
            self._run.target.upsert(self._table, self._run.key, keys, batch)
            self._warn_of_two_steps()
        else:
            self._run.target.insert(self._table, batch)

    def send_probe(self) -> None:
        """Send the document that the target is known to hold once more. Raises as `write` does."""
        assert self.probe is not None
        self.write(batches.of([self.probe]), upsert=True)

    def delete(self, condition: Condition) -> int:
        """Delete what matches, and return how many. Raises OutcomeUnknown, LeaseLost."""
        self._run.lease.check()
        return self._run.target.delete(self._table, condition)

    def enter_unsettled(self, rows: Sequence[Row]) -> None:
        """Remember the rows of a write that may still be applied later.

        Deletes without an answer are counted by the target; see actions.
        """
        if self._run.table.cursor is None:
            return
        cursors = [row.values.get(self._run.cursor) for row in rows]
        self.unsettled_since = earliest(self.unsettled_since, *cursors)

    def count_taken(self, rows: int, last: str) -> None:
        """Count rows that the target took. `last` is the document of one of them."""
        self._run.progress.uploaded += rows
        self.taken += rows
        self.probe = last

    def _warn_of_two_steps(self) -> None:
        if self._run.target.upserts_in_two_steps and not self._warned:
            self._warned = True
            self._run.warn(
                "upsert_in_two_steps",
                "changed rows were replaced by a delete and an insert, because Aito's `_modify` "
                "did not do what it says; for a moment such a row is missing. `conformance` tells "
                "more",
            )
