"""Mode `replace`: loads a fresh table beside the old one, verifies it, and renames it over."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sync.base.errors import (
    ActionRequired,
    OutcomeUnknown,
    OutOfTime,
    Unavailable,
)
from sync.base.words import counted
from sync.model.checkpoint import Checkpoint, KnownTable
from sync.model.columns import TargetTable
from sync.model.ports import SourceTable
from sync.model.window import Totals
from sync.pipeline import checkpoints
from sync.pipeline.closings import close_rejects_of_swap
from sync.pipeline.column_changes import column_changes, report_column_changes
from sync.pipeline.definition import definition, is_rekeyed
from sync.pipeline.delete_guard import DeleteGuard, empty_source
from sync.pipeline.deliver import Delivery
from sync.pipeline.prefetch import batch_bytes, prefetch
from sync.pipeline.prepare import as_held, check_is_table, check_parents, made_of
from sync.pipeline.rejects import RejectBook, is_too_many
from sync.pipeline.table_run import TableRun
from sync.pipeline.warnings import warn_of_keys, warn_of_no_rows

SUFFIX = "__fresh"
# The checkpoint's action of a table that this sync has swapped, so that the fresh table is its own.
SWAP = "swap"
# A table that had so much of the time budget and did not fit will not fit the next time either.
WHOLE_BUDGET = 0.9


@dataclass(frozen=True)
class SwapPlan:
    """What a swap is about. source: where the rows come from. old_exists: there is a table.

    open_rejects: of earlier runs. definition: fingerprint of what the rows are made of. rekeyed:
    the old table was made with another key.
    """

    source: SourceTable
    old_exists: bool
    fresh_exists: bool
    open_rejects: int
    definition: str
    rekeyed: bool

    @property
    def sentence(self) -> str:
        """What happens to the target's schema, in words."""
        return "the table is swapped" if self.old_exists else "the table is made"


def plan_swap(run: TableRun, schema: dict[str, TargetTable], known: KnownTable) -> SwapPlan:
    """Plan a swap. Writes nothing. Raises SchemaMismatch, ActionRequired."""
    source = run.source.describe(run.table)
    held = schema.get(run.name)
    check_is_table(run, held)
    source = as_held(run, source, schema)
    wide = run.source.wide_integers(source, source.open_integers)
    source = source.with_wide(wide)
    fresh_exists = run.name + SUFFIX in schema
    current = definition(run.table, source)
    before = known.checkpoint.definition
    changed = column_changes(before, current, takes_all=run.table.takes_all)
    report_column_changes(run, changed, {}, {})
    rekeyed = before is not None and is_rekeyed(before, current)
    return SwapPlan(source, held is not None, fresh_exists, known.open_rejects, current, rekeyed)


def claim_fresh(run: TableRun, plan: SwapPlan, checkpoint: Checkpoint) -> Checkpoint:
    """Record that the fresh table is this sync's own, before it is made. Returns the checkpoint.

    Raises ActionRequired when a table of its name is there that the sync did not make.
    """
    fresh = run.name + SUFFIX
    if plan.fresh_exists and checkpoint.action != SWAP:
        raise ActionRequired(
            f"{run.name}: Aito has a table {fresh}, which this sync did not make and would need "
            "to drop; drop or rename it, or give the table another `name`"
        )
    claimed = replace(checkpoint, action=SWAP)
    return checkpoints.save(run.ledger, run.clock, checkpoint, claimed)


