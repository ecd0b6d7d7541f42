"""Loads one table: slice by slice in the cursor's order, skipping what the target holds.

In order, so that the newest cursor in the target is always a true watermark. A crash costs at most
one batch, which the next run's lookback finds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from sync.model import batches
from sync.model.batches import Batch, Row
from sync.model.plan import Plan
from sync.model.stage import StagePlan
from sync.model.window import Slice
from sync.pipeline import compare
from sync.pipeline.closings import close_rejects
from sync.pipeline.compare import TargetIndex
from sync.pipeline.deliver import Delivery
from sync.pipeline.held import Held, HeldRows, RowState
from sync.pipeline.loaded import Loaded
from sync.pipeline.null_booleans import NullBooleans
from sync.pipeline.prefetch import batch_bytes, prefetch
from sync.pipeline.rejects import RejectBook
from sync.pipeline.repair import Repairer
from sync.pipeline.table_run import TableRun
from sync.pipeline.verify import Verifier

# Batches between two counts of what was sent. Each count is a request, and finds a loss early; what
# it would find is found at the end of the load as well.
COUNTED_BATCHES = 20


def load(run: TableRun, plan: Plan, loaded: Loaded) -> None:
    """Bring the window's rows into the target. Raises OutOfTime between two batches."""
    rejects = RejectBook(run, plan.source, lambda: plan.rows)
    if plan.done_until is not None:
        rejects.recall(plan.window.start, plan.done_until)
    delivery = Delivery(run, rejects, plan.source)
    try:
        Loader(run, plan, rejects, delivery, loaded).load()
    finally:
        loaded.unsettled_since = delivery.unsettled_since
    close_rejects(run, plan, rejects)


