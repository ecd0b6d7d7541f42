"""Start evaluations: one of a database at a time, because each is heavy for Aito.

A sync starts the evaluation that has waited longest. Later watches start the others.

The job is started first, and its row is written then. When the process is killed between the two,
the job ends by itself and nobody collects it; the next run finds no row and starts another.

Nothing in here raises or fails a table. A problem is an `evaluation_failed` event.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sync.base.errors import ActionRequired, OutcomeUnknown, SyncError
from sync.base.events import Severity
from sync.config import EvaluationSettings
from sync.evaluation import question
from sync.evaluation.context import (
    EvaluationContext,
    Finding,
    Known,
    LoadedTable,
    StartedEvaluation,
    ended,
)
from sync.model.basis import Basis, definition
from sync.model.columns import TargetSchema
from sync.model.records import EvaluationRecord, EvaluationStateName

NEVER = datetime(1, 1, 1, tzinfo=UTC)
START_GRACE = timedelta(minutes=2)  # the outcome of a start is known by then


class Candidate(NamedTuple):
    """An evaluation that may be started."""

    loaded: LoadedTable
    settings: EvaluationSettings

    @property
    def series(self) -> tuple[str, str]:
        """Table and name: what is measured again and again."""
        return self.loaded.table.name, self.settings.name

    @property
    def title(self) -> str:
        """What the evaluation is called in messages."""
        return f"{self.loaded.table.name}: evaluation {self.settings.name}"

    def id_in(self, run_id: str) -> str:
        """The evaluation_id, when a run starts the evaluation."""
        return f"{run_id}-{self.loaded.table.name}-{self.settings.name}"


@dataclass(frozen=True)
class EvaluateBody:
    """An evaluate body, and the rows of the table if they were counted for it."""

    query: dict[str, Any]
    table_rows: int | None = None


def launch(
    context: EvaluationContext,
    loaded: Sequence[LoadedTable],
    schema: TargetSchema,
    known: Known,
) -> list[StartedEvaluation]:
    """Start the evaluation of the loaded tables that has waited longest, unless one runs.

    known: what `collect` returned a moment ago. Reports what was started, and what was not.
    """
    candidates = [
        Candidate(each, evaluation) for each in loaded for evaluation in each.table.evaluate
    ]
    if known is None:
        for candidate in candidates:
            reason = "was not started: the ledger cannot tell whether an evaluation runs"
            _report_skipped(context, candidate, reason, "WARNING")
        return []
    running = running_one(known, context.clock.utc())
    if running:
        _report_waiting(context, candidates, running)
        return []
    record = start_first(context, longest_waiting(candidates, known), schema)
    if record is None:
        return []
    waiting = [each for each in candidates if each.series != record.series]
    _report_waiting(context, waiting, record)
    return [StartedEvaluation.of(record)]


def running_one(known: Sequence[EvaluationRecord], now: datetime) -> EvaluationRecord | None:
    """The evaluation whose end is not on record, if there is one. A study's job is one, too."""
    running = (record for record in known if record.is_open or _is_claimed(record, now))
    return next(running, None)


def _is_claimed(record: EvaluationRecord, now: datetime) -> bool:
    """Whether a run starts a study's job at this moment."""
    is_claim = record.state == "started" and record.job_id is None and not record.is_study
    return is_claim and now - record.started_at < START_GRACE


def longest_waiting(
    candidates: Sequence[Candidate], known: Sequence[EvaluationRecord]
) -> list[Candidate]:
    """The candidates, first those whose last start is longest ago. known: oldest first."""
    last_start = {record.series: record.started_at for record in known}
    return sorted(candidates, key=lambda candidate: last_start.get(candidate.series, NEVER))


def start_first(
    context: EvaluationContext, candidates: Sequence[Candidate], schema: TargetSchema
) -> EvaluationRecord | None:
    """Start the first candidate that can be started, and record it.

    An evaluation that cannot be started is recorded as failed. One that may have been started is
    recorded as lost, and no other one is started beside it.
    """
    for candidate in candidates:
        try:
            return _start(context, candidate, schema)
        except ActionRequired as error:
            _report_failed(context, candidate, error, "ERROR")
            _record_end(context, candidate, "failed", error)
        except OutcomeUnknown as error:
            _report_failed(context, candidate, error, "WARNING")
            _record_end(context, candidate, "lost", error)
            return None
        except SyncError as error:
            _report_failed(context, candidate, error, "WARNING")
            return None
    return None


