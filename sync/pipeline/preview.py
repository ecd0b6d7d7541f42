"""What a dry run tells of a table: all that the run would do beside loading, or be refused for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from sync.base import reasons
from sync.base.errors import ActionRequired, SyncError
from sync.model.conditions import AllOf, Condition
from sync.model.plan import Plan
from sync.model.window import Faults, Slice, Window
from sync.pipeline import compare
from sync.pipeline.delete_guard import DeleteGuard
from sync.pipeline.estimate import estimate_swap
from sync.pipeline.purge import purge
from sync.pipeline.rejects import is_too_many, too_many
from sync.pipeline.swap import SwapPlan, count_keys, rows_gone
from sync.pipeline.table_run import TableRun, oldest

MOST_KEYS = 5_000  # that are looked up in the target


def preview_sync(run: TableRun, plan: Plan) -> None:
    """Enter the rows that a sync would reject, delete and purge. Raises what would stop it."""
    steps: list[Callable[[], None]] = [
        lambda: run.source.check_bytes(plan.source, plan.slices),
        lambda: _preview_rejects(run, plan),
    ]
    if plan.exists:
        steps += [
            lambda: _preview_deleted_keys(run, plan),
            lambda: _preview_deletes(run, plan),
            lambda: _preview_purge(run, plan),
        ]
    _take_all(steps)


def _take_all(steps: Sequence[Callable[[], None]]) -> None:
    """Take each step, and raise the refusals of all as one error of the first one's class."""
    refusals: list[ActionRequired] = []
    for step in steps:
        try:
            step()
        except ActionRequired as error:
            refusals.append(error)
    if refusals:
        raise _joined(refusals)


def _joined(refusals: Sequence[ActionRequired]) -> SyncError:
    first, *others = refusals
    if others:
        first.args = ("\n".join(str(each) for each in refusals),)
    return first


def _preview_rejects(run: TableRun, plan: Plan) -> None:
    spans = None
    faults = run.source.faults(plan.source, plan.window)
    if faults.rows and not plan.whole_rows:
        # Rows that were restated in place may be unfit, but the run does not read them.
        spans = _spans_to_read(run, plan)
        faults = run.source.faults(plan.source, plan.window, spans) if spans else Faults()
    _enter(run, faults)
    if plan.cursorless:
        reason = reasons.rows_without_cursor(plan.cursorless, run.cursor)
        _enter(run, Faults(plan.cursorless, {reason: plan.cursorless}))
    new = faults.rows - _excused(run, plan)
    if is_too_many(run.table, new, plan.rows):
        raise too_many(run.table, new, plan.rows, Counter(dict(faults.by_reason)))
    if faults.rows and plan.target_rows:
        run.progress.add_outdated(_count_outdated(run, plan, spans))


def _count_outdated(run: TableRun, plan: Plan, spans: Sequence[Window] | None) -> int:
    """How many rows the target holds under the keys of rows that would be rejected."""
    keys = run.source.unfit_keys(plan.source, plan.window, spans)
    # In append a run compares no rows before its window.
    inside = None if run.table.replaces_by_key else plan.window
    return _count_held(run, plan, keys, inside)


def _count_held(
    run: TableRun, plan: Plan, keys: Sequence[str], inside: Window | None = None
) -> int:
    """How many rows the target holds under these keys. inside: with a cursor in this range."""
    held = 0
    for some in compare.with_keys(run, plan, keys):
        condition: Condition = some
        if inside is not None:
            condition = AllOf((some, run.cursor_between(inside.start, inside.end)))
        held += run.target.count(run.name, condition)
    return held


def _spans_to_read(run: TableRun, plan: Plan) -> list[Window]:
    """The parts of the window that the run would read. Neighbouring slices are one part."""
    spans: list[Window] = []
    for part in plan.left:
        if plan.exists and compare.needs_no_reading(part, compare.index_to_match(run, plan, part)):
            continue
        span = Window(part.start, part.end)
        if spans and spans[-1].end == part.start:
            span = Window(spans.pop().start, part.end)
        spans.append(span)
    return spans


def _enter(run: TableRun, faults: Faults) -> None:
    run.progress.rejected += faults.rows
    run.progress.reject_reasons.update(faults.by_reason)


def _excused(run: TableRun, plan: Plan) -> int:
    """Rows of the window whose rejection is no sign of a new problem."""
    if not plan.open_rejects:
        return 0
    start, end = plan.window.start, plan.window.end
    found = run.ledger.open_rejects(run.name, run.clock.utc())
    cursors = [each.row_id.cursor for each in found if each.excused]
    return sum(cursor is not None and start <= cursor < end for cursor in cursors)


def _preview_deleted_keys(run: TableRun, plan: Plan) -> None:
    """Count the rows of the target that the setting `deletes` would delete."""
    deletions = sum(part.deletions for part in plan.left)
    if not deletions or not plan.target_rows:
        return
    keys = run.source.deleted_keys(plan.source, plan.window, MOST_KEYS)
    held = _count_held(run, plan, keys)
    if len(keys) == MOST_KEYS:  # the others are held as often
        held = held * deletions // len(keys)
    run.progress.add_deletions(held)


def _preview_deletes(run: TableRun, plan: Plan) -> None:
    """Count the rows of the target that are gone from the source."""
    if plan.source.reads_recent_only or plan.watermark is None or plan.rekeyed:
        return
    gone = sum(_gone(run, plan, part) for part in plan.slices)
    DeleteGuard(run).check(gone)
    run.progress.deleted += gone


def _gone(run: TableRun, plan: Plan, part: Slice) -> int:
    if plan.watermark is None or part.start > plan.watermark:
        return 0
    held = compare.count_rows(run, part)
    # Keys may have changed and not their number. A slice of many pages is not read for that.
    if held <= part.latest_per_key and (held == 0 or held > run.target.page_rows):
        return 0
    index = compare.read_index(run, part)
    if compare.fingerprint(index) == part.fingerprint:
        return 0
    start = plan.verify_since
    if run.table.replaces_by_key:
        start = min(start, oldest(run))
    window = Window(start, plan.window.end)
    found = run.source.keys_since(plan.source.whole(), window, sorted(index))
    return sum(len(cursors) for key, cursors in index.items() if key not in found)


def _preview_purge(run: TableRun, plan: Plan) -> None:
    """The new rows count too: a purge comes after the load."""
    window = plan.window
    held = run.target.count(run.name, run.cursor_between(window.start, window.end))
    latest = sum(part.latest_per_key for part in plan.slices)
    purge(run, new_rows=max(0, latest - held))


def preview_swap(run: TableRun, plan: SwapPlan) -> None:
    """Enter the price of a swap and the rows that it would reject. Raises what would stop it."""
    totals = count_keys(run, plan)
    estimate_swap(run, plan, totals)
    run.progress.deleted = rows_gone(run, plan, totals.rows, totals.keys + totals.keyless)
    _take_all(
        [
            lambda: run.source.check_bytes(plan.source, None),
            lambda: _preview_swap_rejects(run, plan, totals.rows),
        ]
    )


def _preview_swap_rejects(run: TableRun, plan: SwapPlan, rows: int) -> None:
    faults = run.source.faults(plan.source, None)
    _enter(run, faults)
    if is_too_many(run.table, faults.rows, rows):
        raise too_many(run.table, faults.rows, rows, Counter(dict(faults.by_reason)))
