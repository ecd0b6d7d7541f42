"""Collect evaluations: write and judge the end of every job that has ended.

The ledger has one row per change of state. The furthest state of an evaluation_id counts:

    started -> finished                 it has figures, which are judged at once
            -> failed                   Aito reported a failure
            -> lost                     Aito does not know the job or its result any more, the
                                        result has expired unread, or the job has not ended within
                                        EVALUATION_PATIENCE
    (nothing) -> failed                 it could not be started: a column is missing, Aito refused

The ledger stores each state of an evaluation once. Two collectors at the same time, and a collector
that was killed and starts again, do no harm.

Nothing in here raises or fails a table. A problem is an `evaluation_failed` event.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sync.base.errors import OutcomeUnknown, Refusal, Refused, SyncError, Unknown
from sync.base.events import Severity
from sync.base.words import counted
from sync.config import EvaluationSettings, TableSettings, spell_duration
from sync.evaluation import points, question
from sync.evaluation.context import EvaluationContext, Finding, Known, ended
from sync.evaluation.judge import Measurement, judge, measurement
from sync.model.records import EVALUATION_PATIENCE, EvaluationRecord, LastSync

MEMORY = timedelta(days=100)  # a result is judged by the results of so many days before it
MAX_UNANSWERED = 2  # jobs. A look stops after so many, because each may have cost a time-out


def collect(
    context: EvaluationContext, tables: Sequence[TableSettings], *, everything: bool
) -> Known:
    """Read all recent evaluations from the ledger, and collect those that have ended.

    everything: also collect evaluations of tables that are not among `tables`. Returns None when
    the ledger cannot be read.
    """
    try:
        known = context.ledger.evaluations(context.clock.utc() - MEMORY)
    except SyncError as error:
        message = f"evaluations cannot be read from the ledger; the next run reads them: {error}"
        context.events("evaluation_failed", message, "WARNING")
        return None
    return look(context, tables, known, everything=everything)


def look(
    context: EvaluationContext,
    tables: Sequence[TableSettings],
    known: Sequence[EvaluationRecord],
    *,
    everything: bool,
    syncs: Mapping[str, LastSync] | None = None,
) -> list[EvaluationRecord]:
    """Collect those of the known evaluations that are open and have ended.

    syncs: the last sync of each table, None while one runs. The results of a study are compared
    row by row only when no sync came between them.
    Returns the known evaluations in their state after the look, in the same order.
    """
    names = {table.name for table in tables}
    collector = _Collector(context, tables, known, syncs)
    return [
        collector.collect(record) if everything or record.table in names else record
        for record in known
    ]


class _Collector:
    """One look at every open job.

    One job without an answer does not end the look: its result may be too large for a gateway.
    """

    def __init__(
        self,
        context: EvaluationContext,
        tables: Sequence[TableSettings],
        known: Sequence[EvaluationRecord],
        syncs: Mapping[str, LastSync] | None,
    ) -> None:
        self._context = context
        self._known = known
        self._syncs = syncs
        self._settings: dict[tuple[str, str], EvaluationSettings] = {
            (table.name, evaluation.name): evaluation
            for table in tables
            for evaluation in table.evaluate
        }
        self._unanswered = 0

    def collect(self, record: EvaluationRecord) -> EvaluationRecord:
        """The evaluation after the look. It stays open when its job runs or does not answer."""
        if not record.is_open or self._unanswered >= MAX_UNANSWERED:
            return record
        before = self._context.target.calls if record.study_id else 0
        try:
            after = self._after_a_look(record)
            if record.study_id:
                calls = (record.aito_calls or 0) + self._context.target.calls - before
                after = dataclasses.replace(after, aito_calls=calls)
            if after != record:
                self._context.ledger.record_evaluation(after)
        except SyncError as error:
            self._unanswered += 1
            self._report_unknown(record, error)
            return record
        if not after.is_open:
            self._report_end(after)
        return after

    # -- the end of a job

    def _after_a_look(self, record: EvaluationRecord) -> EvaluationRecord:
        """The evaluation's end, or the evaluation itself while its job runs.

        When the job has ended and its result cannot be read now, the evaluation stays open and
        tells when the result expires. Raises SyncError when nothing new is known.
        """
        late = self._why_too_late(record)
        try:
            status = self._context.target.evaluation_status(record.job_id or "")
        except Refused as error:
            not_found = error.cause is Refusal.NOT_FOUND
            return ended(self._context, record, "lost" if not_found else "failed", str(error))
        except SyncError:
            if late is None:
                raise
            return ended(self._context, record, "lost", late)
        if status.has_ended:
            return self._after_its_end(record, status.expires_at, late)
        return record if late is None else ended(self._context, record, "lost", late)

    def _after_its_end(
        self, record: EvaluationRecord, expires_at: datetime | None, late: str | None
    ) -> EvaluationRecord:
        """The evaluation after its job has ended. late: why it is not waited for any longer."""
        known = dataclasses.replace(record, expires_at=expires_at)
        try:
            return self._answer(known)
        except Refused as error:
            return ended(self._context, known, "failed", str(error))
        except SyncError as error:
            if late is not None:
                return ended(self._context, known, "lost", late)
            if known == record:
                raise
            self._unanswered += 1
            self._report_unknown(known, error)
            return known

    def _why_too_late(self, record: EvaluationRecord) -> str | None:
        """Why an evaluation without an answer is lost. None: it is waited for."""
        now = self._context.clock.utc()
        if record.expires_at is not None and now > record.expires_at:
            return f"its result expired at {record.expires_at:%H:%M} UTC and was not read before"
        if now - record.started_at > EVALUATION_PATIENCE:
            hours = EVALUATION_PATIENCE.total_seconds() / 3600
            return f"no result after {hours:g} hours"
        return None

    def _answer(self, record: EvaluationRecord) -> EvaluationRecord:
        """The end of a job that has ended: its figures, or why there are none."""
        try:
            answer = self._context.target.evaluation_answer(record.job_id or "")
        except Refused as error:
            if error.cause is not Refusal.NOT_FOUND:
                raise
            reason = f"its result has expired; Aito keeps a result for about 15 minutes: {error}"
            return ended(self._context, record, "lost", reason)
        except OutcomeUnknown as error:
            if error.cause is Unknown.NO_ANSWER:
                raise
            return ended(self._context, record, "failed", str(error))
        read = question.read_answer(answer)
        if read is None:
            return ended(self._context, record, "failed", "the answer is not an evaluation's")
        finished = ended(self._context, record, "finished")
        result = read.result
        if record.study_id:
            result = points.with_cases(read, answer, self._synced(record))
        return dataclasses.replace(finished, figures=read.figures, result=result)

    def _synced(self, record: EvaluationRecord) -> str:
        """What identifies the state of a table's rows while a job ran."""
        last = (self._syncs or {}).get(record.table)
        if last is None or last.finished_at is None or last.finished_at > record.started_at:
            return record.evaluation_id
        return last.finished_at.isoformat()

    # -- events

    def _report_unknown(self, record: EvaluationRecord, error: SyncError) -> None:
        state = "its state is unknown now"
        if record.expires_at is not None:
            state = f"its result can be read until {record.expires_at:%H:%M} UTC"
        self._report_failure(record, f"{state}; the next look asks again: {error}", "WARNING")

    def _report_end(self, end: EvaluationRecord) -> None:
        if end.study_id:
            self._report_study(end)
            return
        if end.state == "finished":
            self._report_figures(end)
            return
        reason = json.loads(end.result or "{}").get("reason")
        later = "the next sync or watch" if end.state == "lost" else "the next sync"
        message = f"{end.state}; {later} starts it again: {reason}"
        self._report_failure(end, message, "ERROR", state=end.state)

    def _report_failure(
        self, record: EvaluationRecord, message: str, severity: Severity, **fields: str
    ) -> None:
        if severity == "ERROR":
            self._context.findings.append(Finding(record.table, record.name, message))
        self._context.events(
            "evaluation_failed",
            f"{record.table} {record.name}: {message}",
            severity,
            table=record.table,
            name=record.name,
            job_id=record.job_id,
            **fields,
        )

    def _report_study(self, end: EvaluationRecord) -> None:
        """Report the end of a study's job. It is no finding, so nobody gets a mail."""
        history = spell_duration(end.history_seconds or 0)
        measured = measurement(end)
        message = _summary(measured) if measured else "there were no rows to test on"
        if end.state != "finished":
            message = f"{end.state}: {json.loads(end.result or '{}').get('reason')}"
        self._context.events(
            "evaluation_finished" if end.state == "finished" else "evaluation_failed",
            f"{end.table} {end.name}: history of {history}: {message}",
            "INFO" if end.state == "finished" else "WARNING",
            table=end.table,
            name=end.name,
            job_id=end.job_id,
            study_id=end.study_id,
            history_seconds=end.history_seconds,
        )

    def _report_figures(self, end: EvaluationRecord) -> None:
        measured = measurement(end)
        finding = self._judge(end, measured) if measured else None
        severity: Severity = "WARNING"
        message = "there were no rows to test on"
        if measured:
            severity = "ERROR" if finding else "INFO"
            message = finding or _summary(measured)
        if severity != "INFO":
            self._context.findings.append(Finding(end.table, end.name, message))
        figures = {
            name: end.figures.get(name) for name in ("accuracy", "base_accuracy", "test_samples")
        }
        self._context.events(
            "evaluation_finished",
            f"{end.table} {end.name}: {message}",
            severity,
            table=end.table,
            name=end.name,
            job_id=end.job_id,
            finding=finding,
            **figures,
        )

    def _judge(self, end: EvaluationRecord, measured: Measurement) -> str | None:
        settings = self._settings.get(end.series)
        min_accuracy = settings.min_accuracy if settings else None
        earlier = [
            measurement(record)
            for record in self._known
            if record.series == end.series and record.started_at < end.started_at
        ]
        return judge(measured, [result for result in earlier if result], min_accuracy)


def _summary(measured: Measurement) -> str:
    base = ""
    if measured.base_accuracy is not None:
        base = f", base accuracy {measured.base_accuracy:.3f}"
    cases = counted(measured.cases, "row") if measured.cases else "an unknown number of rows"
    return f"accuracy {measured.accuracy:.3f}{base}, {cases} tested"
