"""Deletes what is older than `keep`, and refuses when that would be a large part of the table."""

from __future__ import annotations

from sync.base.errors import PurgeRefused
from sync.model.conditions import Before
from sync.pipeline.table_run import TableRun


def purge(run: TableRun, *, new_rows: int = 0) -> None:
    """Purge one table. A dry run only counts. Raises PurgeRefused past purge.max_share.

    new_rows: that a dry run would have loaded before.

    A parent's rows are deleted although children may still link to them: Aito reads such a link
    as absent, and the children are purged first.
    """
    if run.table.keep is None:
        return
    old_rows = Before(run.cursor, run.now - run.table.keep)
    old = run.target.count(run.name, old_rows)
    if not old:
        return
    if "purge" not in run.request.allow:
        _check_share(run, old, run.target.count(run.name) + new_rows)
    if run.request.dry_run:
        run.progress.purged = old
        return
    run.lease.check()
    run.progress.purged = run.target.delete(run.name, old_rows)


def _check_share(run: TableRun, old: int, total: int) -> None:
    share = run.table.purge.max_share
    if old <= share * total:
        return
    message = (
        f"{run.name}: {old} of {total} rows are older than keep, more than purge.max_share "
        f"{share:g} allows to delete in one run; nothing was purged. If that is right, allow it "
        'once with {"allow": ["purge"]} (--allow purge), or raise purge.max_share'
    )
    fields = {"table": run.name, "old": old, "total": total, "max_share": share}
    if not run.request.dry_run:
        run.events("purge_refused", message, "ERROR", **fields)
    raise PurgeRefused(message)
