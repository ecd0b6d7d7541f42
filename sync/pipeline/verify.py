"""Compares both ends after the rows were sent, and repairs what differs.

Counts first, keys where they differ: a count is one cheap request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sync.base.errors import Unavailable
from sync.model.plan import Plan
from sync.model.window import Slice, Window, earliest
from sync.pipeline.compare import count_rows, expected_rows, matches, read_index
from sync.pipeline.loaded import Loaded
from sync.pipeline.rejects import RejectBook
from sync.pipeline.repair import Repairer
from sync.pipeline.table_run import TableRun, oldest

MAX_REPAIR_ROUNDS = 3  # of a source that changes while it is compared


def recount(run: TableRun, plan: Plan, start: int, *, prune: bool) -> Plan:
    """The plan with the source counted anew from `start` on, as it may have changed meanwhile.

    prune: read recent partitions only, if the plan does. Never delete from such a plan: unread
    rows may still exist.
    """
    window = Window(start, plan.window.end)
    source = plan.source if prune else plan.source.whole()
    counted = run.source.histogram(source, window, window.end, plan.sorted_rows)
    plan = replace(plan, source=source, window=window)
    return replace(plan, slices=plan.cut(counted.buckets))


class Verifier:
    """The last step of every load: both ends agree from `plan.verify_since` on, or are made to."""

    def __init__(
        self, run: TableRun, rejects: RejectBook, repairer: Repairer, loaded: Loaded
    ) -> None:
        """loaded: receives how far the comparison has come, for the next run to resume there."""
        self._run = run
        self._loaded = loaded
        self._rejects = rejects
        self._repairer = repairer

    def complete_slices(self, plan: Plan, sent: Sequence[Slice]) -> None:
        """After slices were sent, in time's order: send what is missing of them.

        More rows than expected are no fault yet: a later slice may replace them.
        """
        span = Slice(sent[0].start, sent[-1].end)
        within = [part for part in plan.slices if span.start <= part.start < span.end]
        if count_rows(self._run, span) >= sum(map(self._expected_of, within)):
            return
        for part in sent:
            if count_rows(self._run, part) < self._expected_of(part):
                self._repairer.repair(plan, part, delete=False)

    def _expected_of(self, part: Slice) -> int:
        return expected_rows(part, self._rejects)

    def verify_and_repair(self, plan: Plan) -> None:
        """Make both ends equal. Sets `verified`. Raises Unavailable when they stay different."""
        if plan.verify_since < plan.window.start:
            plan = recount(self._run, plan, plan.verify_since, prune=True)
        by_keys = plan.compare_keys
        slices_hold = False
        for attempt in range(MAX_REPAIR_ROUNDS):
            if not by_keys and self._counts_agree(plan):
                self._run.progress.verified = True
                return
            # First read recent partitions only: mostly it is rows that came during the load.
            plan = recount(self._run, plan, plan.window.start, prune=attempt == 0)
            slices_hold = self._repair_slices(plan, by_keys=by_keys)
            if slices_hold and not self._repairer.waits_for_moved_rows:
                self._run.progress.verified = True
                return
            if self._repairer.waits_for_moved_rows:
                # The row that the target lacks may be of any age.
                plan = recount(self._run, plan, oldest(self._run), prune=False)
            # Counts may hide a difference that keys show. So the partitions that were not read are
            # compared by keys in the next round.
            by_keys = by_keys and plan.source.reads_recent_only
        if slices_hold:
            # Rows move while they are compared. The next run looks at them once more, by keys.
            self._loaded.verify_from = oldest(self._run)
            self._run.progress.verified = True
            return
        raise Unavailable(
            f"{self._run.name}: BigQuery and Aito still differ after {MAX_REPAIR_ROUNDS} repairs; "
            "try again later"
        )

    def _counts_agree(self, plan: Plan) -> bool:
        whole = Slice(plan.window.start, plan.window.end)
        expected = sum(self._expected(part) for part in plan.slices)
        return count_rows(self._run, whole) == expected

    def _repair_slices(self, plan: Plan, *, by_keys: bool) -> bool:
        """Repair the slices that differ.

        Returns whether the target holds the rows of each that were read. Rows that reach the source
        after that are left to the next run.
        """
        may_delete = not plan.source.reads_recent_only
        repaired: list[tuple[Slice, int]] = []
        slices = self._left_to_compare(plan) if by_keys else plan.slices
        for number, part in enumerate(slices):
            if number and self._run.deadline.over:
                self._interrupt(plan, repaired, slices, number)
            if not self._slice_agrees(part, by_keys=by_keys):
                found = self._repairer.repair(plan, part, delete=may_delete)
                repaired.append((part, found.stored_rows))
        self._repairer.delete_extra(plan)
        return may_delete and all(self._holds(part, rows) for part, rows in repaired)

    def _left_to_compare(self, plan: Plan) -> Sequence[Slice]:
        """The slices to compare by keys: those from `keys_since` on, then those before it.

        Those before it are left out if one count over all of them agrees. They are also left out if
        interrupted runs before this one have compared them. Otherwise the comparison would never
        end when the source always changes. Newer changes are left to the next run.
        """
        since = plan.keys_since or plan.window.start
        before = [part for part in plan.slices if part.end <= since]
        left = plan.slices[len(before) :]
        if not before:
            return left
        span = Slice(before[0].start, before[-1].end)
        if count_rows(self._run, span) == sum(map(self._expected, before)):
            return left
        if plan.compared_from is not None and plan.compared_from <= span.start:
            self._loaded.verify_from = span.start
            return left
        return [*left, *before]

    def _interrupt(
        self,
        plan: Plan,
        repaired: Sequence[tuple[Slice, int]],
        slices: Sequence[Slice],
        number: int,
    ) -> None:
        """Raises OutOfTime, and leaves the slices from this number on to the next run.

        Repaired slices that hold what was read of them are done, however fast the source changes.
        """
        self._repairer.delete_extra(plan)
        left = [each.start for each, rows in repaired if not self._holds(each, rows)]
        verify_from = min([*left, slices[number].start])
        compared_from = earliest(plan.compared_from, slices[0].start)
        if slices[number].start < slices[0].start:
            # All later slices are done, and of the earlier ones those before this number.
            compared_from = plan.window.start
        if self._repairer.waits_for_moved_rows and plan.window.start > oldest(self._run):
            # The row that the target lacks may be older than all that was compared.
            verify_from = oldest(self._run)
        self._loaded.verify_from = verify_from
        self._loaded.compared_from = compared_from
        self._run.deadline.check(self._run.name)

    def _holds(self, part: Slice, stored_rows: int) -> bool:
        """Whether the target holds so many rows of a slice, and those that stay for now."""
        kept = self._repairer.kept_between(part.start, part.end)
        return count_rows(self._run, part) == stored_rows + kept

    def _expected(self, part: Slice) -> int:
        kept = self._repairer.kept_between(part.start, part.end)
        return expected_rows(part, self._rejects) + kept

    def _slice_agrees(self, part: Slice, *, by_keys: bool) -> bool:
        expected = self._expected(part)
        if by_keys:
            # Rejects and rows that stay are not in the fingerprint: such a slice is read.
            is_comparable = expected == part.latest_per_key
            return is_comparable and matches(part, read_index(self._run, part))
        return count_rows(self._run, part) == expected
