"""Rows of the ledger, as values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from sync.model.basis import UNKNOWN, Basis
from sync.model.report import TableReport

# An evaluation that has not ended by then is lost. It would keep the next one from being started.
EVALUATION_PATIENCE = timedelta(hours=24)

EvaluationStateName = Literal["started", "finished", "failed", "lost"]


class RowId(NamedTuple):
    """What a rejected row is recognised by: its key as text, and its cursor in epoch seconds."""

    key: str | None
    cursor: int | None


@dataclass(frozen=True)
class RejectRecord:
    """A row that the target would not take, or a summary of several (key and cursor are None).

    closed_at: set where the record closes the earlier rejects of its key instead.
    """

    run_id: str
    table: str
    key: str | None
    cursor: int | None
    document: str | None
    reason: str
    rejected_at: str
    closed_at: str | None = None


@dataclass(frozen=True)
class OpenReject:
    """A reject of an earlier run that is open. reason: that of the last attempt; may quote a value.

    excused: a run that did not fail has met it, so that it is no sign of a new problem.
    """

    row_id: RowId
    reason: str
    rejected_at: datetime
    excused: bool


@dataclass(frozen=True)
class RunRecord:
    """One table in one run. Times are texts of a TIMESTAMP; window and watermark epoch seconds."""

    run_id: str
    table: str
    action: str
    status: str
    started_at: str
    finished_at: str
    window_start: int | None
    window_end: int | None
    fetched: int
    uploaded: int
    skipped: int
    rejected: int
    repaired: int
    deleted: int
    deleted_by_condition: int
    purged: int
    watermark_after: int | None
    bytes_processed: int
    aito_calls: int
    seconds: float
    version: str
    warnings: str | None
    error: str | None

    @classmethod
    def of(
        cls,
        report: TableReport,
        *,
        run_id: str,
        action: str,
        started_at: str,
        finished_at: str,
        version: str,
    ) -> RunRecord:
        """The record of a table's report. Fill a new column here."""
        warnings = [vars(each) for each in report.warnings]
        return cls(
            run_id=run_id,
            table=report.table,
            action=action,
            status=report.status,
            started_at=started_at,
            finished_at=finished_at,
            window_start=report.start,
            window_end=report.end,
            **report.counts(),
            deleted_by_condition=report.deleted_by_condition,
            watermark_after=report.watermark_after,
            bytes_processed=report.bytes_processed,
            aito_calls=report.aito_calls,
            seconds=round(report.seconds, 3),
            version=version,
            warnings=json.dumps(warnings) if warnings else None,
            error=report.error,
        )


@dataclass(frozen=True)
class EvaluationRecord:
    """One state of one evaluation. The furthest state of an evaluation_id counts.

    expires_at: when the target forgets the job's result; None: the job has not ended, or its status
        does not say so.
    result: JSON text: the query, the answer without its cases, or {"reason": ...}.
    figures: test_samples, train_samples, accuracy, base_accuracy, error_rate, mean_rank and
        geom_mean_p, as far as they are known.
    basis: what could change the result.
    study_id: of the retention study that the record belongs to; None: it belongs to none.
    history_seconds: how far the history of a study's job reaches back before the test rows.
    aito_calls: of a study: requests to the target so far.

    A study's own record has its id as evaluation_id, and no job.
    """

    evaluation_id: str
    run_id: str
    table: str
    name: str
    job_id: str | None
    state: EvaluationStateName
    started_at: datetime
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    figures: Mapping[str, float | int | None] = field(default_factory=dict)
    result: str | None = None
    basis: Basis = UNKNOWN
    study_id: str | None = None
    history_seconds: int | None = None
    aito_calls: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether the evaluation was started and its end is not on record."""
        return self.state == "started" and self.job_id is not None

    @property
    def is_study(self) -> bool:
        """Whether it is the record of a whole study. A study runs no job itself."""
        return self.study_id == self.evaluation_id

    @property
    def series(self) -> tuple[str, str]:
        """Table and name: what is measured again and again. A study is no part of it."""
        if self.study_id is not None:
            return self.table, f"{self.study_id}/{self.name}"
        return self.table, self.name


@dataclass(frozen=True)
class JobStatus:
    """What the target reports of a job. expires_at: when its result is forgotten; None: unknown."""

    has_ended: bool
    expires_at: datetime | None = None


@dataclass(frozen=True)
class StudyRecords:
    """A retention study: its plan as JSON text, and the furthest state of each of its jobs."""

    plan: str
    jobs: Sequence[EvaluationRecord]


@dataclass(frozen=True)
class CallHistory:
    """Requests to the target of the runs on record. began_at: of the first one; None: no runs."""

    calls: int
    began_at: datetime | None


@dataclass(frozen=True)
class LastSync:
    """The last sync of a table that ended ok; None: there was none.

    watermark: the newest cursor after the last run that recorded one, epoch seconds.
    first_at: start of the table's first run. has_rows: whether any run has loaded a row.
    """

    started_at: datetime | None
    finished_at: datetime | None
    watermark: int | None
    first_at: datetime | None = None
    has_rows: bool | None = False


@dataclass(frozen=True)
class WatchRecords:
    """What a watch needs to know. syncs: by table; tables without a run are left out.

    open_rejects: rows, by table; tables without any are left out.
    """

    evaluations: Sequence[EvaluationRecord]
    syncs: Mapping[str, LastSync]
    open_rejects: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StatusRecords:
    """What the status page is made of: the rows of each of its queries, by column name."""

    last_runs: Sequence[Mapping[str, Any]]
    rows: Sequence[Mapping[str, Any]]
    accuracy: Sequence[Mapping[str, Any]]
    last_evaluations: Sequence[Mapping[str, Any]]
    rejects: Sequence[Mapping[str, Any]]
    leases: Sequence[Mapping[str, Any]]
    studies: Sequence[Mapping[str, Any]] = ()
