"""Plans one table's run: columns, window, slices, and what has to be made. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sync.base.words import counted
from sync.model import window as windows
from sync.model.checkpoint import Checkpoint, KnownTable
from sync.model.columns import TargetSchema
from sync.model.plan import Plan
from sync.model.window import Window, earliest
from sync.pipeline import definition
from sync.pipeline.clock import check_clock, rows_ahead
from sync.pipeline.column_changes import ColumnChange, column_changes, report_column_changes
from sync.pipeline.delete_guard import check_shows_rows
from sync.pipeline.key_check import check_keys, key_sample
from sync.pipeline.prepare import as_held, needed_changes, undecided
from sync.pipeline.table_run import TableRun, oldest
from sync.pipeline.warnings import warn_of_plan

# What was processed longer ago is processed again. More than a day, because a caller may come
# once a night.
RESUME_SECONDS = 3 * 86_400


@dataclass(frozen=True)
class Situation:
    """What a plan starts from.

    has_crashed: the run before ended without a checkpoint, so nobody knows what it has written.
    """

    schema: TargetSchema
    known: KnownTable
    has_crashed: bool = False

    @property
    def checkpoint(self) -> Checkpoint:
        """The table's last checkpoint."""
        return self.known.checkpoint


@dataclass(frozen=True)
class Refresh:
    """Why the whole keep range is read, and by what a later run recognises that it may resume.

    is_range: the request names the range.
    changed: the configuration makes rows in another way.
    """

    reason: str
    token: str
    is_range: bool = False
    changed: bool = False


def make_plan(run: TableRun, situation: Situation) -> Plan:
    """Plan a table with a cursor.

    Raises SchemaMismatch with every difference, ActionRequired, Unavailable.
    """
    source = run.source.describe(run.table, prune=not run.request.everything)
    source = as_held(run, source, situation.schema)
    current = definition.definition(run.table, source)
    changed = column_changes(
        situation.checkpoint.definition, current, takes_all=run.table.takes_all
    )
    held = situation.schema.get(run.name)
    wanted = {column.name: column for column in source.columns}
    report_column_changes(run, changed, wanted, held.columns if held else {})
    refresh = _refresh(run, situation, current, changed)
    resumes = refresh is not None and _resumes(run, refresh, situation.checkpoint)
    if refresh:
        source = source.whole()
    made_here = situation.checkpoint.definition is not None
    changes = needed_changes(run, source.columns, situation.schema, made_here=made_here)
    exists = not changes.create
    watermark, rows = _target_state(run, exists=exists)
    covered = situation.checkpoint.covered_until if resumes else None
    window = _window(run, refresh, covered, watermark)
    slice_rows = source.slice_rows
    if run.request.action == "reconcile":
        # The keys of such a slice cost one request.
        slice_rows = min(slice_rows, run.target.page_rows)
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
        rekeyed=refresh is not None and _is_rekeyed(run, situation, current),
        definition=current,
        is_range=refresh is not None and refresh.is_range,
        passed_over_since=_passed_over(run, window, watermark),
        null_reads_false=situation.checkpoint.null_reads_false or False,
        stage_token=_stage_token(run, refresh, current, situation.checkpoint),
    )
    read_on = _read_on(run, plan, situation.checkpoint)
    plan = read_on or _counted(run, plan, refresh, situation)
    _check_not_empty(run, plan)
    return _with_verification(run, situation, plan, resumes=resumes)


def _counted(run: TableRun, plan: Plan, refresh: Refresh | None, situation: Situation) -> Plan:
    """The plan with the rows of its window, counted and cut into slices.

    The count decides the types that nobody declares, too.
    """
    known_until = run.now if refresh or plan.watermark is None else plan.watermark
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


def _with_wide(
    run: TableRun,
    plan: Plan,
    wide: Collection[str],
    refresh: Refresh | None,
    situation: Situation,
) -> Plan:
    """The plan with columns of type Long where the data needs it."""
    source = plan.source.with_types(dict.fromkeys(wide, "Long"))
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
    if plan.stage_token is None or checkpoint.stage is None or not _is_recent(run, checkpoint):
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


def _is_recent(run: TableRun, checkpoint: Checkpoint) -> bool:
    """Whether what was processed then need not be processed again."""
    if checkpoint.updated_at is None:
        return False
    return run.clock.now() - checkpoint.updated_at.timestamp() <= RESUME_SECONDS


