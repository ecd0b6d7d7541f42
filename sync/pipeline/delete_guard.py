"""Refuses to delete a large part of a table because the source no longer has the rows."""

from __future__ import annotations

from datetime import timedelta

from sync.base.errors import DeleteRefused, EmptySource
from sync.base.words import counted
from sync.model.ports import SourceTable
from sync.pipeline.table_run import TableRun

WEEK = timedelta(days=7)  # deletions are counted over so many days, so that small ones add up
ALWAYS_ALLOWED = 10  # rows a week; a share of a small table says little


class DeleteGuard:
    """Counts deletions of one table over a week of runs. It is called before the first delete."""

    def __init__(self, run: TableRun) -> None:
        self._run = run
        self._earlier: int | None = None
        self._deleted = 0

    def check(self, rows: int) -> None:
        """Raises DeleteRefused when `rows` more may not be deleted. Nothing was deleted then."""
        if "delete" in self._run.request.allow or not rows:
            return
        deleted = self._deleted_this_week() + rows
        total = self._run.target.count(self._run.name) + deleted - rows
        share = self._run.table.delete.max_share
        if deleted <= max(ALWAYS_ALLOWED, share * total):
            return
        raise DeleteRefused(
            f"{self._run.name}: {deleted:,} of {total:,} rows are gone from the source within a "
            f"week, more than delete.max_share {share:g} allows to delete; nothing was deleted "
            'now. If that is right, allow it once with {"allow": ["delete"]} (--allow delete)'
        )

    def add(self, rows: int) -> None:
        """Count rows that were deleted."""
        self._deleted += rows

    def _deleted_this_week(self) -> int:
        if self._earlier is None:
            since = self._run.clock.utc() - WEEK
            self._earlier = self._run.ledger.deleted_since(self._run.name, since)
        return self._earlier + self._deleted


def check_shows_rows(run: TableRun, source: SourceTable, since: int) -> None:
    """Raises EmptySource when the source shows no row at all, unless the request allows that.

    Call it where the source has none of the rows that were looked for: it may have been emptied
    after it was counted. since: where the run's rows begin, epoch seconds.
    """
    if "empty_source" not in run.request.allow and run.source.is_empty(source, since):
        raise empty_source(run.name, run.target.count(run.name))


def empty_source(table: str, rows: int) -> EmptySource:
    """The error of a source that had rows and shows none."""
    return EmptySource(
        f"{table}: the source shows no rows, and Aito holds {counted(rows, 'row')}; nothing was "
        "deleted. Was the source truncated, made anew, or hidden by a row access policy? If it is "
        'right, allow it once with {"allow": ["empty_source"]} (--allow empty_source)'
    )
