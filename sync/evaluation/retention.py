"""Retention studies: accuracy for several lengths of history, one job at a time.

A study is rows of the ledger. Its own row has its plan when it begins, and its conclusion at the
end. Each of its jobs has these rows:

    started, without a job's id    a run is about to start it: its claim
    started, with the job's id     it runs
    finished, failed or lost       as of any evaluation

So a study is continued by any run after a kill at any point. A claim without a job is resolved by
the target's list of jobs: the job is adopted, or the claim is lost and the job is started. A job
whose result has expired is started again once.

Evaluations of the night come first. A study starts no job while one runs or is due.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sync.base.errors import ActionRequired, OutcomeUnknown, SyncError
from sync.base.events import Event, Severity
from sync.base.words import counted
from sync.config import EvaluationSettings, TableSettings, spell_duration
from sync.evaluation import question
from sync.evaluation.conclusion import conclude
from sync.evaluation.context import EvaluationContext, ended
from sync.evaluation.launch import START_GRACE
from sync.evaluation.study import JobKey, Span, Study, Subject, histories, subjects, test_start
from sync.model.basis import Basis, definition, is_same_definition
from sync.model.columns import TargetSchema
from sync.model.records import EvaluationRecord, EvaluationStateName

NAME = "retention"  # of a study's own row
CLOCK_SKEW = timedelta(minutes=1)  # between our clock and the target's
MAX_EXPIRED = 2  # an expired result is requested again once
MAX_ATTEMPTS = 5  # of one job, claims that came to nothing included


@dataclass(frozen=True)
class Wanted:
    """What a study is to try. Empty: the usual histories, and all evaluations."""

    histories: tuple[int, ...] = ()
    evaluations: tuple[str, ...] = ()


# -- the beginning


def plan(context: EvaluationContext, table: TableSettings, wanted: Wanted) -> Study:
    """Plan a study of a table. Writes nothing. Raises ActionRequired when there is nothing to try.

    Reads the target's schema and build, its oldest and newest row, and counts the test rows.
    """
    chosen = _chosen(table, wanted)
    target, cursor = context.target, _cursor(table)
    schema = target.schema()
    _check(table, chosen, schema)
    newest, rows = target.newest(table.name, cursor, int(context.clock.now()))
    oldest = target.oldest(table.name, cursor)
    if newest is None or oldest is None:
        raise ActionRequired(f"{table.name}: Aito's table has no rows yet")
    span = Span(oldest, newest, rows)
    tried = histories(table, span, wanted.histories)
    start = test_start(span)
    definitions = {each.name: definition(table, each, context.tables) for each in chosen}
    return Study(
        study_id=f"{context.run_id}-{NAME}-{table.name}",
        table=table.name,
        cursor=cursor,
        start=start,
        span=span,
        keep=table.keep,
        engine=target.engine(),
        histories=tried,
        subjects=tuple(_counted(context, table, start, newest, chosen, definitions)),
    )


def _chosen(table: TableSettings, wanted: Wanted) -> list[EvaluationSettings]:
    names = [each.name for each in table.evaluate]
    unknown = [name for name in wanted.evaluations if name not in names]
    if unknown:
        known = ", ".join(names) or "none"
        raise ActionRequired(
            f"{table.name}: no evaluation {', '.join(unknown)}; the table has {known}"
        )
    return [e for e in table.evaluate if not wanted.evaluations or e.name in wanted.evaluations]


def _cursor(table: TableSettings) -> str:
    if table.cursor is None or not table.evaluate:
        lacking = "cursor" if table.cursor is None else "evaluate"
        raise ActionRequired(
            f"{table.name}: a study needs `cursor` and `evaluate`; the table has no `{lacking}`"
        )
    return table.cursor.column


def _check(
    table: TableSettings, chosen: Sequence[EvaluationSettings], schema: TargetSchema
) -> None:
    if table.name not in schema:
        raise ActionRequired(f"{table.name}: Aito has no such table yet; sync it first")
    for evaluation in chosen:
        if evaluation.query is None:
            question.check_columns(table, evaluation, schema)


def _counted(
    context: EvaluationContext,
    table: TableSettings,
    start: int,
    newest: int,
    chosen: Sequence[EvaluationSettings],
    definitions: Mapping[str, str],
) -> Iterator[Subject]:
    """The subjects with their test rows. A condition that several share is counted once."""
    counts: dict[str, int] = {}
    for subject in subjects(table, chosen, definitions):
        text = json.dumps(subject.condition, sort_keys=True)
        if text not in counts:
            condition = subject.counted(_cursor(table), (start, newest + 1))
            counts[text] = context.target.count(table.name, condition)
        if not counts[text]:
            raise ActionRequired(f"{table.name} {subject.name}: there are no rows to test on")
        yield dataclasses.replace(subject, test_rows=counts[text])


def begin(context: EvaluationContext, study: Study) -> EvaluationRecord:
    """Record a study. Its first job is started by `proceed`. Raises what the ledger raises."""
    record = EvaluationRecord(
        evaluation_id=study.study_id,
        run_id=context.run_id,
        table=study.table,
        name=NAME,
        job_id=None,
        state="started",
        started_at=context.clock.utc(),
        result=json.dumps(study.to_json()),
        basis=Basis(engine=study.engine, rows=study.span.rows),
        study_id=study.study_id,
        aito_calls=context.target.calls,
    )
    context.ledger.record_evaluation(record)
    names = ", ".join(spell_duration(each) for each in study.histories)
    message = f"{study.table}: study of {counted(len(study.subjects), 'evaluation')} with {names}"
    _report(context, "evaluation_started", record, message, jobs=len(study.keys))
    return record


def open_studies(known: Sequence[EvaluationRecord]) -> list[EvaluationRecord]:
    """The studies whose end is not on record, oldest first."""
    return [record for record in known if record.is_study and record.state == "started"]


# -- the next step


def proceed(
    context: EvaluationContext, known: Sequence[EvaluationRecord], *, may_start: bool
) -> None:
    """Conclude studies whose jobs have ended, and start the next job of the oldest one.

    known: all recent records, oldest first. may_start: no job runs, and no evaluation is due.
    """
    for record in open_studies(known):
        try:
            started = _Steps(context, record, known).next(may_start=may_start)
        except SyncError as error:
            message = f"{record.table}: the study goes on with the next watch: {error}"
            _report(context, "evaluation_failed", record, message, "WARNING")
            return
        if started:
            return


class _Steps:
    """One look at one study."""

    def __init__(
        self,
        context: EvaluationContext,
        record: EvaluationRecord,
        known: Sequence[EvaluationRecord],
    ) -> None:
        self._context = context
        self._record = record
        self._known = known
        found = context.ledger.study(record.evaluation_id, record.started_at)
        self._study = Study.from_json(found.plan)
        self._jobs = found.jobs

    def next(self, *, may_start: bool) -> bool:
        """Take the next step. Returns whether a job runs after it."""
        changed = self._why_void()
        if changed:
            self._end("failed", {"reason": changed})
            return False
        for key in self._study.keys:
            attempts = self._attempts(key)
            last = attempts[-1] if attempts else None
            if last is not None and last.state == "started":
                return self._resolve(last) if last.job_id is None else True
            if self._is_settled(attempts):
                continue
            return may_start and self._start(key, len(attempts) + 1)
        self._conclude()
        return False

    def _why_void(self) -> str | None:
        """Why the study is given up: its table or an evaluation is gone, or is another one."""
        tables = {table.name: table for table in self._context.tables if table.enabled}
        table = tables.get(self._study.table)
        settings = {each.name: each for each in table.evaluate} if table else {}
        for subject in self._study.subjects:
            if table is None or subject.name not in settings:
                return f"{self._study.table} {subject.name} is not in the configuration any more"
            now = definition(table, settings[subject.name], self._context.tables)
            if not is_same_definition(subject.definition, now):
                return f"{self._study.table} {subject.name} was redefined while the study ran"
        return None

    def _attempts(self, key: JobKey) -> list[EvaluationRecord]:
        """The records of a job, one for each attempt, in their order."""
        by_id = {record.evaluation_id: record for record in self._jobs}
        ids = [self._study.job_id(key, number) for number in range(1, MAX_ATTEMPTS + 1)]
        return [by_id[each] for each in ids if each in by_id]

    def _is_settled(self, attempts: Sequence[EvaluationRecord]) -> bool:
        """Whether a job needs no further attempt."""
        if not attempts:
            return False
        if attempts[-1].state in ("finished", "failed"):
            return True
        expired = [each for each in attempts if each.state == "lost" and each.job_id]
        return len(expired) >= MAX_EXPIRED or len(attempts) >= MAX_ATTEMPTS

    # -- a start

    def _start(self, key: JobKey, attempt: int) -> bool:
        """Claim and start a job. Returns whether it may run now."""
        context = self._context
        if context.deadline.over:
            return False
        claim = self._claim(key, attempt)
        context.ledger.record_evaluation(claim)
        runs = context.ledger.claims(claim.evaluation_id, claim.started_at - timedelta(days=1))
        if any(run_id != context.run_id for run_id in runs):
            return True  # another run starts it at this moment
        before = context.target.calls
        try:
            job_id = context.target.start_evaluation(self._study.body(key))
        except OutcomeUnknown:
            return True  # it may run: a later look asks the target for its jobs
        except SyncError as error:
            state: EvaluationStateName = "failed" if isinstance(error, ActionRequired) else "lost"
            end = ended(context, claim, state, str(error))
            context.ledger.record_evaluation(self._with_calls(end, before))
            raise
        started = dataclasses.replace(claim, job_id=job_id)
        context.ledger.record_evaluation(self._with_calls(started, before))
        self._report_start(started)
        return True

    def _claim(self, key: JobKey, attempt: int) -> EvaluationRecord:
        study, (name, history) = self._study, key
        subject = study.subject(name)
        return EvaluationRecord(
            evaluation_id=study.job_id(key, attempt),
            run_id=self._context.run_id,
            table=study.table,
            name=name,
            job_id=None,
            state="started",
            started_at=self._context.clock.utc(),
            basis=Basis(subject.definition, study.engine, study.span.rows, subject.cases),
            study_id=study.study_id,
            history_seconds=history,
            aito_calls=0,
        )

    def _with_calls(self, record: EvaluationRecord, before: int) -> EvaluationRecord:
        """The record with the requests that were made since `before`."""
        calls = (record.aito_calls or 0) + self._context.target.calls - before
        return dataclasses.replace(record, aito_calls=calls)

    def _resolve(self, claim: EvaluationRecord) -> bool:
        """Find out what became of a claim. Returns whether its job may run.

        A run was killed, or got no answer, between the claim and the job's id.
        """
        context = self._context
        if context.clock.utc() - claim.started_at < START_GRACE:
            return True
        before = context.target.calls
        since = claim.started_at - CLOCK_SKEW
        known = {record.job_id for record in (*self._known, *self._jobs)}
        jobs = [job for job in context.target.evaluations_since(since) if job not in known]
        if len(jobs) == 1:
            adopted = dataclasses.replace(claim, job_id=jobs[0], run_id=context.run_id)
            context.ledger.record_evaluation(self._with_calls(adopted, before))
            self._report_start(adopted)
            return True
        reason = "it was not started" if not jobs else f"one of {len(jobs)} jobs; which is unknown"
        end = ended(context, claim, "lost", reason)
        context.ledger.record_evaluation(self._with_calls(end, before))
        return False

    def _report_start(self, record: EvaluationRecord) -> None:
        history = spell_duration(record.history_seconds or 0)
        message = f"{record.table} {record.name}: history of {history}: job {record.job_id}"
        _report(self._context, "evaluation_started", record, message, job_id=record.job_id)

    # -- the end

    def _conclude(self) -> None:
        last = [attempts[-1] for key in self._study.keys if (attempts := self._attempts(key))]
        found = conclude(self._study, last)
        self._end("finished", found)

    def _end(self, state: EvaluationStateName, found: Mapping[str, Any]) -> None:
        """Record the study's end."""
        context, record = self._context, self._record
        calls = (record.aito_calls or 0) + sum(each.aito_calls or 0 for each in self._jobs)
        seconds = context.clock.utc() - record.started_at
        jobs = len([each for each in self._jobs if each.job_id])
        content = {
            **found,
            "study": self._study.to_json(),
            "jobs": jobs,
            "aito_calls": calls,
            "seconds": round(seconds.total_seconds()),
        }
        end = dataclasses.replace(
            ended(context, record, state), result=json.dumps(content), aito_calls=calls
        )
        context.ledger.record_evaluation(end)
        if state == "finished":
            message = f"{record.table}: study ended: {_advice(found)}"
            _report(
                context,
                "evaluation_finished",
                record,
                message,
                recommended_seconds=found["history"],
                jobs=jobs,
                aito_calls=calls,
            )
        else:
            message = f"{record.table}: the study was given up: {found['reason']}"
            _report(context, "evaluation_failed", record, message, "WARNING")


def _advice(found: Mapping[str, Any]) -> str:
    history = found["history"]
    return str(found["reason"]) if history is None else f"keep: {spell_duration(history)}"


def _report(
    context: EvaluationContext,
    event: Event,
    record: EvaluationRecord,
    message: str,
    severity: Severity = "INFO",
    **fields: Any,
) -> None:
    context.events(
        event,
        message,
        severity,
        table=record.table,
        name=record.name,
        study_id=record.study_id,
        history_seconds=record.history_seconds,
        **fields,
    )