def _target_state(run: TableRun, *, exists: bool) -> tuple[int | None, int]:
    """The newest cursor in the target before now, and its rows before now."""
    if not exists:
        return None, 0
    return run.target.newest(run.name, run.cursor, run.now)


def _refresh(
    run: TableRun, situation: Situation, current: str, columns: Sequence[ColumnChange]
) -> Refresh | None:
    """Why the whole keep range is read; None: it is not."""
    request, known = run.request, situation.checkpoint.definition
    if request.since is not None or request.until is not None:
        token = definition.token("range", request.since, request.until, current)
        return Refresh("the range was requested", token, is_range=True)
    if request.action == "reconcile":
        return Refresh("reconcile", definition.token("reconcile", request.deep, current))
    if request.full_refresh:
        return Refresh("full_refresh was requested", definition.token("refresh", current))
    if known is None or run.name not in situation.schema:
        return None
    changed = definition.changes(known, current)
    if not changed:
        return None
    reason = f"the configuration changed: {', '.join(changed)}"
    if changed == ["columns"] and columns:
        listed = ", ".join(f"{change.column} is {change.kind}" for change in columns)
        reason = f"the source's columns changed: {listed}"
    return Refresh(reason, definition.token("refresh", current), changed=True)


def _is_rekeyed(run: TableRun, situation: Situation, current: str) -> bool:
    """Whether the target may hold rows whose keys were made in another way.

    Only keys of several columns are made. Where another column has become the key, the target's
    rows have it already.
    """
    known = situation.checkpoint.definition
    if known is None or not run.table.has_composite_key:
        return False
    return definition.is_rekeyed(known, current)


def _resumes(run: TableRun, refresh: Refresh, checkpoint: Checkpoint) -> bool:
    """Whether an earlier run of the same request has processed a part of it."""
    if run.request.dry_run or checkpoint.covered_until is None:
        return False
    return checkpoint.resume_token == refresh.token and _is_recent(run, checkpoint)


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


def _with_verification(run: TableRun, situation: Situation, plan: Plan, *, resumes: bool) -> Plan:
    """The plan with the range in which both ends must be equal at the end.

    After a run that was interrupted it begins where that run has left off. After one that died it
    begins where both ends were last found equal, and in merge at the oldest row: a key's newest
    row may be of any age. It goes by keys then: one row too many would hide one that is missing.
    """
    checkpoint = situation.checkpoint
    everything = oldest(run)
    begin = everything if plan.is_refresh and not resumes else plan.window.start
    left = [checkpoint.verify_from]
    if plan.stage is None:
        left.append(checkpoint.staged_from)
    if situation.has_crashed:
        left.append(everything if run.table.replaces_by_key else _verified_until(run, plan))
    left_since = earliest(*left)
    by_keys_since = left_since
    if checkpoint.verify_from is None:
        by_keys_since = earliest(left_since, checkpoint.unsettled_since)
    goes_on = by_keys_since is not None and by_keys_since == checkpoint.verify_from
    compared_from = checkpoint.compared_from if goes_on and _is_recent(run, checkpoint) else None
    start = begin
    if by_keys_since is not None:
        start = max(everything, min(begin, by_keys_since))
    if plan.is_range:
        start = plan.window.start
    return replace(
        plan,
        verify_since=start,
        keys_since=None if by_keys_since is None else max(everything, by_keys_since),
        left_since=left_since,
        compared_from=compared_from,
        done_until=_loaded_until(run, checkpoint, plan, compared_from),
    )


def _loaded_until(
    run: TableRun, checkpoint: Checkpoint, plan: Plan, compared_from: int | None
) -> int | None:
    """The end of what is loaded. Where a comparison goes on, all of the run before it is."""
    was_loaded = compared_from is not None and checkpoint.resume_token is None
    if plan.stage or plan.refresh or run.request.dry_run or not was_loaded:
        return plan.done_until
    return checkpoint.covered_until


def _verified_until(run: TableRun, plan: Plan) -> int:
    """Start of what no run has found equal yet, epoch seconds."""
    proven = run.ledger.last_verified(run.name)
    if proven is not None and plan.watermark is not None and proven > plan.watermark:
        proven = None  # the target's table was made anew since
    return windows.window(run.now, proven, run.table.lookback, run.table.keep).start


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
