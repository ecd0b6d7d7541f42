"""Makes the target's rows of a slice what the source's are.

Sends what is missing, replaces what differs, and deletes what the source no longer has. Deletions
are collected first and decided together, before the first of them. The source may change while it
is compared, so a row is deleted only if the source has no row of its key at all, or if the target
holds the key's other row.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from sync.model import batches
from sync.model.batches import Row
from sync.model.conditions import AllOf
from sync.model.keys import KeyState
from sync.model.plan import Plan
from sync.model.records import RowId
from sync.model.window import Slice, Window
from sync.pipeline.compare import (
    Hashes,
    TargetIndex,
    content_hash,
    read_contents,
    read_index,
    with_keys,
)
from sync.pipeline.delete_guard import DeleteGuard, check_shows_rows
from sync.pipeline.deliver import Delivery
from sync.pipeline.loaded import Loaded
from sync.pipeline.rejects import Reject, RejectBook
from sync.pipeline.table_run import TableRun, oldest


@dataclass(frozen=True)
class SliceRepair:
    """What a repair found. different: rows of the source that the target did not hold just so.

    stored_rows: rows of the source that the target should hold now.
    """

    different: int
    stored_rows: int


class Fate(Enum):
    """What becomes of a row that the target holds and this slice of the source does not."""

    GONE = "gone"  # deleted: the source has no row of its key
    REKEYED = "rekeyed"  # deleted: the same, and keys are made in another way now
    REQUESTED = "requested"  # deleted: the source's last row of its key says so (`deletes`)
    MOVED = "moved"  # deleted: the source has another row of its key, which the target holds
    OUTDATED = "outdated"  # deleted: the source's newest row of its key is rejected
    WAITS = "waits"  # stays: the target lacks that other row
    LATER = "later"  # stays until the next run: all rows of its key come after the window


@dataclass(frozen=True)
class ExtraRows:
    """The target's rows under one key, which a slice of the source does not have."""

    part: Slice
    key: str
    cursors: Sequence[int]

    @property
    def row_ids(self) -> set[tuple[str, int]]:
        """Key and cursor of each row."""
        return {(self.key, cursor) for cursor in self.cursors}


