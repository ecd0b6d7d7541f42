"""How fresh a table is: the age of its newest row, and of the last run that ended well."""

from __future__ import annotations

from typing import Any

from sync.model.records import LastSync
from sync.pipeline.table_run import TableRun


def report_freshness(run: TableRun, last: LastSync | None, open_rejects: int) -> None:
    """Emit the table's `freshness` event. last: what the ledger knows of its syncs.

    open_rejects: rows that the target would not take, and that nothing has settled since.

    A table into which nothing was ever loaded carries `empty`, and how long ago its first run was.
    """
    now = int(run.clock.now())
    newest = last.watermark if last else None
    ended = last.finished_at if last else None
    age = None if newest is None else now - newest
    ok_age = None if ended is None else max(0, now - int(ended.timestamp()))
    run.progress.watermark_before = run.progress.watermark_after = newest
    fields: dict[str, Any] = {
        "age_seconds": age,
        "ok_age_seconds": ok_age,
        "open_rejects": open_rejects,
    }
    message = f"{run.name}: newest row {_in_words(age)}, last good sync {_in_words(ok_age)}"
    if newest is None and not (last and last.has_rows):
        fields |= {"empty": True, "empty_seconds": _since(last, now)}
        message = f"{message}, nothing was ever loaded"
    if open_rejects:
        message = f"{message}, {open_rejects} open rejects"
    run.events("freshness", message, table=run.name, **fields)


def _since(last: LastSync | None, now: int) -> int | None:
    """Seconds since the first run of a table; None: there was none."""
    if last is None or last.first_at is None:
        return None
    return max(0, now - int(last.first_at.timestamp()))


def _in_words(seconds: int | None) -> str:
    if seconds is None:
        return "none"
    return f"{seconds / 3600:.1f} h old" if seconds >= 3600 else f"{seconds} s old"
