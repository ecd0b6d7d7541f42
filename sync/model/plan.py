"""The plan of one table's run, as a value. Making it writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sync.base.words import counted
from sync.model import window as windows
from sync.model.columns import Column
from sync.model.ports import SourceTable
from sync.model.window import NOTHING_KNOWN, Bucket, ClockFacts, Slice, Window


@dataclass(frozen=True)
class Changes:
    """What has to be made in the target before rows can be sent."""

    create: tuple[Column, ...] = ()  # all columns of a table that is missing or made anew
    add: tuple[Column, ...] = ()  # columns that the table lacks
    remade: tuple[str, ...] = ()  # how an empty table differs, which is dropped before

    def sentences(self, table: str) -> list[str]:
        """The changes in words."""
        if self.remade:
            differences = "; ".join(self.remade)
            return [f"table {table} is empty and made anew, as it differs: {differences}"]
        if self.create:
            return [f"table {table} with {counted(len(self.create), 'column')} is made"]
        return [f"column {column.name} ({column.type}) is added" for column in self.add]


@dataclass(frozen=True)
class Plan:
    """What a run of a table with a cursor is about. Cursors are epoch seconds.

    What is read:
    window: the range. refresh: why it is the whole keep range; None: it is not. is_range: the
        request names the range.
    slices: the window in parts. done_until: slices that end by then are done.
    slice_rows, sorted_rows: how many rows a slice holds, and how many the source sorts at once.
    cursorless: rows of the source without a cursor. clock: what else its cursors tell.
    key_sample: what was counted twice, to see if its keys are stable; None: nothing was.
    passed_over_since: start of the rows that a requested range passes over and no run has loaded;
        None: there are none.

    The target:
    changes: what must be made in it. exists: it has the table.
    watermark, target_rows: its newest cursor and its rows, before the window's end.
    rekeyed: it holds rows under keys that were made in another way.
    null_reads_false: it is known to read a null in a Boolean column as false.
    open_rejects: rows that earlier runs have rejected.

    How both ends are compared:
    whole_rows: by the whole content of rows, not by key and cursor alone.
    verify_since: both ends must be equal from here on when the run ends.
    keys_since: from here on the comparison goes by keys, because counts may hide a difference;
        None: counts are enough.
    left_since: start of what earlier runs have left uncompared; None: nothing.
    compared_from: interrupted runs have compared all from here to `keys_since`; None: nothing.

    What a later run must know:
    definition: fingerprint of what the rows are made of.
    resume_token: by what a later run recognises that it may resume; None: it may not.
    stage_token: the same, to read on from the stage. stage: the one that this run reads on from.
    """

    source: SourceTable
    changes: Changes
    exists: bool
    window: Window
    watermark: int | None = None
    target_rows: int = 0
    slices: tuple[Slice, ...] = ()
    cursorless: int = 0
    clock: ClockFacts = NOTHING_KNOWN
    slice_rows: int = 0
    sorted_rows: int = 0
    whole_rows: bool = False
    verify_since: int = 0
    keys_since: int | None = None
    refresh: str | None = None
    resume_token: str | None = None
    open_rejects: int = 0
    rekeyed: bool = False
    key_sample: Window | None = None
    definition: str = ""
    null_reads_false: bool = False
    is_range: bool = False
    left_since: int | None = None
    compared_from: int | None = None
    passed_over_since: int | None = None
    stage_token: str | None = None
    stage: str | None = None
    done_until: int | None = None

    def cut(self, buckets: Sequence[Bucket]) -> tuple[Slice, ...]:
        """The window, cut into slices by what was counted in it."""
        return tuple(windows.slices(self.window, buckets, self.slice_rows, self.sorted_rows))

    @property
    def is_refresh(self) -> bool:
        """Whether the whole keep range is processed."""
        return self.refresh is not None and not self.is_range

    @property
    def columns_read_false(self) -> list[str]:
        """The columns whose nulls the target is known to read as false."""
        if not self.null_reads_false:
            return []
        return [each.name for each in self.source.columns if each.type == "Boolean"]

    @property
    def rows(self) -> int:
        """Rows of the window."""
        return sum(part.rows for part in self.slices)

    @property
    def deletions(self) -> int:
        """Keys whose newest row deletes them."""
        return sum(part.deletions for part in self.slices)

    @property
    def compare_keys(self) -> bool:
        """Whether the comparison at the end goes by keys."""
        return self.keys_since is not None

    @property
    def rows_left(self) -> int:
        """Rows to read."""
        return sum(part.rows for part in self.left)

    @property
    def left(self) -> tuple[Slice, ...]:
        """The slices that are not done."""
        if self.done_until is None:
            return self.slices
        return tuple(part for part in self.slices if part.end > self.done_until)

    @property
    def keyless(self) -> int:
        """Rows to read that have no key."""
        return sum(part.keyless for part in self.slices)