class Loader:
    """The slices of one plan."""

    def __init__(
        self,
        run: TableRun,
        plan: Plan,
        rejects: RejectBook,
        delivery: Delivery,
        loaded: Loaded,
    ) -> None:
        self._run = run
        self._plan = plan
        self._rejects = rejects
        self._delivery = delivery
        self._loaded = loaded
        self._rows_of_slice = 0  # in the batches of the slice that is being sent
        self._uncounted: list[Slice] = []  # slices that were sent and not counted in the target
        repairer = Repairer(run, delivery, rejects, loaded)
        self._verifier = Verifier(run, rejects, repairer, loaded)
        self._nulls = NullBooleans(run, plan)
        self._held = Held(run, plan, self._nulls)
        self._may_stage = loaded.stage is None

    def load(self) -> None:
        """All slices, then the comparison of both ends over the whole window."""
        if self._plan.cursorless:
            self._rejects.add_cursorless(self._plan.cursorless)
        slices = self._plan.left
        known = [part for part in slices if self._may_hold_rows(part)]
        unchanged = [self._load_known(part) for part in known]
        self._load_new(slices[len(known) :])
        is_unchanged = all(unchanged) and len(unchanged) == len(self._plan.slices)
        if is_unchanged and self._plan.verify_since >= self._plan.window.start:
            # Both ends were just found equal key by key: a count would tell less.
            self._run.progress.verified = True
            return
        self._verifier.verify_and_repair(self._plan)
        self._read_watermark()

    def _read_watermark(self) -> None:
        """Ask for the watermark where rejects or repairs may have changed the newest row."""
        progress = self._run.progress
        if progress.rejected or progress.repaired or progress.deleted:
            end = self._plan.window.end
            newest, _ = self._run.target.newest(self._run.name, self._run.cursor, end)
            progress.watermark_after = newest

    # -- reading

    def _stage_from(self, part: Slice) -> None:
        """Before the first slice is read: have it and all later ones read in one go.

        The slices before it were found unchanged, without being read.
        """
        if not self._may_stage:
            return
        self._may_stage = False
        plan = self._plan
        first = plan.slices.index(part)
        staged = StagePlan(plan.stage_token, plan.window, plan.slices, first, plan.cursorless)
        name = self._run.source.stage(plan.source, staged)
        if name:
            self._loaded.stage = name
            self._loaded.on_stage(name)

    def _read(self, part: Slice) -> Iterator[Batch]:
        """The batches of a slice, without those that an earlier run has sent."""
        found = self._run.source.batches(self._plan.source, part, self._run.settings.batch)
        return (batch for batch in found if not self._is_done(part, batch))

    def _is_done(self, part: Slice, batch: Batch) -> bool:
        """Whether an earlier run has sent the batch. Shards do not come in the cursor's order."""
        done_until = self._plan.done_until
        if done_until is None or part.parts > 1 or batch.newest is None:
            return False
        return batch.newest < done_until

    # -- slices of which the target holds nothing

    def _load_new(self, parts: Sequence[Slice]) -> None:
        """Send slices of which the target holds nothing. The next batches are read meanwhile."""
        if not parts:
            return
        self._stage_from(parts[0])
        steps = prefetch(self._read_new(parts), lambda step: batch_bytes(step[1]))
        for part, batch in steps:
            if batch:
                self._send_batch(part, batch)
            else:
                self._complete(part)

    def _read_new(self, parts: Sequence[Slice]) -> Iterator[tuple[Slice, Batch | None]]:
        """The batches of the slices; None after the last of each.

        The query of a slice begins while the slice before is sent: a query takes seconds before it
        returns the first row.
        """
        for part, found in prefetch(map(self._begin_reading, parts)):
            for batch in found:
                yield part, batch
            yield part, None

    def _begin_reading(self, part: Slice) -> tuple[Slice, Iterator[Batch]]:
        """A slice and its batches, of which the first has been read."""
        found = self._read(part)
        first = list(itertools.islice(found, 1))
        return part, itertools.chain(first, found)

    # -- slices of which the target may hold rows

    def _may_hold_rows(self, part: Slice) -> bool:
        """Whether the target may hold rows of the slice. After the watermark it holds none."""
        return self._plan.watermark is not None and part.start <= self._plan.watermark

    def _load_known(self, part: Slice) -> bool:
        """Send what the target lacks of a slice. Returns whether it held exactly its rows."""
        index = compare.index_to_match(self._run, self._plan, part)
        if compare.needs_no_reading(part, index):
            self._run.progress.fetched += part.rows
            self._run.progress.skipped += part.rows
            self._run.slice_done(part.start, part.end)
            return True
        self._stage_from(part)
        found: Iterator[Batch] = prefetch(self._read(part), batch_bytes)
        held = None
        if self._is_small(part):
            small = list(found)
            found = iter(small)
            held = self._held.of_slice(part, small)
        are_equal = [self._send_batch(part, batch, index, held) for batch in found]
        # Each batch takes its rows out of `held`. What stays there, the source lacks.
        if held == {} and all(are_equal):
            self._loaded.covered_until = part.end
            self._run.slice_done(part.start, part.end)
            return True
        self._complete(part)
        return False

    def _is_small(self, part: Slice) -> bool:
        """Whether one request can show all rows of a slice, which are compared by content."""
        is_small = part.rows <= self._run.settings.batch.rows
        is_whole = part.parts == 1 and not part.keyless
        return self._plan.whole_rows and is_whole and is_small

    def _complete(self, part: Slice) -> None:
        # Rows that another row of their key has replaced were read as well.
        self._run.progress.fetched += max(0, part.rows - self._rows_of_slice)
        self._rows_of_slice = 0
        self._delivery.finish()
        self._count_sent(part)
        self._loaded.covered_until = part.end
        self._run.slice_done(part.start, part.end)

    def _count_sent(self, part: Slice) -> None:
        """Count what was sent once it is much, and send what is missing.

        What was sent last is not counted here: the comparison of the window follows at once.
        """
        self._uncounted.append(part)
        rows = sum(each.rows for each in self._uncounted)
        if part is self._plan.slices[-1] or rows < COUNTED_BATCHES * self._run.settings.batch.rows:
            return
        self._verifier.complete_slices(self._plan, self._uncounted)
        self._uncounted = []

    # -- batches

    def _send_batch(
        self,
        part: Slice,
        batch: Batch,
        index: TargetIndex | None = None,
        held: HeldRows | None = None,
    ) -> bool:
        """Send a batch, or what the target lacks of it. Returns whether it held exactly that.

        held: the target's rows of the slice. Those of the batch are taken out.
        """
        is_equal = False
        # Send at least one new batch before checking the deadline, so that every run makes
        # progress.
        if self._delivery.taken or self._delivery.deleted or self._has_resumable_progress:
            self._run.deadline.check(self._run.name)
        progress = self._run.progress
        progress.fetched += batch.rows
        self._rows_of_slice += batch.rows
        if self._may_hold_rows(part):
            is_equal = self._send_difference(batch, index, held)
        else:
            upsert = self._run.table.replaces_by_key and self._plan.target_rows > 0
            self._send_all(batch, upsert=upsert)
        self._run.events.progress(self._run.name, progress.fetched)
        if batch.newest is not None:
            newest = progress.watermark_after
            progress.watermark_after = batch.newest if newest is None else max(newest, batch.newest)
            if part.parts == 1:  # several parts are not read in the cursor's order
                self._loaded.covered_until = batch.newest
        return is_equal

    def _send_all(self, batch: Batch, *, upsert: bool) -> None:
        self._delivery.send(batch, upsert=upsert)
        self._nulls.after(batch, self._read_back)
        self._loaded.null_reads_false = self._nulls.reads_false

    def _read_back(self, row: Row) -> Mapping[str, object] | None:
        """The row as the target holds it."""
        held = list(self._held.of([row]).values())
        return held[0][0] if held else None

    def _send_difference(
        self, batch: Batch, index: TargetIndex | None, held: HeldRows | None
    ) -> bool:
        """Send the rows that the target lacks or holds in another state; skip the others.

        Returns whether all were skipped.

        All in one order. If new rows were sent first, a crash would leave changed rows behind the
        watermark.
        """
        rows = batch.read()
        good = [row for row in rows if row.fault is None]
        if index is not None:
            states = self._held.states_by_key(good, index)
        else:
            states = self._held.states(good, self._held.of(good) if held is None else held)
        unchanged = [row for row in good if states[self._held.key(row)] is RowState.SAME]
        left = [row.text for row in rows if states.get(self._held.key(row)) is not RowState.SAME]
        self._run.progress.skipped += len(rows) - len(left)
        if unchanged:
            self._delivery.probe_with(unchanged[-1].document)
        upsert = RowState.OTHER in states.values() or self._run.table.replaces_by_key
        self._send_all(batches.of(left, batch.newest), upsert=upsert)
        return not left

    @property
    def _has_resumable_progress(self) -> bool:
        """Whether the next run can resume behind what this run has processed."""
        has_stage = self._loaded.stage is not None and self._plan.stage_token is not None
        resumable = self._plan.resume_token is not None or has_stage
        covered, done = self._loaded.covered_until, self._plan.done_until
        return resumable and covered is not None and (done is None or covered > done)
