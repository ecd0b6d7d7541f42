"""What a run leaves to the next run of a table: the checkpoint after each way to end, and its save.

A checkpoint tells where the next run must look, so that no run begins again what another one has
done, and none trusts what nobody has compared.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sync.base.clock import Clock
from sync.model.checkpoint import Checkpoint
from sync.model.plan import Plan
from sync.model.ports import Ledger
from sync.model.window import earliest
from sync.pipeline import definition
from sync.pipeline.loaded import Loaded
from sync.pipeline.table_run import TableRun, oldest

# A lost write may be applied so long after it was sent. Longer than a day, so that with one run a
# night at least one more looks at it.
LATE_WRITES = timedelta(hours=36)
REMOVED = "removed"  # the action of a table that left the configuration, and was reported


def save(
    ledger: Ledger,
    clock: Clock,
    before: Checkpoint,
    after: Checkpoint,
    *,
    always: bool = False,
) -> Checkpoint:
    """Append `after`, with a time later than that of `before`, unless it says the same.

    always: also if it says the same, so that the next run knows which run wrote it.
    The latest row of a table counts, so the time must grow even if the clock is set back.
    Returns what the ledger holds now.
    """
    if not always and replace(after, run_id=before.run_id) == before:
        return before
    now = clock.utc()
    if before.updated_at is not None:
        now = max(now, before.updated_at + timedelta(microseconds=1))
    stored = replace(after, updated_at=now)
    ledger.save_checkpoint(stored)
    return stored


def returned(before: Checkpoint) -> Checkpoint:
    """The checkpoint of a table that is in the configuration, and may have been out of it."""
    return replace(before, action=None) if before.action == REMOVED else before


def begun(before: Checkpoint, plan: Plan) -> Checkpoint:
    """The checkpoint while everything is processed. It counts if the process dies."""
    return replace(before, verify_from=earliest(plan.left_since, plan.verify_since))


def staged(before: Checkpoint, run: TableRun, plan: Plan, name: str) -> Checkpoint:
    """The checkpoint when a stage has just been made. It counts if the process dies."""
    if plan.stage_token is None:
        return before
    left = earliest(before.verify_from, before.staged_from)
    after = replace(before, stage=name, staged_from=None, verify_from=left)
    return _with_position(after, before, run, plan, plan.window.start)


def interrupted(before: Checkpoint, run: TableRun, plan: Plan, loaded: Loaded) -> Checkpoint:
    """The checkpoint after a step that raised."""
    after = _settled(_with_behaviour(before, run, loaded), run, plan, loaded)
    after = replace(after, run_id=run.run_id)
    after = _with_ranges_to_compare(after, run, plan, loaded)
    after = _with_position(after, before, run, plan, _processed_until(plan, loaded))
    if _made_progress(run, before, after):
        return replace(after, calls_without_progress=0)
    calls = before.calls_without_progress or 0
    return replace(after, calls_without_progress=calls + 1)


def completed(before: Checkpoint, run: TableRun, plan: Plan, loaded: Loaded) -> Checkpoint:
    """The checkpoint after a step that ended ok."""
    left = loaded.verify_from
    if plan.is_range:
        left = earliest(plan.left_since, plan.passed_over_since, left)
    after = replace(
        _settled(_with_behaviour(before, run, loaded), run, plan, loaded),
        run_id=run.run_id,
        calls_without_progress=None,
        stage=None,
        staged_from=None,
        verify_from=left,
        compared_from=None,
    )
    refreshed = plan.is_refresh and run.request.action == "sync"
    known = before.definition
    if known is None or refreshed or not definition.changes(known, plan.definition):
        # The same but for a shorter `keep`: when it is longer again, rows must be read again.
        after = replace(after, definition=plan.definition)
    resumed = before.resume_token is not None and before.resume_token == plan.resume_token
    if resumed or refreshed:
        return replace(after, action=None, resume_token=None, covered_until=None)
    if before.resume_token is None:
        return replace(after, covered_until=None)
    return after


def lease_lost(stored: Checkpoint, run: TableRun, plan: Plan, loaded: Loaded) -> Checkpoint:
    """The checkpoint of another run, after a run without a lease may have written once more.

    stored: what the ledger holds now. Only the ranges to compare are added.
    """
    unsettled = _settled(stored, run, plan, loaded)
    return replace(unsettled, verify_from=earliest(stored.verify_from, plan.verify_since))


def _with_behaviour(before: Checkpoint, run: TableRun, loaded: Loaded) -> Checkpoint:
    """The checkpoint with what was found out about the target."""
    two_steps = before.two_steps or run.target.upserts_in_two_steps
    reads_false = before.null_reads_false or loaded.null_reads_false
    return replace(before, two_steps=two_steps or None, null_reads_false=reads_false or None)


def _settled(before: Checkpoint, run: TableRun, plan: Plan, loaded: Loaded) -> Checkpoint:
    """The checkpoint with the range in which a lost write may still be applied."""
    now = run.clock.utc()
    if loaded.unsettled_since is not None:
        since = earliest(before.unsettled_since, loaded.unsettled_since)
        return replace(before, unsettled_since=since, unsettled_at=now)
    sent = before.unsettled_at
    is_over = sent is None or now - sent >= LATE_WRITES
    since = before.unsettled_since
    compared_since = max(plan.verify_since, plan.keys_since or plan.verify_since)
    was_compared = since is None or compared_since <= max(since, oldest(run))
    if run.progress.verified and is_over and was_compared and not plan.is_range:
        return replace(before, unsettled_since=None, unsettled_at=None)
    return before


def _with_ranges_to_compare(
    after: Checkpoint, run: TableRun, plan: Plan, loaded: Loaded
) -> Checkpoint:
    """The checkpoint with what the next run must compare, and the stage that it may read from."""
    stage = loaded.stage if plan.stage_token else None
    if stage and loaded.unsettled_since is None:
        # The load goes on, and all that it has sent is compared at its end.
        before_range = plan.passed_over_since if plan.is_range else None
        verify_from = earliest(plan.left_since, before_range)
        staged_from: int | None = plan.verify_since
    else:
        verify_from = _left_to_compare(run, plan, loaded)
        staged_from = None
    return replace(
        after,
        stage=stage,
        verify_from=verify_from,
        staged_from=staged_from,
        compared_from=_compared_from(verify_from, plan, loaded),
    )


def _processed_until(plan: Plan, loaded: Loaded) -> int:
    """The end of the range that this run and those before it have processed."""
    if loaded.covered_until is not None:
        return loaded.covered_until
    return plan.window.start if plan.done_until is None else plan.done_until


def _left_to_compare(run: TableRun, plan: Plan, loaded: Loaded) -> int | None:
    """Where the next run must begin to compare."""
    if plan.is_range:
        since = earliest(plan.left_since, plan.passed_over_since)
        return earliest(since, loaded.verify_from, plan.window.start)
    if loaded.verify_from is not None:
        return loaded.verify_from
    if run.request.action == "reconcile":
        return earliest(plan.left_since, loaded.repaired_from)
    if plan.done_until is not None and plan.compared_from is not None:
        # All that this run has sent is behind what is left.
        return plan.left_since
    return earliest(plan.left_since, plan.verify_since)


def _compared_from(verify_from: int | None, plan: Plan, loaded: Loaded) -> int | None:
    """Start of what was compared up to `verify_from`. None: nothing was."""
    if loaded.verify_from is not None:
        return loaded.compared_from if verify_from == loaded.verify_from else None
    return plan.compared_from if verify_from == plan.left_since else None


def _with_position(
    after: Checkpoint, before: Checkpoint, run: TableRun, plan: Plan, covered: int
) -> Checkpoint:
    """The checkpoint with how far the run has come, if a later run may go on there."""
    if plan.resume_token is not None and not _is_in_the_way(before, plan):
        return replace(
            after,
            action=run.request.action,
            resume_token=plan.resume_token,
            covered_until=covered,
        )
    if plan.resume_token is None and before.resume_token is None:
        is_used = after.stage is not None or after.compared_from is not None
        return replace(after, covered_until=covered if is_used else None)
    return after


def _is_in_the_way(before: Checkpoint, plan: Plan) -> bool:
    """Whether a refresh was begun before, which this run must not make begin anew."""
    token = definition.token("refresh", plan.definition)
    return before.resume_token == token != plan.resume_token


def _made_progress(run: TableRun, before: Checkpoint, after: Checkpoint) -> bool:
    """Whether the run has come further than the one before.

    The processed range ends with the window, which ends later in each call. So its end counts only
    if rows were read.
    """
    if run.progress.uploaded or run.progress.deleted:
        return True
    if before.resume_token != after.resume_token or before.verify_from != after.verify_from:
        return True
    return bool(run.progress.fetched) and before.covered_until != after.covered_until