class Repairer:
    """Repairs slices of one table in one run."""

    def __init__(
        self, run: TableRun, delivery: Delivery, rejects: RejectBook, loaded: Loaded
    ) -> None:
        self._run = run
        self._delivery = delivery
        self._rejects = rejects
        self._loaded = loaded
        self._guard = DeleteGuard(run)
        self._extra: list[ExtraRows] = []
        self._kept: set[tuple[str, int]] = set()  # key and cursor of rows that stay for now
        self._moved: set[tuple[str, int]] = set()  # the same, until the key's other row is here

    @property
    def waits_for_moved_rows(self) -> bool:
        """Whether an old row stays because the target lacks the key's other row."""
        return bool(self._moved)

    def repair(
        self, plan: Plan, part: Slice, *, delete: bool, contents: bool = False
    ) -> SliceRepair:
        """Send what the target lacks of a slice, and remember what it holds beside.

        delete: rows that the source does not have are to be deleted by `delete_extra`.
        contents: rows are compared by their whole content, not by key and cursor alone.
        """
        index, hashes = self._read_target(plan, part, contents=contents)
        progress = self._run.progress
        rejected_before = progress.rejected
        different = read = 0
        for batch in self._run.source.batches(plan.source, part, self._run.settings.batch):
            rows = [row for row in batch.read() if not row.deletes and self._is_synced(row)]
            wrong, upsert = self._differences(rows, index, hashes, plan.columns_read_false)
            if wrong:
                self._enter_repair(part)
            self._send(plan, wrong, upsert=upsert)
            different += len(wrong)
            read += len(rows)
        self._delivery.finish()
        rejected = progress.rejected - rejected_before
        progress.repaired += different - rejected
        if delete and index:
            self._enter_repair(part)
            self._extra += [ExtraRows(part, key, cursors) for key, cursors in index.items()]
        return SliceRepair(different, read - rejected)

    def _enter_repair(self, part: Slice) -> None:
        if self._loaded.repaired_from is None:
            self._loaded.repaired_from = part.start

    def _read_target(
        self, plan: Plan, part: Slice, *, contents: bool
    ) -> tuple[TargetIndex, Hashes | None]:
        """What the target holds of a slice. No hashes: contents are not compared."""
        if not plan.exists:
            return {}, None
        if contents:
            columns = [column.name for column in plan.source.columns]
            return read_contents(self._run, part, columns)
        return read_index(self._run, part), None

    def _is_synced(self, row: Row) -> bool:
        """Whether a row of the source should be in the target."""
        row_id = self._rejects.row_id(row)
        return row_id.key is not None and not self._rejects.holds(row_id)

    def _differences(
        self,
        rows: list[Row],
        index: TargetIndex,
        hashes: Hashes | None,
        read_false: Sequence[str],
    ) -> tuple[list[Row], bool]:
        """The rows that the target does not hold just so, and whether it holds any of their keys.

        read_false: columns whose nulls the target reads as false.
        Every key that was looked up is removed from the index.
        """
        wrong = []
        upsert = self._run.table.replaces_by_key
        for row in rows:
            row_id = self._rejects.row_id(row)
            cursors = index.pop(row_id.key or "", None)
            if cursors != [row_id.cursor] or _has_other_content(row, row_id, hashes, read_false):
                wrong.append(row)
                self._enter_held(row, cursors or [])
                upsert = upsert or cursors is not None
            elif row.fault is None:
                self._delivery.probe_with(row.document)
        return wrong, upsert

    def _enter_held(self, row: Row, cursors: Sequence[int]) -> None:
        """Enter what becomes of the target's rows under the key of a row that differs."""
        progress = self._run.progress
        if row.fault is None:
            progress.changed += bool(cursors)
        elif self._run.request.dry_run:  # a run counts what the target has deleted
            progress.add_outdated(len(cursors))

    def _send(self, plan: Plan, rows: list[Row], *, upsert: bool) -> None:
        if not self._run.request.dry_run:
            if rows:
                self._delivery.send(batches.of([row.text for row in rows]), upsert=upsert)
            return
        reasons = plan.source.reject_reasons
        for row in rows:
            if row.fault is not None:
                self._rejects.foresee(Reject(row, reasons[row.fault]))

    def delete_extra(self, plan: Plan) -> None:
        """Delete what the repairs found beside the source's rows.

        `Fate` lists what may become of a row. Moved rows count as repaired. Rows with a key that
        was made in another way count as repaired too, if the source has as many rows.
        Raises DeleteRefused or EmptySource before the first delete.
        """
        extra, self._extra = self._extra, []
        self._moved.clear()
        if not extra:
            return
        keys = sorted({each.key for each in extra})
        in_source = self._in_source(plan, keys)
        present = [key for key in keys if in_source.get(key) is KeyState.PRESENT]
        in_target = self._in_target(plan, present)
        rejected = self._rejects.keys()
        rows: Counter[Fate] = Counter()
        outdated = 0
        deleted: list[ExtraRows] = []
        for each in extra:
            fate = self._fate(plan, each, in_source, in_target, rejected)
            rows[fate] += len(each.cursors)
            if fate is Fate.LATER:
                self._kept |= each.row_ids
            elif fate is Fate.WAITS:
                self._moved |= each.row_ids
            elif fate is Fate.OUTDATED:
                # The reject may have deleted them already.
                here = in_target[each.key]
                outdated += sum(cursor in here for cursor in each.cursors)
                deleted.append(each)
            else:
                deleted.append(each)
        lost = max(0, rows[Fate.REKEYED] - plan.rows)
        gone = rows[Fate.GONE] + lost
        moved = rows[Fate.MOVED] + rows[Fate.REKEYED] - lost
        if gone and not in_source:
            begin = min(plan.window.start, plan.verify_since)
            check_shows_rows(self._run, plan.source.whole(), begin)
        self._guard.check(gone)
        self._delete_keys(plan, deleted)
        self._guard.add(gone)
        self._run.progress.deleted += gone
        self._run.progress.add_deletions(rows[Fate.REQUESTED])
        self._run.progress.add_outdated(outdated)
        self._run.progress.repaired += moved

    def _fate(
        self,
        plan: Plan,
        extra: ExtraRows,
        in_source: Mapping[str, KeyState],
        in_target: Mapping[str, set[int]],
        rejected: Collection[str],
    ) -> Fate:
        """What becomes of the rows. in_target: the cursors that the target holds of each key."""
        state = in_source.get(extra.key)
        if state is None:
            return Fate.REKEYED if plan.rekeyed else Fate.GONE
        if state is KeyState.DELETED:
            return Fate.REQUESTED
        if state is KeyState.LATER:
            return Fate.LATER
        if extra.key in rejected:
            return Fate.OUTDATED
        other_rows = in_target[extra.key] - set(extra.cursors)
        # A dry run sends no other row.
        must_wait = not other_rows and not self._run.request.dry_run
        return Fate.WAITS if must_wait else Fate.MOVED

    def _in_source(self, plan: Plan, keys: list[str]) -> dict[str, KeyState]:
        """The keys that the source has, each with its state.

        In `merge` an older row counts again when a newer one is taken back, however old it is.
        """
        start = plan.verify_since
        if self._run.table.replaces_by_key:
            start = min(start, oldest(self._run))
        whole = plan.source.whole()
        return self._run.source.keys_since(whole, Window(start, plan.window.end), keys)

    def _in_target(self, plan: Plan, keys: list[str]) -> dict[str, set[int]]:
        """The cursors of the rows that the target holds under these keys."""
        here: dict[str, set[int]] = {key: set() for key in keys}
        name, key, cursor = self._run.name, self._run.key, self._run.cursor
        for some in with_keys(self._run, plan, keys):
            for hit in self._run.target.rows(name, some, key, [key, cursor]):
                here[str(hit[key])].add(hit[cursor])
        return here

    def kept_between(self, start: int, end: int) -> int:
        """How many rows with a cursor in [start, end) stay although the window lacks them."""
        return sum(start <= cursor < end for _, cursor in self._kept | self._moved)

    def _delete_keys(self, plan: Plan, extra: Sequence[ExtraRows]) -> None:
        if self._run.request.dry_run:
            return
        for part, of_part in itertools.groupby(extra, key=lambda each: each.part):
            self._delete(plan, part, [each.key for each in of_part])

    def _delete(self, plan: Plan, part: Slice, keys: list[str]) -> None:
        """Delete rows of one slice alone: in another slice the same key may be right."""
        inside = self._run.cursor_between(part.start, part.end)
        for some in with_keys(self._run, plan, keys):
            self._run.lease.check()
            self._run.target.delete(self._run.name, AllOf((some, inside)))


def _has_other_content(
    row: Row, row_id: RowId, hashes: Hashes | None, read_false: Sequence[str]
) -> bool:
    """Whether the target's row of this key and cursor differs. No hashes: it is not compared."""
    if hashes is None or row_id.key is None or row_id.cursor is None:
        return False
    if row.fault is not None:  # the target holds an earlier state
        return True
    read = {name: False for name in read_false if row.values.get(name) is None}
    return hashes[row_id] != content_hash({**row.values, **read})
