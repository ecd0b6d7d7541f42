"""The range in which both ends are compared at the end of a run."""

from __future__ import annotations

from dataclasses import replace

from sync.model import window as windows
from sync.model.checkpoint import Checkpoint
from sync.model.plan import Plan
from sync.model.window import earliest
from sync.pipeline.refresh import Situation, is_recent
from sync.pipeline.table_run import TableRun, oldest

# A call that follows an interrupted one so soon does not load again what that one has loaded. What
# was updated in place meanwhile is read by the next run, as long as it is not behind `lookback`.
CALLS_IN_A_ROW_SECONDS = 3_600


def with_verification(run: TableRun, situation: Situation, plan: Plan, *, resumes: bool) -> Plan:
    """The plan with the range in which both ends must be equal at the end.

    After a run that was interrupted it begins where that run has left off. After one that died it
    begins where both ends were last found equal, and in merge at the oldest row: a key's newest
    row may be of any age. It goes by keys then: one row too many would hide one that is missing.
    """
    checkpoint = situation.checkpoint
    left_since = _left_since(run, situation, plan)
    by_keys_since = left_since
    if checkpoint.verify_from is None:
        by_keys_since = earliest(left_since, checkpoint.unsettled_since)
    goes_on = by_keys_since is not None and by_keys_since == checkpoint.verify_from
    compared_from = checkpoint.compared_from if goes_on and is_recent(run, checkpoint) else None
    return replace(
        plan,
        verify_since=_verify_since(run, plan, by_keys_since, resumes=resumes),
        keys_since=None if by_keys_since is None else max(oldest(run), by_keys_since),
        left_since=left_since,
        compared_from=compared_from,
        done_until=_loaded_until(run, checkpoint, plan, compared_from),
    )


def _left_since(run: TableRun, situation: Situation, plan: Plan) -> int | None:
    """Start of what earlier runs have left uncompared; None: nothing."""
    checkpoint = situation.checkpoint
    left = [checkpoint.verify_from]
    if plan.stage is None:
        left.append(checkpoint.staged_from)
    if situation.has_crashed:
        replaces_by_key = run.table.replaces_by_key
        left.append(oldest(run) if replaces_by_key else _verified_until(run, plan))
    return earliest(*left)


def _verify_since(run: TableRun, plan: Plan, by_keys_since: int | None, *, resumes: bool) -> int:
    """Start of the range in which both ends must be equal at the end."""
    if plan.is_range:
        return plan.window.start
    everything = oldest(run)
    reads_everything = plan.is_refresh and not resumes
    start = everything if reads_everything else plan.window.start
    if by_keys_since is None:
        return start
    return max(everything, min(start, by_keys_since))


def _loaded_until(
    run: TableRun, checkpoint: Checkpoint, plan: Plan, compared_from: int | None
) -> int | None:
    """The end of what is loaded. Where a comparison goes on, all of the run before it is."""
    was_loaded = compared_from is not None and checkpoint.resume_token is None
    if plan.stage or plan.refresh or run.request.dry_run or not was_loaded:
        return plan.done_until
    if not is_recent(run, checkpoint, CALLS_IN_A_ROW_SECONDS):
        return plan.done_until
    return checkpoint.covered_until


def _verified_until(run: TableRun, plan: Plan) -> int:
    """Start of what no run has found equal yet, epoch seconds."""
    proven = run.ledger.last_verified(run.name)
    if proven is not None and plan.watermark is not None and proven > plan.watermark:
        proven = None  # the target's table was made anew since
    return windows.window(run.now, proven, run.table.lookback, run.table.keep).start
