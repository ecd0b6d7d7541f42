"""Swaps a small table as a whole: loads a fresh one beside it, verifies it, renames it over the
old.
"""

from __future__ import annotations

from sync.base.errors import ActionRequired, OutcomeUnknown, OutOfTime, TooManyRejects, Unavailable
from sync.bigquery.queries import Origin, faults
from sync.model.ports import Work
from sync.pipeline.deliver import Sender, too_many
from sync.pipeline.plan import definition
from sync.pipeline.prefetch import ahead, size

SUFFIX = "__fresh"
# of the time budget: a table that had so much of it and did not fit will not fit the next time
WHOLE = 0.9


def replace(work: Work) -> None:
    """Replace the table's rows by the source's.

    Raises OutOfTime, TooManyRejects, SchemaMismatch, Unavailable.
    """
    origin, _ = work.source.origin(work.table)
    if work.request.dry_run:
        return
    fresh = work.table.name + SUFFIX
    _make(work, origin, fresh)
    whole = work.deadline.left > WHOLE * work.settings.time_budget_seconds
    try:
        sent = _fill(work, origin, fresh)
    except OutOfTime as error:
        if not whole or work.deadline.stopped():
            raise
        raise ActionRequired(_too_long(work)) from error
    _verify(work, fresh, sent)
    work.lease.check()
    _swap(work, fresh)
    work.schema[work.table.name] = {
        name: dict(column) for name, column in definition(origin).items()
    }
    work.report.verified = True


def _too_long(work: Work) -> str:
    return (
        f"{work.table.name}: time_budget_seconds {work.settings.time_budget_seconds:g} was spent"
        f" after {work.report.fetched} rows; a table of mode replace is loaded in one go, so"
        " calling again would not end otherwise; the old rows stay; raise time_budget_seconds, or"
        " give the table a cursor and mode merge"
    )


def _make(work: Work, origin: Origin, fresh: str) -> None:
    """An empty table beside the old one; what a killed run left behind goes first."""
    absent = [table for table in work.table.parents if table not in work.schema]
    if absent:
        raise ActionRequired(
            f"{work.table.name}: links to {', '.join(absent)}, which Aito does not have; sync that"
            " table first"
        )
    work.lease.check()
    if fresh in work.schema:
        work.target.drop(fresh)
    work.target.create(fresh, definition(origin))
    work.schema[fresh] = {}


def _fill(work: Work, origin: Origin, fresh: str) -> int:
    """Send everything; how many rows were taken."""
    report, most = work.report, work.settings.batch
    sender = Sender(work, faults(origin.columns), 0, fresh)
    report.slices_planned = 1
    for batch in ahead(work.source.batches(origin, None, most.rows, most.bytes), size):
        work.deadline.check(report.table)
        report.fetched += batch.rows
        sender.send(batch)
    sender.finish()
    if report.rejected > work.table.rejects.max_share * report.fetched:
        raise TooManyRejects(too_many(work, report.rejected, report.fetched))
    report.slices_done = 1
    return report.uploaded


def _verify(work: Work, fresh: str, sent: int) -> None:
    there = work.target.count(fresh)
    if there != sent:
        raise Unavailable(
            f"{work.table.name}: {there} rows arrived of {sent} sent; the old table stays, try"
            " again"
        )


def _swap(work: Work, fresh: str) -> None:
    """Rename over the old table. When the answer is lost, the schema tells whether it happened."""
    try:
        work.target.rename(fresh, work.table.name)
    except OutcomeUnknown:
        if fresh in work.target.schema():
            raise
    work.schema.pop(fresh, None)
