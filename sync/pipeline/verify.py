"""Compares both ends after the rows were sent, and repairs what differs.

Counts first, keys where they differ: a count is one cheap request.
"""

from __future__ import annotations

from dataclasses import replace

from sync.base.errors import Unavailable
from sync.model import window as windows
from sync.model.plan import Plan
from sync.model.window import Slice, Window
from sync.pipeline.compare import count_rows, expected_rows, matches, read_index
from sync.pipeline.rejects import RejectBook
from sync.pipeline.repair import Repairer
from sync.pipeline.table_run import TableRun

MAX_REPAIR_ROUNDS = 3  # the source may change while it is compared


def recount(run: TableRun, plan: Plan, start: int, *, prune: bool) -> Plan:
    """The plan with the source counted anew from `start` on, as it may have changed meanwhile.

    prune: read recent partitions only, if the plan does. Never delete from such a plan: unread
    rows may still exist.
    """
    window = Window(start, plan.window.end)
    source = plan.source if prune else plan.source.whole()
    counted = run.source.histogram(source, window, window.end, plan.slice_rows)
    slices = tuple(windows.slices(window, counted.buckets, plan.slice_rows))
    return replace(plan, source=source, window=window, slices=slices)


def oldest(run: TableRun) -> int:
    """Start of the range whose rows are kept, epoch seconds."""
    return windows.window(run.now, None, 0, run.table.keep).start


class Verifier:
    """The last step of every load: both ends agree from `plan.verify_since` on, or are made to."""

    def __init__(self, run: TableRun, rejects: RejectBook, repairer: Repairer) -> None:
        self._run = run
        self._rejects = rejects
        self._repairer = repairer

    def complete_slice(self, plan: Plan, part: Slice) -> None:
        """After a slice was sent: send what is missing of it.

        More rows than expected are no fault yet: a later slice may replace them.
        """
        if count_rows(self._run, part) < expected_rows(part, self._rejects):
            self._repairer.repair(plan, part, delete=False)

    def verify_and_repair(self, plan: Plan) -> None:
        """Make both ends equal. Sets `verified`. Raises Unavailable when they stay different."""
        if plan.verify_since < plan.window.start:
            plan = recount(self._run, plan, plan.verify_since, prune=True)
        by_keys = plan.compare_keys
        for attempt in range(MAX_REPAIR_ROUNDS):
            if not by_keys and self._counts_agree(plan):
                self._run.progress.verified = True
                return
            # First within the recent partitions: most often rows only came during the load.
            plan = recount(self._run, plan, plan.window.start, prune=attempt == 0)
            settled, deleted = self._repair_slices(plan, by_keys=by_keys)
            if self._run.table.mode == "merge" and deleted:
                # An older row of a deleted key may be the newest that is left.
                plan = recount(self._run, plan, oldest(self._run), prune=False)
            elif settled:
                self._run.progress.verified = True
                return
            by_keys = False
        raise Unavailable(
            f"{self._run.name}: BigQuery and Aito still differ after {MAX_REPAIR_ROUNDS} repairs; "
            "try again later"
        )

    def _counts_agree(self, plan: Plan) -> bool:
        whole = Slice(plan.window.start, plan.window.end)
        expected = sum(self._expected(part) for part in plan.slices)
        return count_rows(self._run, whole) == expected

    def _repair_slices(self, plan: Plan, *, by_keys: bool) -> tuple[bool, int]:
        """Repair the slices that differ.

        Returns whether each of them holds then what was read of it, and how many rows were
        deleted. What came to the source after it was read is the next run's.
        """
        may_delete = not plan.source.reads_recent_only
        repaired: list[tuple[Slice, int]] = []
        for number, part in enumerate(plan.slices):
            if number:
                self._run.deadline.check(self._run.name)
            if not self._slice_agrees(part, by_keys=by_keys):
                found = self._repairer.repair(plan, part, delete=may_delete)
                repaired.append((part, found.stored_rows))
        deleted = self._repairer.delete_extra(plan)
        settled = may_delete and all(self._holds(part, rows) for part, rows in repaired)
        return settled, deleted

    def _holds(self, part: Slice, stored_rows: int) -> bool:
        """Whether the target holds so many rows of a slice, and those that stay for now."""
        kept = self._repairer.kept_between(part.start, part.end)
        return count_rows(self._run, part) == stored_rows + kept

    def _expected(self, part: Slice) -> int:
        kept = self._repairer.kept_between(part.start, part.end)
        return expected_rows(part, self._rejects) + kept

    def _slice_agrees(self, part: Slice, *, by_keys: bool) -> bool:
        expected = self._expected(part)
        if by_keys and expected == part.latest_per_key:
            return matches(part, read_index(self._run, part))
        return count_rows(self._run, part) == expected
