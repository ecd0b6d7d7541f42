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
from sync.evaluation.retention import Wanted, begin, open_studies, plan, proceed
from sync.evaluation.study import Study
from sync.model.records import EvaluationRecord, LastSync, WatchRecords

# Starts of one evaluation after one sync. Who looks too seldom would lose the results of all.
MAX_STARTS = 3
FIRST_WAIT, LONGEST_WAIT = 2.0, 30.0  # seconds between two looks at a job that is waited for
# The same, for a study. Aito keeps a result for 15 minutes.
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 600.0

Syncs = Mapping[str, LastSync]


def resume(
    context: EvaluationContext, tables: Sequence[TableSettings], records: WatchRecords
) -> list[StartedEvaluation]:
    """Collect what has ended, and start the next evaluation that is due unless one runs.

    When none is due, the next job of a study is started.
    tables: all tables of the configuration. records: from the ledger, a moment ago.
    """
    known = look(context, tables, records.evaluations, everything=True, syncs=records.syncs)
    if _due(context, tables, records.syncs, known):
        record = _start_due(context, tables, records.syncs, known)
        return [StartedEvaluation.of(record)] if record else []
    proceed(context, known, may_start=running_one(known, context.clock.utc()) is None)
    return []


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


def begin_study(
    context: EvaluationContext,
    table: TableSettings,
    wanted: Wanted,
    known: Sequence[EvaluationRecord],
    *,
    dry_run: bool = False,
) -> Study:
    """Begin a study of a table, or find the one that is not over. `resume` starts its jobs.

    dry_run: only plan it. Raises ActionRequired when there is nothing to try.
    """
    for record in open_studies(known):
        if record.table == table.name:
            found = context.ledger.study(record.evaluation_id, record.started_at)
            return Study.from_json(found.plan)
    study = plan(context, table, wanted)
    if not dry_run:
        begin(context, study)
    return study


def wait_for_study(context: EvaluationContext, table: str, seconds: float) -> None:
    """Collect and start evaluations and studies until a table's study has ended.

    Takes so many seconds at most. Another run may go on with the study meanwhile, so the ledger is
    read before each step. Raises what the ledger raises.
    """
    deadline = Deadline.after(context.clock, seconds, context.deadline.stopped)
    context = dataclasses.replace(context, deadline=deadline)
    names = [each.name for each in context.tables]
    job, pauses = None, Pauses(context)
    while True:
        now = context.clock.utc()
        records = context.ledger.watch_records(names, now - MEMORY, now)
        resume(context, context.tables, records)
        records = context.ledger.watch_records(names, now - MEMORY, now)
        awaited = [each for each in open_studies(records.evaluations) if each.table == table]
        if deadline.over or not awaited:
            return
        running = running_one(records.evaluations, context.clock.utc())
        before, job = job, running.job_id if running else None
        pauses.next(is_new=job != before)


class Pauses:
    """The pauses between looks at a study's jobs. They are few: each look is a request.

    The first look at a job comes after the time that the job before it took.
    """

    def __init__(self, context: EvaluationContext) -> None:
        self._context = context
        self._expected = 0.0  # seconds that the job before took; 0: not known
        self._waited = 0.0

    def next(self, *, is_new: bool) -> None:
        """Sleep until the next look. is_new: the job was started a moment ago."""
        if is_new:
            self._expected, self._waited = self._waited, 0.0
            seconds = self._expected
        else:
            seconds = self._waited * (0.5 if self._expected else 2.0)
        seconds = min(max(FIRST_PAUSE, seconds), LONGEST_PAUSE)
        _pause(self._context, seconds)
        self._waited += seconds


def _is_awaited(
    context: EvaluationContext,
    tables: Sequence[TableSettings],
    syncs: Syncs,
    known: Sequence[EvaluationRecord],
) -> bool:
    """Whether an evaluation of the tables runs, or is due and has to wait for another one."""
    running = running_one(known, context.clock.utc())
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
    if not due or running_one(known, context.clock.utc()):
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
