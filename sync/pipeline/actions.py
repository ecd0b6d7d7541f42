"""What each action does with a table, and what goes with it. One line a kind of run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from sync.base.errors import ActionRequired, LeaseLost, OutOfTime, RowsLost, SyncError, Unavailable
from sync.model.checkpoint import Checkpoint, KnownTable
from sync.model.columns import TargetTable
from sync.model.plan import Plan
from sync.model.request import Request
from sync.model.window import earliest
from sync.pipeline import checkpoints
from sync.pipeline.definition import changes, mixed
from sync.pipeline.estimate import estimate
from sync.pipeline.load import load
from sync.pipeline.loaded import Loaded
from sync.pipeline.plan import make_plan, report_plan
from sync.pipeline.prepare import check_parents, prepare, tables_to_come
from sync.pipeline.preview import preview_swap, preview_sync
from sync.pipeline.reconcile import reconcile
from sync.pipeline.refresh import Situation
from sync.pipeline.swap import SwapPlan, claim_fresh, plan_swap, swap
from sync.pipeline.table_run import TableRun, oldest
from sync.pipeline.warnings import warn_if_not_incremental, warn_of_unknown_columns


@dataclass
class RunState:
    """What the tables of a run leave to each other.

    schema: of the target, as it is by now. known: what the ledger knew when the run began, of all
    tables that it has a state of. made: the definitions of tables that the target did not have, by
    name. unfinished: tables that an earlier run has left so, and its id. begun: tables that this
    run may have written to. finished: tables whose step ended ok.
    """

    schema: dict[str, TargetTable] = field(default_factory=dict)
    known: dict[str, KnownTable] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    unfinished: Mapping[str, str] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)

    def known_table(self, name: str) -> KnownTable:
        """What the ledger knew of a table."""
        return self.known.get(name, KnownTable(Checkpoint(name)))


# A call that is out of time may make no progress once or twice. So many in a row need a person.
MAX_CALLS_WITHOUT_PROGRESS = 5
Work = Callable[[TableRun, RunState], None]


@dataclass(frozen=True)
class Action:
    """A kind of run. work: what it does with each table.

    writes: it needs the lease, and leaves a row in the ledger. purges and evaluates: what follows
    for tables that ended ok. watches: it loads nothing, and looks at evaluations and freshness.
    studies: it begins a retention study of each table.
    """

    work: Work
    writes: bool = False
    purges: bool = False
    evaluates: bool = False
    watches: bool = False
    studies: bool = False


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
    """Plan and price one table, and tell what would be refused. Writes nothing."""
    plan = _plan_only(run, state)
    if plan:
        preview_sync(run, plan)


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
    ("retention", False): Action(nothing, studies=True),
    ("retention", True): Action(nothing, studies=True),
}


def action_of(request: Request) -> Action:
    """The kind of run that a request asks for."""
    return ACTIONS[request.action, request.dry_run]


def _plan_only(run: TableRun, state: RunState) -> Plan | None:
    """Plan a table. Returns None for a swap, whose rows are not compared."""
    if run.table.mode == "replace":
        preview_swap(run, _plan_swap(run, state))
        return None
    plan = _plan(run, state)
    estimate(run, plan)
    warn_if_not_incremental(run, plan)
    return plan


def _swap(run: TableRun, state: RunState) -> None:
    """Swap a table, and keep what its rows are made of."""
    plan = _plan_swap(run, state)
    before = claim_fresh(run, plan, state.known_table(run.name).checkpoint)
    if run.name in state.unfinished:
        run.source.drop_stages(run.table)
    try:
        swap(run, plan, state.schema)
    except SyncError:
        run.source.drop_stages(run.table)
        raise
    run.source.drop_stages(run.table)
    after = replace(before, definition=plan.definition)
    checkpoints.save(run.ledger, run.clock, before, after)


def _plan_swap(run: TableRun, state: RunState) -> SwapPlan:
    if run.request.dry_run:
        check_parents(run, state.schema, tables_to_come(run.settings.tables, dry_run=True))
    plan = plan_swap(run, state.schema, state.known_table(run.name))
    warn_of_unknown_columns(run, plan.source, state.schema)
    if not plan.old_exists:
        state.made[run.name] = plan.definition
    return plan


def _plan(run: TableRun, state: RunState) -> Plan:
    planned = tables_to_come(run.settings.tables, dry_run=run.request.dry_run)
    check_parents(run, state.schema, planned)
    start = situation(run, state)
    plan = make_plan(run, start)
    report_plan(run, plan)
    warn_of_unknown_columns(run, plan.source, state.schema)
    if plan.changes.create:
        state.made[run.name] = plan.definition
    _warn_of_pending(run, plan, start.checkpoint)
    return plan


def _warn_of_pending(run: TableRun, plan: Plan, checkpoint: Checkpoint) -> None:
    """Warn where rows in the target are not what the configuration says, and stay so for now."""
    known = checkpoint.definition
    changed = changes(known, plan.definition) if known and plan.exists else []
    refreshes = plan.is_refresh and run.request.action == "sync"
    if changed and not refreshes:
        run.warn(
            "refresh_pending",
            f"the configuration changed: {', '.join(changed)}; the next `sync` reads the whole "
            "`keep` range again and changes the rows that Aito holds",
        )
    elif plan.refresh is None and checkpoint.action == "sync":
        run.warn(
            "refresh_pending",
            "a full refresh was begun and has not ended; request full_refresh again to go on",
        )
    _warn_of_passed_over(run, plan)


def _warn_of_passed_over(run: TableRun, plan: Plan) -> None:
    """Warn of rows before a requested range that only the next run looks at."""
    since = earliest(plan.left_since, plan.passed_over_since)
    if not plan.is_range or since is None or since >= plan.window.start:
        return
    run.warn(
        "refresh_pending",
        "only the requested range is processed; rows before it were not loaded yet, and the "
        "next `sync` without a range loads them",
    )


def situation(run: TableRun, state: RunState) -> Situation:
    """What the plan of a table starts from."""
    known = state.known_table(run.name)
    left_by = state.unfinished.get(run.name)
    has_crashed = left_by is not None and left_by != known.checkpoint.run_id
    return Situation(state.schema, known, has_crashed)


def _execute(
    run: TableRun, state: RunState, step: Callable[[TableRun, Plan, Loaded], None]
) -> None:
    """Plan a table, make what the target lacks, take the step, and keep the checkpoint."""
    plan = _plan(run, state)
    start = situation(run, state)
    book = _CheckpointBook(run, start.checkpoint)
    book.save(checkpoints.returned(start.checkpoint))
    state.begun.add(run.name)
    if run.name in state.unfinished:
        run.source.drop_stages(run.table, keep=plan.stage)
    prepare(run, plan.changes, state.schema)
    before = _enter_definition(book, plan)
    if plan.is_refresh and plan.exists:
        book.save(checkpoints.begun(before, plan))
    ready = replace(plan, exists=True)

    def enter_stage(name: str) -> None:
        """Save the name of a new stage at once: the next run finds it after a kill, too."""
        book.save(checkpoints.staged(book.stored, run, ready, name))

    loaded = Loaded(stage=plan.stage, on_stage=enter_stage)
    deletes = run.target.unknown_deletes
    try:
        step(run, ready, loaded)
    except LeaseLost:
        with suppress(SyncError):
            _enter_lost_lease(run, ready, loaded)
        raise
    except SyncError as error:
        _enter_error(run, loaded, error)
        _enter_deletes(run, ready, loaded, deletes)
        after = checkpoints.interrupted(before, run, ready, loaded)
        book.save(after, always=True)
        raise _stalled(run, after, error) from error
    _enter_deletes(run, ready, loaded, deletes)
    _drop_stage(run, loaded)
    if start.has_crashed:
        # The process may be frozen and write once more. So the next run compares again.
        loaded.verify_from = ready.verify_since
    warn_if_not_incremental(run, plan)
    book.save(checkpoints.completed(before, run, ready, loaded))
    state.finished.add(run.name)


class _CheckpointBook:
    """The checkpoints that one run saves of a table. stored: the one that the ledger holds now."""

    def __init__(self, run: TableRun, stored: Checkpoint) -> None:
        self._run = run
        self.stored = stored

    def save(self, after: Checkpoint, *, always: bool = False) -> Checkpoint:
        """Save a checkpoint; see `checkpoints.save`. Returns what the ledger holds now."""
        ledger, clock = self._run.ledger, self._run.clock
        self.stored = checkpoints.save(ledger, clock, self.stored, after, always=always)
        return self.stored


def _enter_definition(book: _CheckpointBook, plan: Plan) -> Checkpoint:
    """Save what the table's rows are made of while the step runs. Returns the checkpoint."""
    before = book.stored
    if plan.changes.create:
        # Also for a run that fails: the next one may make an empty table anew.
        before = book.save(replace(before, definition=plan.definition))
    if before.definition and plan.exists:
        both = mixed(before.definition, plan.definition)
        before = book.save(replace(before, definition=both))
    return before