def swap(run: TableRun, plan: SwapPlan, schema: dict[str, TargetTable]) -> None:
    """Replace the table's rows by the source's.

    Raises OutOfTime, TooManyRejects, ActionRequired, Unavailable. The old rows stay then.
    """
    fresh = run.name + SUFFIX
    _make_fresh(run, plan, fresh, schema)
    totals = count_keys(run, plan)
    rejects = RejectBook(run, plan.source, lambda: totals.rows or run.source.count(plan.source))
    had_whole_budget = run.deadline.left > WHOLE_BUDGET * run.settings.time_budget_seconds
    try:
        taken = _fill(run, plan, fresh, rejects)
    except OutOfTime as error:
        if not had_whole_budget or run.deadline.stopped():
            raise
        raise ActionRequired(_too_long(run)) from error
    run.progress.fetched = max(run.progress.fetched, totals.rows)
    gone = rows_gone(run, plan, run.progress.fetched, taken + run.progress.rejected)
    _verify(run, fresh, taken)
    run.lease.check()
    _rename_over(run, fresh)
    run.progress.deleted += gone
    schema.pop(fresh, None)
    schema[run.name] = made_of(plan.source.columns)
    run.progress.verified = True
    close_rejects_of_swap(run, plan.open_rejects, rejects)


def count_keys(run: TableRun, plan: SwapPlan) -> Totals:
    """Count the source, and warn of rows that share their keys.

    Without a key no row replaces another one, so only a dry run counts.
    """
    if run.table.key_parts:
        totals = run.source.totals(plan.source)
        warn_of_keys(run, plan.source, None, totals)
        return totals
    rows = run.source.count(plan.source) if run.request.dry_run else 0
    return Totals(rows, rows, 0)


def _too_long(run: TableRun) -> str:
    return (
        f"{run.name}: time_budget_seconds {run.settings.time_budget_seconds:g} was spent after "
        f"{counted(run.progress.fetched, 'row')}; a table of mode replace is loaded in one go, so "
        "calling again would not end otherwise; the old rows stay; raise time_budget_seconds, or "
        "give the table a cursor and mode merge"
    )


def _make_fresh(run: TableRun, plan: SwapPlan, fresh: str, schema: dict[str, TargetTable]) -> None:
    """Make an empty table beside the old one. What a killed run left behind is dropped."""
    check_parents(run, schema, frozenset())
    run.lease.check()
    if plan.fresh_exists:
        run.target.drop(fresh)
    run.target.create(fresh, plan.source.columns)


def _fill(run: TableRun, plan: SwapPlan, fresh: str, rejects: RejectBook) -> int:
    """Send everything. Returns how many rows were taken."""
    progress = run.progress
    delivery = Delivery(run, rejects, plan.source, fresh)
    progress.slices_planned = 1
    run.source.stage(plan.source, None)
    for batch in prefetch(run.source.batches(plan.source, None, run.settings.batch), batch_bytes):
        run.deadline.check(run.name)
        progress.fetched += batch.rows
        delivery.send(batch)
    delivery.finish()
    if is_too_many(run.table, progress.rejected, progress.fetched):
        raise rejects.too_many(progress.rejected, progress.fetched)
    progress.slices_done = 1
    return delivery.taken


def rows_gone(run: TableRun, plan: SwapPlan, rows: int, keys: int) -> int:
    """How many rows fewer the source has than the old table. Warns where neither ever had any.

    rows, keys: of the source. Where the key is another one than before, keys may be fewer although
    no row is gone.
    Raises EmptySource when the source shows no rows and the old table has some, DeleteRefused when
    the configuration sets `delete` and more than that are gone.
    """
    old = run.target.count(run.name) if plan.old_exists else 0
    if not keys and not old:
        warn_of_no_rows(run)
    if not keys and old and "empty_source" not in run.request.allow:
        raise empty_source(run.name, old)
    gone = max(0, old - (rows if plan.rekeyed else keys))
    if "delete" in run.table.model_fields_set:
        DeleteGuard(run).check(gone)
    return gone


def _verify(run: TableRun, fresh: str, taken: int) -> None:
    stored = run.target.count(fresh)
    if stored != taken:
        raise Unavailable(
            f"{run.name}: {stored:,} of {taken:,} rows arrived; the old table stays, try again"
        )


def _rename_over(run: TableRun, fresh: str) -> None:
    """Rename over the old table. When the answer is lost, the schema tells whether it happened."""
    try:
        run.target.rename(fresh, run.name)
    except OutcomeUnknown:
        if fresh in run.target.schema():
            raise
