"""Evaluations in the ledger: their SQL, and their rows as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sync.base.errors import Unavailable
from sync.ledger import rejects
from sync.model.basis import Basis
from sync.model.records import EvaluationRecord, LastSync, StudyRecords, WatchRecords
from sync.model.sql import Parameter

# Runs a query over the ledger. {runs}, {rejects}, {evaluations}, {leases} and {checkpoints} in its
# text stand for the ledger's tables. Rows by column name.
Read = Callable[[str, Sequence[Parameter]], list[dict[str, Any]]]
Row = Mapping[str, Any]

SYNC_MEMORY = timedelta(days=400)  # a sync that ended before then counts as none

_FURTHEST = """
SELECT evaluation_id, run_id, `table`, name, job_id, state, started_at, expires_at,
  test_samples, accuracy, base_accuracy,
  definition, engine, table_rows, cases, study_id, history_seconds, aito_calls
FROM {evaluations} WHERE started_at >= @since
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY evaluation_id
  ORDER BY IF(state = 'started', 1, 0), IF(state = 'finished', 0, 1), IF(expires_at IS NULL, 1, 0),
    IF(job_id IS NULL, 1, 0), aito_calls DESC) = 1
"""
# One row per evaluation: its furthest state. When two collectors have written an end, `finished`
# counts. An open one whose job has ended has a second row, with expires_at. A study's job is
# written before its start, too, without a job's id.
LATEST = f"{_FURTHEST}ORDER BY started_at, evaluation_id"
# The same, a row for each table that was synced, and one for each with open rejects. `kind` tells
# them apart.
WATCH = f"""
WITH latest AS ({_FURTHEST}),
synced AS (
  SELECT `table`,
    MAX(IF(status = 'ok' AND action = 'sync', started_at, NULL)) AS started_at,
    MAX(IF(status = 'ok' AND action = 'sync', COALESCE(finished_at, started_at), NULL)) AS ended_at,
    MAX_BY(watermark_after, IF(watermark_after IS NULL, NULL, started_at)) AS watermark,
    MIN(started_at) AS first_at, LOGICAL_OR(uploaded > 0) AS has_rows
  FROM {{runs}}
  WHERE started_at >= @runs_since AND `table` IN UNNEST(@tables) AND status != 'busy'
  GROUP BY `table`),
rejected AS ({rejects.OPEN})
SELECT 'evaluation' AS kind, evaluation_id, run_id, `table`, name, job_id, state, started_at,
  expires_at, test_samples, accuracy, base_accuracy,
  definition, engine, table_rows, cases, study_id, history_seconds, aito_calls,
  CAST(NULL AS TIMESTAMP) AS ended_at, CAST(NULL AS INT64) AS watermark, 0 AS open_rejects,
  CAST(NULL AS TIMESTAMP) AS first_at, FALSE AS has_rows
FROM latest
UNION ALL
SELECT 'sync', NULL, NULL, `table`, NULL, NULL, NULL, started_at, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, ended_at, watermark, 0,
  first_at, has_rows
FROM synced
UNION ALL
SELECT 'rejects', NULL, NULL, `table`, NULL, NULL, NULL, MAX(rejected_at), NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, COUNT(*),
  NULL, FALSE
FROM rejected WHERE `table` IN UNNEST(@tables) GROUP BY `table`
ORDER BY started_at, evaluation_id"""


# A study's plan is in the first row of its own record. Its jobs come with figures and results.
STUDY = """
SELECT evaluation_id, run_id, `table`, name, job_id, state, started_at, finished_at, expires_at,
  test_samples, train_samples, accuracy, base_accuracy, result,
  definition, engine, table_rows, cases, study_id, history_seconds, aito_calls
FROM {evaluations}
WHERE started_at >= @since AND study_id = @study_id
  AND (state = 'started' OR evaluation_id != study_id)
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY evaluation_id
  ORDER BY IF(state = 'started', 1, 0), IF(state = 'finished', 0, 1), IF(expires_at IS NULL, 1, 0),
    IF(job_id IS NULL, 1, 0), aito_calls DESC) = 1
