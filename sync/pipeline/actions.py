"""What each action does with a table, and what goes with it. One line a kind of run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sync.base.errors import SyncError
from sync.model.checkpoint import Checkpoint, KnownTable
from sync.model.columns import TargetTable
from sync.model.plan import Plan
from sync.model.request import Request
from sync.pipeline import checkpoints
from sync.pipeline.definition import changes
from sync.pipeline.load import Loaded, load
from sync.pipeline.plan import Situation, estimate, make_plan, report_plan
from sync.pipeline.prepare import check_parents, prepare, tables_to_come
from sync.pipeline.reconcile import reconcile
from sync.pipeline.swap import SwapPlan, plan_swap, swap
from sync.pipeline.table_run import TableRun


@dataclass
class RunState:
    """What the tables of a run leave to each other. schema: of the target, as it is by now.

    known: what the ledger knew when the run began, of all tables that it has a state of.
    made: the definitions of tables that the target did not have, by name.
    """

    schema: dict[str, TargetTable] = field(default_factory=dict)
    known: dict[str, KnownTable] = field(default_factory=dict)
    unfinished: frozenset[str] = frozenset()
    made: dict[str, str] = field(default_factory=dict)

    def known_table(self, name: str) -> KnownTable:
        """What the ledger knew of a table."""
        return self.known.get(name, KnownTable(Checkpoint(name)))


Work = Callable[[TableRun, RunState], None]


@dataclass(frozen=True)
class Action:
    """A kind of run. work: what it does with each table.

    writes: it needs the lease, and leaves a row in the ledger. purges and evaluates: what follows
    for tables that ended ok. watches: it loads nothing, and looks at evaluations and freshness.
    """

    work: Work
    writes: bool = False
    purges: bool = False
    evaluates: bool = False
    watches: bool = False


def sync_table(run: TableRun, state: RunState) -> None:
    """Load one table."""
    if run.table.mode == "replace":
        _swap(run, state)
        return
    _execute(run, state, load)


def reconcile_table(run: TableRun, state: RunState) -> None:
    """Compare the whole keep range of one table, and repair. A swap compares everything."""
    if run.table.mode == "replace":
        _swap(run, state)
        return
    _execute(run, state, reconcile)


def plan_sync(run: TableRun, state: RunState) -> None:
    """Plan and price one table. Writes nothing."""
    _plan_only(run, state)


def plan_reconcile(run: TableRun, state: RunState) -> None:
    """Plan one table, and count the differences of both ends. Writes nothing."""
    plan = _plan_only(run, state)
    if plan:
        reconcile(run, plan, Loaded())


def nothing(run: TableRun, state: RunState) -> None:
    """Do nothing with a table."""


ACTIONS: dict[tuple[str, bool], Action] = {
    ("sync", False): Action(sync_table, writes=True, purges=True, evaluates=True),
    ("sync", True): Action(plan_sync),
    ("reconcile", False): Action(reconcile_table, writes=True),
    ("reconcile", True): Action(plan_reconcile),
    ("watch", False): Action(nothing, watches=True, evaluates=True),
    ("watch", True): Action(nothing, watches=True),
}


def action_of(request: Request) -> Action:
    """The kind of run that a request asks for."""
    return ACTIONS[request.action, request.dry_run]


def _plan_only(run: TableRun, state: RunState) -> Plan | None:
    """Plan a table. Returns None for a swap, whose rows are not compared."""
    if run.table.mode == "replace":
        _plan_swap(run, state)
        return None
    plan = _plan(run, state)
    estimate(run, plan)
    return plan


def _swap(run: TableRun, state: RunState) -> None:
    """Swap a table, and keep what its rows are made of."""
    plan = _plan_swap(run, state)
    swap(run, plan, state.schema)
    before = state.known_table(run.name).checkpoint
    after = replace(before, definition=plan.definition)
    checkpoints.save(run.ledger, run.clock, before, after)


def _plan_swap(run: TableRun, state: RunState) -> SwapPlan:
    plan = plan_swap(run, state.schema, state.known_table(run.name))
    if not plan.old_exists:
        state.made[run.name] = plan.definition
    return plan


def _plan(run: TableRun, state: RunState) -> Plan:
    planned = tables_to_come(run.settings.tables, dry_run=run.request.dry_run)
    check_parents(run, state.schema, planned)
    start = situation(run, state)
    plan = make_plan(run, start)
    report_plan(run, plan)
    if plan.changes.create:
        state.made[run.name] = plan.definition
    if plan.refresh is None and start.checkpoint.action == "sync":
        run.warn(
            "refresh_pending",
            "a full refresh was begun and has not ended; request full_refresh again to go on",
        )
    return plan


def situation(run: TableRun, state: RunState) -> Situation:
    """What the plan of a table starts from."""
    return Situation(state.schema, state.known_table(run.name), run.name in state.unfinished)


def _execute(
    run: TableRun, state: RunState, step: Callable[[TableRun, Plan, Loaded], None]
) -> None:
    """Plan a table, make what the target lacks, take the step, and keep the checkpoint."""
    plan = _plan(run, state)
    before = situation(run, state).checkpoint
    prepare(run, plan.changes, state.schema)
    if plan.changes.create:
        # Also for a run that fails: the next one may make an empty table anew.
        made = replace(before, definition=plan.definition)
        before = checkpoints.save(run.ledger, run.clock, before, made)
    ready = replace(plan, exists=True)
    loaded = Loaded()
    try:
        step(run, ready, loaded)
    except SyncError:
        after = _interrupted(before, run, ready, loaded)
        checkpoints.save(run.ledger, run.clock, before, after)
        raise
    after = _completed(before, run, ready, loaded)
    checkpoints.save(run.ledger, run.clock, before, after)


def _interrupted(before: Checkpoint, run: TableRun, plan: Plan, loaded: Loaded) -> Checkpoint:
    """The checkpoint after a step that raised."""
    after = _settled(before, plan, loaded, verified=False)
    if plan.resume_token is None:
        return after
    covered = loaded.covered_until
    return replace(
        after,
        action=run.request.action,
        resume_token=plan.resume_token,
        covered_until=plan.window.start if covered is None else covered,
    )


def _completed(before: Checkpoint, run: TableRun, plan: Plan, loaded: Loaded) -> Checkpoint:
    """The checkpoint after a step that ended ok."""
    after = _settled(before, plan, loaded, verified=run.progress.verified)
    refreshed = plan.resume_token is not None and run.request.action == "sync"
    known = before.definition
    if known is None or refreshed or not changes(known, plan.definition):
        # The same but for a shorter `keep`: when it is longer again, rows must be read again.
        after = replace(after, definition=plan.definition)
    resumed = before.resume_token is not None and before.resume_token == plan.resume_token
    if resumed or refreshed:
        after = replace(after, action=None, resume_token=None, covered_until=None)
    return after


def _settled(before: Checkpoint, plan: Plan, loaded: Loaded, *, verified: bool) -> Checkpoint:
    """The checkpoint with the range that the next run must look at once more."""
    since = None if verified else before.unsettled_since
    if loaded.outcome_unknown:
        starts = [plan.window.start, *([] if since is None else [since])]
        since = min(starts)
    return replace(before, unsettled_since=since)
