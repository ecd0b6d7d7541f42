"""Deletes what is older than `keep`, and refuses when that would be a large part of the table."""

from __future__ import annotations

from sync.base.errors import PurgeRefused
from sync.model.ports import Work


def purge(work: Work, now: int) -> None:
    """Purge one table. `now`: the end of the run's window, epoch seconds.

    Raises PurgeRefused past purge.max_share. A parent's rows go although children may still name
    them: Aito reads such a link as absent, and the children are purged first.
    """
    if work.table.keep is None or work.request.dry_run:
        return
    where = {work.cursor: {"$lt": now - work.table.keep}}
    old = work.target.count(work.table.name, where)
    if not old:
        return
    _refuse_too_many(work, old, work.target.count(work.table.name))
    work.lease.check()
    work.report.purged = work.target.delete(work.table.name, where)


def _refuse_too_many(work: Work, old: int, total: int) -> None:
    share = work.table.purge.max_share
    if old <= share * total:
        return
    text = (
        f"{work.table.name}: {old} of {total} rows are older than keep, more than purge.max_share"
        f" {share:g} allows to delete in one run; nothing was purged; if that is right, raise"
        " purge.max_share or purge by hand"
    )
    work.log(
        "purge_refused", text, "ERROR", table=work.table.name, old=old, total=total, max_share=share
    )
    raise PurgeRefused(text)