ORDER BY started_at, evaluation_id"""
CLAIMS = """
SELECT DISTINCT run_id FROM {evaluations}
WHERE started_at >= @since AND evaluation_id = @evaluation_id
  AND state = 'started' AND job_id IS NULL"""


def read_study(read: Read, study_id: str, since: datetime) -> StudyRecords:
    """A study that was begun at `since`. Raises Unavailable when the ledger does not show it."""
    parameters = [
        Parameter("since", "TIMESTAMP", since),
        Parameter("study_id", "STRING", study_id),
    ]
    rows = read(STUDY, parameters)
    plans = [row["result"] for row in rows if row["evaluation_id"] == study_id]
    if not plans:
        raise Unavailable(f"the ledger does not show study {study_id} yet")
    jobs = [_with_result(row) for row in rows if row["evaluation_id"] != study_id]
    return StudyRecords(plans[0], jobs)


def _with_result(row: Row) -> EvaluationRecord:
    record = _evaluation(row)
    figures = {**record.figures, "train_samples": row["train_samples"]}
    return replace(record, figures=figures, result=row["result"], finished_at=row["finished_at"])


def read_claims(read: Read, evaluation_id: str, since: datetime) -> list[str]:
    """The runs that were about to start a study's job, from `since` on."""
    parameters = [
        Parameter("since", "TIMESTAMP", since),
        Parameter("evaluation_id", "STRING", evaluation_id),
    ]
    return [row["run_id"] for row in read(CLAIMS, parameters)]


def read_evaluations(read: Read, since: datetime) -> list[EvaluationRecord]:
    """The furthest state of each evaluation started since then, oldest first."""
    rows = read(LATEST, [Parameter("since", "TIMESTAMP", since)])
    return [_evaluation(row) for row in rows]


def read_watch(read: Read, tables: Sequence[str], since: datetime, now: datetime) -> WatchRecords:
    """Evaluations started since then, last syncs and open rejects of tables. One query."""
    parameters = [
        Parameter("since", "TIMESTAMP", since),
        Parameter("runs_since", "TIMESTAMP", now - SYNC_MEMORY),
        Parameter("tables", "ARRAY<STRING>", list(tables)),
        rejects.since(now),
    ]
    rows = read(WATCH, parameters)
    evaluations = [_evaluation(row) for row in rows if row["kind"] == "evaluation"]
    syncs = {row["table"]: _last_sync(row) for row in rows if row["kind"] == "sync"}
    counts = {row["table"]: row["open_rejects"] for row in rows if row["kind"] == "rejects"}
    return WatchRecords(evaluations, syncs, counts)


def evaluation_row(record: EvaluationRecord) -> dict[str, Any]:
    """A row of the table `evaluations`."""
    return {
        "evaluation_id": record.evaluation_id,
        "run_id": record.run_id,
        "table": record.table,
        "name": record.name,
        "job_id": record.job_id,
        "state": record.state,
        "started_at": record.started_at.isoformat(),
        "finished_at": _iso(record.finished_at),
        "expires_at": _iso(record.expires_at),
        **record.figures,
        "result": record.result,
        "definition": record.basis.definition,
        "engine": record.basis.engine,
        "table_rows": record.basis.rows,
        "cases": record.basis.cases,
        "study_id": record.study_id,
        "history_seconds": record.history_seconds,
        "aito_calls": record.aito_calls,
    }


def evaluation_insert_id(record: EvaluationRecord) -> str:
    """The id under which BigQuery recognises a repeated insert.

    A study's job has several rows before its end, and several runs may claim it.
    """
    if record.study_id and not record.is_study and record.state == "started":
        part = f"{record.run_id}-{record.job_id}-{record.aito_calls}"
        return f"{record.evaluation_id}-started-{part}"
    expiry = "-expires" if record.is_open and record.expires_at else ""
    return f"{record.evaluation_id}-{record.state}{expiry}"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _evaluation(row: Row) -> EvaluationRecord:
    figures = {name: row[name] for name in ("test_samples", "accuracy", "base_accuracy")}
    return EvaluationRecord(
        evaluation_id=row["evaluation_id"],
        run_id=row["run_id"],
        table=row["table"],
        name=row["name"],
        job_id=row["job_id"],
        state=row["state"],
        started_at=row["started_at"],
        expires_at=row["expires_at"],
        figures=figures,
        basis=Basis(row["definition"], row["engine"], row["table_rows"], row["cases"]),
        study_id=row["study_id"],
        history_seconds=row["history_seconds"],
        aito_calls=row["aito_calls"],
    )


def _last_sync(row: Row) -> LastSync:
    return LastSync(
        row["started_at"], row["ended_at"], row["watermark"], row["first_at"], row["has_rows"]
    )