def _enter_error(run: TableRun, loaded: Loaded, error: SyncError) -> None:
    """Enter what an error of the step means for the next run."""
    if not isinstance(error, Unavailable) or loaded.verify_from is not None:
        # What a person will change may be the source. Then the stage is out of date. Once both
        # ends are compared, all of it has been sent.
        _drop_stage(run, loaded)
    if isinstance(error, RowsLost):
        loaded.verify_from = oldest(run)


def _enter_deletes(run: TableRun, plan: Plan, loaded: Loaded, before: int) -> None:
    """Let the next runs look at what a delete without an answer may remove yet.

    before: the target's count of such deletes before the step. Their rows may be anywhere in what
    was compared.
    """
    if run.target.unknown_deletes > before:
        start = min(plan.window.start, plan.verify_since)
        loaded.unsettled_since = earliest(loaded.unsettled_since, start)


def _drop_stage(run: TableRun, loaded: Loaded) -> None:
    if loaded.stage:
        run.source.drop_stages(run.table)
        loaded.stage = None


def _enter_lost_lease(run: TableRun, plan: Plan, loaded: Loaded) -> None:
    """Tell the run that holds the lease by now what this run may have written without it."""
    known = run.ledger.known_tables(run.clock.utc())
    stored = known.get(run.name, KnownTable(Checkpoint(run.name))).checkpoint
    after = checkpoints.lease_lost(stored, run, plan, loaded)
    checkpoints.save(run.ledger, run.clock, stored, after)


def _stalled(run: TableRun, checkpoint: Checkpoint, error: SyncError) -> SyncError:
    """The error of an interrupted run. It needs a person when too many calls made no progress."""
    calls = checkpoint.calls_without_progress or 0
    if calls < MAX_CALLS_WITHOUT_PROGRESS or not isinstance(error, OutOfTime):
        return error
    return ActionRequired(
        f"{run.name}: {calls} calls in a row made no progress, because each was out of time; "
        f"raise time_budget_seconds, which is {run.settings.time_budget_seconds:g}"
    )
