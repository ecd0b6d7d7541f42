"""Collect evaluations between syncs, and start the next one that is due.

Aito keeps the result of a job for about 15 minutes after its end. So a watch has to look every ten
minutes; `--wait` looks more often. A look without an open or due evaluation costs no request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from sync.base.clock import Deadline
from sync.base.errors import SyncError
from sync.config import TableSettings
from sync.evaluation.collect import MEMORY, look
from sync.evaluation.context import EvaluationContext, LoadedTable, StartedEvaluation
from sync.evaluation.launch import Candidate, longest_waiting, running_one, start_first
from sync.model.records import EvaluationRecord, LastSync, WatchRecords

# Starts of one evaluation after one sync. Who looks too seldom would lose the results of all.
MAX_STARTS = 3
FIRST_WAIT, LONGEST_WAIT = 2.0, 30.0  # seconds between two looks at a job that is waited for

Syncs = Mapping[str, LastSync]


def resume(
    context: EvaluationContext, tables: Sequence[TableSettings], records: WatchRecords
) -> list[StartedEvaluation]:
    """Collect what has ended, and start the next evaluation that is due unless one runs.

    tables: all tables of the configuration. records: from the ledger, a moment ago.
    """
    known = look(context, tables, records.evaluations, everything=True)
    record = _start_due(context, tables, records.syncs, known)
    return [StartedEvaluation.of(record)] if record else []


def wait_for(
    context: EvaluationContext,
    tables: Sequence[TableSettings],
    seconds: float,
    names: Collection[str] | None = None,
) -> list[EvaluationRecord]:
    """Collect and start evaluations until none is open or due, for so many seconds at most.

    tables: all tables of the configuration. names: those whose evaluations are waited for; None:
    all. Returns all recent evaluations in their last known state. Raises what the ledger raises.
    """
    deadline = Deadline.after(context.clock, seconds, context.deadline.stopped)
    context = dataclasses.replace(context, deadline=deadline)
    chosen = [table for table in tables if names is None or table.name in names]
    chosen_names = [table.name for table in chosen]
    now = context.clock.utc()
    records = context.ledger.watch_records(chosen_names, now - MEMORY, now)
    known, pause = list(records.evaluations), FIRST_WAIT
    while True:
        known = look(context, tables, known, everything=True)
        started = _start_due(context, chosen, records.syncs, known)
        if started:
            known.append(started)
        if deadline.over or not _is_awaited(context, chosen, records.syncs, known):
            return known
        _pause(context, pause)
        pause = min(2 * pause, LONGEST_WAIT)


def _is_awaited(
    context: EvaluationContext,
    tables: Sequence[TableSettings],
    syncs: Syncs,
    known: Sequence[EvaluationRecord],
) -> bool:
    """Whether an evaluation of the tables runs, or is due and has to wait for another one."""
    running = running_one(known)
    if running is None:
        return False
    names = [table.name for table in tables]
    runs = any(record.is_open and record.table in names for record in known)
    return runs or bool(_due(context, tables, syncs, known))


def _pause(context: EvaluationContext, seconds: float) -> None:
    """Sleep so long. The end of the deadline, and a request to stop, end the pause."""
    left = seconds
    while left > 0 and not context.deadline.over:
        step = min(1.0, left, context.deadline.left)
        context.clock.sleep(step)
        left -= step


def _start_due(
    context: EvaluationContext,
    tables: Sequence[TableSettings],
    syncs: Syncs,
    known: Sequence[EvaluationRecord],
) -> EvaluationRecord | None:
    """Start the evaluation that is due and has waited longest, unless one runs."""
    due = _due(context, tables, syncs, known)
    if not due or running_one(known):
        return None
    try:
        schema = context.target.schema()
    except SyncError as error:
        message = f"{due[0].title}: not started; the next watch tries again: {error}"
        context.events("evaluation_failed", message, "WARNING")
        return None
    return start_first(context, longest_waiting(due, known), schema)


def _due(
    context: EvaluationContext,
    tables: Sequence[TableSettings],
    syncs: Syncs,
    known: Sequence[EvaluationRecord],
) -> list[Candidate]:
    return [
        candidate
        for candidate, synced_at in _candidates(tables, syncs)
        if _is_due(context, candidate, synced_at, known)
    ]


def _candidates(
    tables: Sequence[TableSettings], syncs: Syncs
) -> Iterator[tuple[Candidate, datetime]]:
    """Every evaluation of an enabled table that was synced, and when that sync started."""
    for table in tables:
        sync = syncs.get(table.name)
        if not table.enabled or sync is None or sync.started_at is None:
            continue
        loaded = LoadedTable(table, sync.watermark)
        for evaluation in table.evaluate:
            yield Candidate(loaded, evaluation), sync.started_at


def _is_due(
    context: EvaluationContext,
    candidate: Candidate,
    synced_at: datetime,
    known: Sequence[EvaluationRecord],
) -> bool:
    """Whether an evaluation was not started since the last sync, or was lost since.

    One that was lost is started MAX_STARTS times in all, and once in a run.
    """
    starts = [
        record
        for record in known
        if record.series == candidate.series and record.started_at >= synced_at
    ]
    if not starts:
        return True
    in_this_run = candidate.id_in(context.run_id) in [each.evaluation_id for each in starts]
    was_lost = starts[-1].state == "lost"
    return was_lost and not in_this_run and len(starts) < MAX_STARTS
