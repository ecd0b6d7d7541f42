"""Makes the target's rows of a slice what the source's are.

Sends what is missing, replaces what differs, and deletes what the source no longer has. Deletions
are collected first and decided together, before the first of them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from sync.model import batches
from sync.model.batches import Row
from sync.model.columns import NUMBER_TYPES, key_type
from sync.model.conditions import AllOf, Between, OneOf
from sync.model.plan import Plan
from sync.model.window import Slice, Window
from sync.pipeline.compare import TargetIndex, read_index
from sync.pipeline.delete_guard import DeleteGuard
from sync.pipeline.deliver import Delivery
from sync.pipeline.rejects import RejectBook
from sync.pipeline.table_run import TableRun

DELETE_KEYS = 500  # keys in the condition of one delete


@dataclass(frozen=True)
class SliceRepair:
    """What a repair found. different: rows of the source that the target did not hold just so.

    stored_rows: rows of the source that the target should hold now.
    """

    different: int
    stored_rows: int


class Repairer:
    """Repairs slices of one table in one run."""

    def __init__(self, run: TableRun, delivery: Delivery, rejects: RejectBook) -> None:
        self._run = run
        self._delivery = delivery
        self._rejects = rejects
        self._guard = DeleteGuard(run)
        self._extra: list[tuple[Slice, TargetIndex]] = []
        self._kept: list[tuple[str, int]] = []  # key and cursor of rows that stay for now
        self._key_is_number = False

    def repair(self, plan: Plan, part: Slice, *, delete: bool) -> SliceRepair:
        """Send what the target lacks of a slice, and remember what it holds beside.

        delete: rows that the source does not have are to be deleted by `delete_extra`.
        """
        index = read_index(self._run, part) if plan.exists else {}
        progress = self._run.progress
        rejected_before = progress.rejected
        different = read = 0
        for batch in self._run.source.batches(plan.source, part, self._run.settings.batch):
            rows = [row for row in batch.read() if self._is_synced(row)]
            wrong, upsert = self._differences(rows, index)
            self._send(wrong, upsert=upsert)
            different += len(wrong)
            read += len(rows)
        self._delivery.finish()
        rejected = progress.rejected - rejected_before
        progress.repaired += different - rejected
        if delete and index:
            self._extra.append((part, index))
            self._key_is_number = key_type(plan.source, self._run.key) in NUMBER_TYPES
        return SliceRepair(different, read - rejected)

    def _is_synced(self, row: Row) -> bool:
        """Whether a row of the source should be in the target."""
        row_id = self._rejects.row_id(row)
        return row_id.key is not None and not self._rejects.holds(row_id)

    def _differences(self, rows: list[Row], index: TargetIndex) -> tuple[list[Row], bool]:
        """The rows that the target does not hold just so, and whether it holds any of their keys.

        Every key that was looked up is removed from the index.
        """
        wrong = []
        upsert = self._run.table.mode == "merge"
        for row in rows:
            row_id = self._rejects.row_id(row)
            cursors = index.pop(row_id.key or "", None)
            if cursors != [row_id.cursor]:
                wrong.append(row)
                upsert = upsert or cursors is not None
            elif row.fault is None:
                self._delivery.probe_with(row.document)
        return wrong, upsert

    def _send(self, rows: list[Row], *, upsert: bool) -> None:
        if rows and not self._run.request.dry_run:
            self._delivery.send(batches.of([row.text for row in rows]), upsert=upsert)

    def delete_extra(self, plan: Plan) -> int:
        """Delete what the repairs found beside the source's rows. Returns how many rows.

        A key that has another row in the window was moved: its old row counts as repaired. So does
        every row under a key that was made in another way. A key whose rows all come after the
        window keeps its row until the next run replaces it. What is left is gone from the source,
        and the guard is asked before the first delete.
        Raises DeleteRefused.
        """
        extra, self._extra = self._extra, []
        keys = sorted({key for _, index in extra for key in index})
        if not keys:
            return 0
        whole = plan.source.whole()
        window = Window(plan.verify_since, plan.window.end)
        found = self._run.source.keys_since(whole, window, keys)
        deleted = []
        gone = moved = 0
        is_moved = found.keys() | (set(keys) if plan.rekeyed else set())
        for part, index in extra:
            for key, cursors in index.items():
                if found.get(key) is False:
                    self._kept += [(key, cursor) for cursor in cursors]
                    continue
                deleted.append((part, key))
                if key in is_moved:
                    moved += len(cursors)
                else:
                    gone += len(cursors)
        self._guard.check(gone)
        self._delete_keys(deleted)
        self._guard.add(gone)
        self._run.progress.deleted += gone
        self._run.progress.repaired += moved
        return gone + moved

    def kept_between(self, start: int, end: int) -> int:
        """How many rows with a cursor in [start, end) stay although the window lacks them."""
        return sum(start <= cursor < end for _, cursor in set(self._kept))

    def _delete_keys(self, found: list[tuple[Slice, str]]) -> None:
        if self._run.request.dry_run:
            return
        for part, of_part in itertools.groupby(found, key=lambda each: each[0]):
            self._delete(part, [key for _, key in of_part])

    def _delete(self, part: Slice, keys: list[str]) -> None:
        """Delete rows of one slice alone: in another slice the same key may be right."""
        inside = Between(self._run.cursor, part.start, part.end)
        values: list[int] | list[str] = keys
        if self._key_is_number:
            values = [int(key) for key in keys]
        for first in range(0, len(values), DELETE_KEYS):
            some = OneOf(self._run.key, tuple(values[first : first + DELETE_KEYS]))
            self._run.lease.check()
            self._run.target.delete(self._run.name, AllOf((some, inside)))