def _start(
    context: EvaluationContext, candidate: Candidate, schema: TargetSchema
) -> EvaluationRecord:
    context.deadline.check(f"evaluation {candidate.settings.name}")
    body = _body(context, candidate, schema)
    basis = _basis(context, candidate, body)
    job_id = context.target.start_evaluation(body.query)
    record = dataclasses.replace(
        _new_record(context, candidate),
        job_id=job_id,
        result=json.dumps({"query": body.query}),
        basis=basis,
    )
    context.ledger.record_evaluation(record)
    context.events(
        "evaluation_started",
        f"{candidate.title} started as job {job_id}",
        table=record.table,
        name=record.name,
        job_id=job_id,
    )
    return record


def _body(context: EvaluationContext, candidate: Candidate, schema: TargetSchema) -> EvaluateBody:
    """The evaluate body. It predicts about as many rows as `cases` allows."""
    table, settings = candidate.loaded.table, candidate.settings
    if settings.query is not None:
        return EvaluateBody(dict(settings.query))
    question.check_columns(table, settings, schema)
    sample = question.sample(table, settings, candidate.loaded.newest)
    rows = context.target.count(table.name, sample.counted)
    query = question.body(table, settings, sample.limited(rows, settings.cases))
    return EvaluateBody(query, rows if sample.counted is None else None)


def _basis(context: EvaluationContext, candidate: Candidate, body: EvaluateBody) -> Basis:
    """What could change the result. A question that is not answered leaves its part unknown."""
    table, settings = candidate.loaded.table, candidate.settings
    rows, engine = body.table_rows, None
    with suppress(SyncError):
        engine = context.target.engine()
        if rows is None:
            rows = context.target.count(table.name)
    cases = settings.cases if settings.query is None else None
    return Basis(definition(table, settings, context.tables), engine, rows, cases)


def _new_record(context: EvaluationContext, candidate: Candidate) -> EvaluationRecord:
    table, name = candidate.series
    return EvaluationRecord(
        evaluation_id=candidate.id_in(context.run_id),
        run_id=context.run_id,
        table=table,
        name=name,
        job_id=None,
        state="started",
        started_at=context.clock.utc(),
    )


def _record_end(
    context: EvaluationContext,
    candidate: Candidate,
    state: EvaluationStateName,
    error: SyncError,
) -> None:
    record = ended(context, _new_record(context, candidate), state, str(error))
    try:
        context.ledger.record_evaluation(record)
    except SyncError:
        return  # the event that was written before has the reason


# -- events


def _report_failed(
    context: EvaluationContext, candidate: Candidate, error: SyncError, severity: Severity
) -> None:
    table, name = candidate.series
    message = f"{candidate.title}: not started, or not recorded; a later run tries again: {error}"
    context.events("evaluation_failed", message, severity, table=table, name=name)
    if severity == "ERROR":
        reason = f"not started; the next sync tries again: {error}"
        context.findings.append(Finding(table, name, reason))


def _report_waiting(
    context: EvaluationContext, candidates: Sequence[Candidate], running: EvaluationRecord
) -> None:
    """Report each candidate that is not started because an evaluation runs."""
    since = f"{running.started_at:%Y-%m-%d %H:%M}"
    for candidate in candidates:
        if candidate.series == running.series:
            reason = f"was not started again: the one of {since} still runs"
            _report_skipped(context, candidate, reason, "WARNING", running.job_id)
        else:
            reason = f"waits until {running.table} {running.name} has ended; a watch starts it"
            _report_skipped(context, candidate, reason, "INFO", running.job_id)


def _report_skipped(
    context: EvaluationContext,
    candidate: Candidate,
    reason: str,
    severity: Severity,
    job_id: str | None = None,
) -> None:
    """job_id: of the evaluation that runs."""
    table, name = candidate.series
    message = f"{candidate.title} {reason}"
    context.events("evaluation_skipped", message, severity, table=table, name=name, job_id=job_id)
