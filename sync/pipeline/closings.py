"""Closes rejects at the end of a run that ended well.

A reject is closed when its row was stored, when its key left the source or the keep range, or when
a newer reject of its key replaced it. If the run has read the row's cursor range and has not met
the reject again, it is closed. Outside of that range it is closed if the target holds the key.

Rejects that only failed runs have met before are recorded again: from now on they are excused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from sync.model import window as windows
from sync.model.columns import NUMBER_TYPES, key_type
from sync.model.conditions import OneOf
from sync.model.plan import Plan
from sync.model.records import OpenReject, RejectRecord, RowId
from sync.model.window import Window
from sync.pipeline.rejects import NOBODY, RejectBook, after, is_old
from sync.pipeline.table_run import TableRun

LOOKUP_KEYS = 500  # keys in one question to the target
SETTLED = "closed: the row was taken, or is no longer in the source"
TAKEN = "closed: Aito holds the row, or a newer one of its key"
TOO_OLD = "closed: the row is older than `keep`"


Closings = dict[RowId, str]  # row -> why its rejects are over


def close_rejects(run: TableRun, plan: Plan, rejects: RejectBook) -> None:
    """Close the earlier rejects that are over. Costs nothing where none is open."""
    if not plan.open_rejects:
        return
    left = _not_met(rejects)
    closings: Closings = {}
    for reject in left:
        if _is_too_old(run, reject):
            closings[reject.row_id] = TOO_OLD
        elif _was_read(plan, reject):
            closings[reject.row_id] = SETTLED
    if run.progress.uploaded:
        unread = [reject for reject in left if reject.row_id not in closings]
        closings |= {reject.row_id: TAKEN for reject in _taken(run, plan, unread)}
    _record(run, left, closings)
    _excuse(run, rejects)


def close_rejects_of_swap(run: TableRun, open_rejects: int, rejects: RejectBook) -> None:
    """Close the earlier rejects that a swap, which reads everything, did not meet again."""
    if not open_rejects:
        return
    left = _not_met(rejects)
    _record(run, left, {reject.row_id: SETTLED for reject in left})
    _excuse(run, rejects)


def _not_met(rejects: RejectBook) -> list[OpenReject]:
    """The earlier rejects that this run neither met again nor replaced by newer ones."""
    keys = rejects.keys()
    return [
        each
        for each in rejects.earlier()
        if not rejects.holds(each.row_id) and each.row_id.key not in keys
    ]


def _is_too_old(run: TableRun, reject: OpenReject) -> bool:
    oldest = windows.window(run.now, None, 0, run.table.keep).start
    cursor = reject.row_id.cursor
    return cursor is not None and cursor < oldest


def _was_read(plan: Plan, reject: OpenReject) -> bool:
    """Whether this run would have met the reject. Unread rows may exist in a pruned plan."""
    if reject.row_id == NOBODY:
        return plan.cursorless == 0
    cursor = reject.row_id.cursor
    if cursor is None:  # of a time when the table had no cursor
        return True
    read = Window(min(plan.window.start, plan.verify_since), plan.window.end)
    return read.start <= cursor < read.end and not plan.source.reads_recent_only


def _taken(run: TableRun, plan: Plan, rejects: Sequence[OpenReject]) -> Iterator[OpenReject]:
    """The rejects whose key the target holds with the same cursor or a newer one."""
    is_number = key_type(plan.source, run.key) in NUMBER_TYPES
    known = [reject for reject in rejects if reject.row_id.key is not None]
    for first in range(0, len(known), LOOKUP_KEYS):
        part = known[first : first + LOOKUP_KEYS]
        texts = [str(reject.row_id.key) for reject in part]
        keys = tuple(int(text) if is_number else text for text in texts)
        newest = _newest_cursors(run, keys)
        for reject in part:
            held = newest.get(str(reject.row_id.key))
            cursor = reject.row_id.cursor
            if held is not None and cursor is not None and held >= cursor:
                yield reject


def _newest_cursors(run: TableRun, keys: tuple[int | str, ...]) -> dict[str, int]:
    """The newest cursor that the target holds of each key."""
    newest: dict[str, int] = {}
    columns = [run.key, run.cursor]
    for hit in run.target.rows(run.name, OneOf(run.key, keys), run.key, columns):
        key, cursor = str(hit[run.key]), hit[run.cursor]
        newest[key] = max(cursor, newest.get(key, cursor))
    return newest


def _record(run: TableRun, left: Sequence[OpenReject], closings: Closings) -> None:
    now = run.clock.utc()
    records = []
    for reject in left:
        reason = closings.get(reject.row_id)
        if reason is not None:
            record = _reject(run, reject, reason, now)
            records.append(replace(record, closed_at=record.rejected_at))
        elif is_old(reject, now):
            records.append(_reject(run, reject, reject.reason, now))
    run.ledger.record_rejects(records)


def _excuse(run: TableRun, rejects: RejectBook) -> None:
    """Record what this good run has met and only failed runs have recorded."""
    now = run.clock.utc()
    records = [_reject(run, each, each.reason, now) for each in rejects.met_but_not_excused()]
    run.ledger.record_rejects(records)


def _reject(run: TableRun, reject: OpenReject, reason: str, now: datetime) -> RejectRecord:
    """A record of the same row. Its document stays in the first one."""
    return RejectRecord(
        run_id=run.run_id,
        table=run.name,
        key=reject.row_id.key,
        cursor=reject.row_id.cursor,
        document=None,
        reason=reason,
        rejected_at=after(reject, now).isoformat(),
    )
