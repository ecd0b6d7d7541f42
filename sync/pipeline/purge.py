"""Deletes what is older than `keep`, and refuses when that would be a large part of the table.

The oldest rows go first, so many in a request that it ends within its time limit.
"""

from __future__ import annotations

from sync.base.errors import PurgeRefused
from sync.pipeline.table_run import TableRun

# Rows in one request. No source says how fast Aito deletes; it stores at least 200 rows a second,
# and a gateway may cut a request after 30 s.
PURGE_ROWS = 5_000


def purge(run: TableRun, *, new_rows: int = 0) -> None:
    """Purge one table. A dry run only counts.

    new_rows: rows that a real run would have loaded before.
    Raises PurgeRefused past purge.max_share, OutOfTime between two requests.

    A parent's rows are deleted although children may still link to them: Aito reads such a link
    as absent, and the children are purged first.
    """
    if run.table.keep is None:
        return
    old_rows = run.cursor_before(run.now - run.table.keep)
    old = run.target.count(run.name, old_rows)
    if not old:
        return
    if "purge" not in run.request.allow:
        _check_share(run, old, run.target.count(run.name) + new_rows)
    if run.request.dry_run:
        run.progress.purged = old
        return
    left = old
    while left > 0:
        end = old_rows.end if left <= PURGE_ROWS else _end_of_slice(run, old_rows.end)
        run.lease.check()
        deleted = run.target.delete(run.name, run.cursor_before(end))
        run.progress.purged += deleted
        left = left - deleted if deleted else 0
        if left > 0:
            run.deadline.check(run.name)


def _end_of_slice(run: TableRun, end: int) -> int:
    """The end of the cursor range, up to `end`, that holds the oldest PURGE_ROWS rows.

    Rows of one second are not parted, so it may hold more.
    """
    cursor = run.target.cursor_at(run.name, run.cursor, end, PURGE_ROWS - 1)
    return end if cursor is None else min(cursor + 1, end)


def _check_share(run: TableRun, old: int, total: int) -> None:
    share = run.table.purge.max_share
    if old <= share * total:
        return
    message = (
        f"{run.name}: {old:,} of {total:,} rows are older than keep, more than purge.max_share "
        f"{share:g} allows to delete in one run; nothing was purged. If that is right, allow it "
        'once with {"allow": ["purge"]} (--allow purge), or raise purge.max_share'
    )
    fields = {"table": run.name, "old": old, "total": total, "max_share": share}
    if not run.request.dry_run:
        run.events("purge_refused", message, "ERROR", **fields)
    raise PurgeRefused(message)
