"""Compares the whole keep range of both ends, and repairs.

By keys, because a count cannot see that as many rows are missing as are doubled. `deep` compares
the contents of all rows, too.
"""

from __future__ import annotations

from sync.base.errors import OutOfTime
from sync.model.plan import Plan
from sync.model.window import Slice
from sync.pipeline.closings import close_rejects
from sync.pipeline.compare import matches, read_index
from sync.pipeline.deliver import Delivery
from sync.pipeline.loaded import Loaded
from sync.pipeline.rejects import RejectBook
from sync.pipeline.repair import Repairer
from sync.pipeline.table_run import TableRun
from sync.pipeline.verify import Verifier


def reconcile(run: TableRun, plan: Plan, loaded: Loaded) -> None:
    """Compare every slice of the plan and repair. A dry run only counts the differences."""
    rejects = RejectBook(run, plan.source, lambda: plan.rows)
    delivery = Delivery(run, rejects, plan.source)
    repairer = Repairer(run, delivery, rejects, loaded)
    try:
        _compare_slices(run, plan, repairer, loaded)
        repairer.delete_extra(plan)
        if not run.request.dry_run:
            Verifier(run, rejects, repairer, loaded).verify_and_repair(plan)
    except OutOfTime:
        repairer.delete_extra(plan)  # else the comparison at the end finds them again
        raise
    finally:
        loaded.unsettled_since = delivery.unsettled_since
    if not run.request.dry_run:
        close_rejects(run, plan, rejects)


def _compare_slices(run: TableRun, plan: Plan, repairer: Repairer, loaded: Loaded) -> None:
    for number, part in enumerate(plan.slices):
        if number:
            run.deadline.check(run.name)
        run.progress.fetched += part.rows
        if not run.request.deep and _equal(run, plan, part):
            run.progress.skipped += part.rows
        else:
            found = repairer.repair(plan, part, delete=True, contents=run.request.deep)
            run.progress.skipped += max(0, part.rows - part.keyless - found.different)
        loaded.covered_until = part.end
        run.slice_done(part.start, part.end)


def _equal(run: TableRun, plan: Plan, part: Slice) -> bool:
    index = read_index(run, part) if plan.exists else {}
    return matches(part, index)
