"""Plans one table's run: columns, window, slices, and what has to be made. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sync.base.words import counted
from sync.model import window as windows
from sync.model.checkpoint import Checkpoint
from sync.model.plan import Plan
from sync.model.ports import SourceTable
from sync.model.window import BEGINNING, Window
from sync.pipeline import definition
from sync.pipeline.clock import check_clock, rows_ahead
from sync.pipeline.column_changes import column_changes, report_column_changes
from sync.pipeline.delete_guard import check_shows_rows
from sync.pipeline.key_check import check_keys, key_sample
from sync.pipeline.prepare import as_held, needed_changes, undecided
from sync.pipeline.refresh import (
    Refresh,
    Situation,
    is_recent,
    is_rekeyed,
    refresh_of,
    resumes_before,
)
from sync.pipeline.table_run import TableRun
from sync.pipeline.to_verify import with_verification
from sync.pipeline.warnings import warn_of_plan


def make_plan(run: TableRun, situation: Situation) -> Plan:
    """Plan a table with a cursor.

    Raises SchemaMismatch with every difference, ActionRequired, Unavailable.
    """
    source = run.source.describe(run.table, prune=not run.request.everything)
    source = as_held(run, source, situation.schema)
    current = definition.definition(run.table, source)
    refresh = _refresh(run, situation, source, current)
    resumes = refresh is not None and resumes_before(run, refresh, situation.checkpoint)
    if refresh:
        source = source.whole()
    made_here = situation.checkpoint.definition is not None
    changes = needed_changes(run, source.columns, situation.schema, made_here=made_here)
    exists = not changes.create
    watermark, rows = _target_state(run, exists=exists)
    covered = situation.checkpoint.covered_until if resumes else None
    window = _window(run, refresh, covered, watermark)
    slice_rows = _slice_rows(run, source)
    plan = Plan(
        source=source,
        changes=changes,
        exists=exists,
        window=window,
        watermark=watermark,
        target_rows=rows,
        slice_rows=slice_rows,
        sorted_rows=min(slice_rows, source.sorted_rows),
        whole_rows=run.table.mode == "merge" or refresh is not None,
        refresh=refresh.reason if refresh else None,
        resume_token=refresh.token if refresh else None,
        open_rejects=situation.known.open_rejects,
        rekeyed=refresh is not None and is_rekeyed(run, situation, current),
        definition=current,
        is_range=refresh is not None and refresh.is_range,
        passed_over_since=_passed_over(run, window, watermark),
        null_reads_false=situation.checkpoint.null_reads_false or False,
        stage_token=_stage_token(run, refresh, current, situation.checkpoint),
    )
    read_on = _read_on(run, plan, situation.checkpoint)
    plan = read_on or _counted(run, plan, refresh, situation)
    _check_not_empty(run, plan)
    return with_verification(run, situation, plan, resumes=resumes)


def _refresh(
    run: TableRun, situation: Situation, source: SourceTable, current: str
) -> Refresh | None:
    """Why the whole keep range is read; None: it is not. Reports columns that have changed.

    current: the table's definition.
    """
    before = situation.checkpoint.definition
    changed = column_changes(before, current, takes_all=run.table.takes_all)
    held = situation.schema.get(run.name)
    wanted = {column.name: column for column in source.columns}
    report_column_changes(run, changed, wanted, held.columns if held else {})
    return refresh_of(run, situation, current, changed)


def _slice_rows(run: TableRun, source: SourceTable) -> int:
    """How many rows a slice should hold at most."""
    if run.request.action == "reconcile":
        # The keys of such a slice cost one request.
        return min(source.slice_rows, run.target.page_rows)
    return source.slice_rows


def _counted(run: TableRun, plan: Plan, refresh: Refresh | None, situation: Situation) -> Plan:
    """The plan with the rows of its window, counted and cut into slices.

    The count decides the types that nobody declares, too.
    """
    known_until = _known_until(run, plan, refresh)
    integers = undecided(plan.source, plan.changes)
    counted = run.source.histogram(
        plan.source, plan.window, known_until, plan.sorted_rows, integers
    )
    plan = replace(
        plan,
        slices=plan.cut(counted.buckets),
        cursorless=counted.cursorless,
        clock=counted.clock,
    )
    if counted.wide:
        plan = _with_wide(run, plan, counted.wide, refresh, situation)
    check_clock(run, plan)
    if plan.watermark is None or (refresh and refresh.changed):
        sample = key_sample(plan.source, plan.window, counted.buckets)
        if sample:
            run.source.check_key(plan.source)
            check_keys(run, plan.source, sample, counted.buckets, plan.sorted_rows)
        plan = replace(plan, key_sample=sample)
    return plan


def _known_until(run: TableRun, plan: Plan, refresh: Refresh | None) -> int:
    """Until when the count makes fingerprints of keys: they are compared with the target's.

    Those of all rows show a key that changes between two readings.
    """
    if plan.watermark is None:
        return run.now if plan.source.keys_may_change else BEGINNING
    return run.now if refresh else plan.watermark


def _with_wide(
    run: TableRun,
    plan: Plan,
    wide: Collection[str],
    refresh: Refresh | None,
    situation: Situation,
) -> Plan:
    """The plan with columns of a wider type where the data needs it."""
    source = plan.source.with_wide(wide)
    made_here = situation.checkpoint.definition is not None
    current = definition.definition(run.table, source)
    return replace(
        plan,
        source=source,
        changes=needed_changes(run, source.columns, situation.schema, made_here=made_here),
        definition=current,
        stage_token=_stage_token(run, refresh, current, situation.checkpoint),
    )


def _stage_token(
    run: TableRun, refresh: Refresh | None, current: str, checkpoint: Checkpoint
) -> str | None:
    """By what a later run recognises that it may read on from the stage of this one.

    A checkpoint has one position. That of another action is not given up for it.
    """
    own = refresh and refresh.token
    is_taken = checkpoint.resume_token not in (None, own)
    if run.request.action != "sync" or run.request.dry_run or is_taken:
        return None
    return definition.token("stage", own, current)


def _read_on(run: TableRun, plan: Plan, checkpoint: Checkpoint) -> Plan | None:
    """The plan of an unfinished load whose stage is still there. None: there is none."""
    if plan.stage_token is None or checkpoint.stage is None or not is_recent(run, checkpoint):
        return None
    kept = run.source.staged(plan.source, checkpoint.stage, plan.stage_token)
    if kept is None:
        return None
    done_until = kept.staged[0].start
    if checkpoint.covered_until is not None:
        done_until = max(done_until, checkpoint.covered_until)
    return replace(
        plan,
        window=kept.window,
        slices=kept.slices,
        cursorless=kept.cursorless,
        stage=checkpoint.stage,
        done_until=done_until,
    )


def _target_state(run: TableRun, *, exists: bool) -> tuple[int | None, int]:
    """The newest cursor in the target before now, and its rows before now."""
    if not exists:
        return None, 0
    return run.target.newest(run.name, run.cursor, run.now)


def _window(
    run: TableRun, refresh: Refresh | None, covered: int | None, watermark: int | None
) -> Window:
    """What is read. covered: end of what an earlier run of the same request has processed."""
    known = None if refresh else watermark
    window = windows.window(run.now, known, run.table.lookback, run.table.keep)
    start, end = window.start, window.end
    if refresh and refresh.is_range:
        start = max(start, run.request.since or start)
        end = min(end, run.request.until or end)
    if covered is not None:
        start = max(start, covered)
    return Window(min(start, end), end)


def _passed_over(run: TableRun, window: Window, watermark: int | None) -> int | None:
    """Start of the rows before the window that no run has loaded. None: there are none.

    A requested range may begin later than a sync would. The newest row of the range is the
    watermark then, and no later sync would read what was passed over.
    """
    if run.request.since is None:
        return None
    due = windows.window(run.now, watermark, run.table.lookback, run.table.keep)
    return due.start if window.start > due.start else None


def _check_not_empty(run: TableRun, plan: Plan) -> None:
    """Raises ActionRequired when a source that had rows shows none."""
    target_has_rows = plan.watermark is not None and plan.watermark >= plan.window.start
    if plan.rows or plan.cursorless or not target_has_rows:
        return
    check_shows_rows(run, plan.source, plan.window.start)


def _size(plan: Plan) -> str:
    """The rows that are left to read and, of several, their slices."""
    rows = counted(plan.rows_left, "row")
    slices = len(plan.left)
    return f"{rows} to read in {slices} slices" if slices > 1 else f"{rows} to read"


def report_plan(run: TableRun, plan: Plan) -> None:
    """Enter a plan into the progress, log it, and warn of what would surprise."""
    progress = run.progress
    progress.window = plan.window
    progress.watermark_before = progress.watermark_after = plan.watermark
    progress.slices_planned = len(plan.left)
    why = f" ({plan.refresh})" if plan.refresh and run.request.action == "sync" else ""
    run.events(
        "table_planned",
        f"{run.name}: {_size(plan)}{why}",
        "WARNING" if plan.keyless or plan.cursorless else "INFO",
        table=run.name,
        rows=plan.rows_left,
        slices=len(plan.left),
        window_start=plan.window.start,
        window_end=plan.window.end,
        watermark=plan.watermark,
        keyless=plan.keyless,
        cursorless=plan.cursorless,
        ahead=rows_ahead(run, plan),
        refresh=plan.refresh,
    )
    warn_of_plan(run, plan)
