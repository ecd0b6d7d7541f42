"""The ledger: typed reads and writes of the sync's own tables."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sync.base.errors import ActionRequired
from sync.ledger import checkpoints, cost, rejects
from sync.ledger.evaluations import (
    evaluation_insert_id,
    evaluation_row,
    read_claims,
    read_evaluations,
    read_study,
    read_watch,
)
from sync.ledger.status_queries import read_status
from sync.ledger.tables import LedgerTables
from sync.model.checkpoint import Checkpoint, KnownTable
from sync.model.records import (
    CallHistory,
    EvaluationRecord,
    OpenReject,
    RejectRecord,
    RunRecord,
    StatusRecords,
    StudyRecords,
    WatchRecords,
)
from sync.model.sql import Parameter

LAST_VERIFIED = """
SELECT watermark_after FROM {runs}
WHERE `table` = @table AND status = 'ok' AND action = 'sync' AND watermark_after IS NOT NULL
ORDER BY finished_at DESC LIMIT 1"""
DELETED_SINCE = """
SELECT SUM(deleted - IFNULL(deleted_by_condition, 0)) AS n_rows
FROM {runs} WHERE `table` = @table AND started_at >= @since"""
CALL_HISTORY = """
SELECT SUM(aito_calls) AS calls, MIN(started_at) AS began_at FROM {runs}
WHERE `table` IN UNNEST(@tables) AND started_at >= @since AND aito_calls IS NOT NULL"""


class BigQueryLedger:
    """The ledger in a BigQuery dataset. Implements model.ports.Ledger."""

    def __init__(self, tables: LedgerTables) -> None:
        self._tables = tables
        self._numbers = itertools.count(1)

    def record_run(self, record: RunRecord) -> None:
        """Append the row of one table in one run."""
        self._tables.append("runs", [asdict(record)], [f"{record.run_id}-{record.table}"])

    def record_rejects(self, records: Sequence[RejectRecord]) -> None:
        """Append rejects, each once however often it is repeated."""
        rows = [rejects.to_row(record) for record in records]
        ids = [f"{each.run_id}-{each.table}-{next(self._numbers)}" for each in records]
        self._tables.append("rejects", rows, ids)

    def record_evaluation(self, record: EvaluationRecord) -> None:
        """Append one state of an evaluation, once however often it is repeated."""
        row_id = evaluation_insert_id(record)
        self._tables.append("evaluations", [evaluation_row(record)], [row_id])

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Append a checkpoint, which replaces the table's earlier ones."""
        row = checkpoint.to_row()
        row_id = f"{checkpoint.table}-{row['updated_at']}"
        self._tables.append("checkpoints", [row], [row_id])

    def open_rejects(self, table: str, now: datetime) -> list[OpenReject]:
        """The open rejects of a table."""
        return rejects.read_open(self._tables.read, table, now)

    def last_verified(self, table: str) -> int | None:
        """Watermark after the last sync that ended ok, epoch seconds."""
        found = self._tables.read(LAST_VERIFIED, [_text("table", table)])
        return found[0]["watermark_after"] if found else None

    def deleted_since(self, table: str, since: datetime) -> int:
        """Rows that runs started since then have deleted for being gone from the source.

        Rows that `deletes` names are left out.
        """
        found = self._tables.read(DELETED_SINCE, [_text("table", table), _moment("since", since)])
        return int(found[0]["n_rows"] or 0) if found else 0

    def call_history(self, tables: Sequence[str], since: datetime) -> CallHistory:
        """The requests to Aito of the tables' runs that started since then."""
        parameters = [Parameter("tables", "ARRAY<STRING>", list(tables)), _moment("since", since)]
        found = self._tables.read(CALL_HISTORY, parameters)
        if not found:
            return CallHistory(0, None)
        return CallHistory(int(found[0]["calls"] or 0), found[0]["began_at"])

    def bytes_of_sync(self, now: datetime, evaluations_since: datetime | None) -> int:
        """Bytes that are billed for the ledger's statements of one sync."""
        return cost.bytes_of_sync(self._tables, now, evaluations_since)

    def evaluations(self, since: datetime) -> list[EvaluationRecord]:
        """The furthest state of each evaluation started since then, oldest first."""
        return read_evaluations(self._tables.read, since)

    def watch_records(self, tables: Sequence[str], since: datetime, now: datetime) -> WatchRecords:
        """The evaluations started since then, and the last syncs of tables. One query."""
        return read_watch(self._tables.read, tables, since, now)

    def known_tables(self, now: datetime) -> dict[str, KnownTable]:
        """What is known of each table that the ledger has a state of. One query."""
        try:
            return checkpoints.read_known(self._tables.read, now)
        except ActionRequired as error:
            if type(error) is not ActionRequired:
                raise
            self._tables.create()  # a ledger of an earlier version lacks columns
            return checkpoints.read_known(self._tables.read, now)

    def study(self, study_id: str, since: datetime) -> StudyRecords:
        """A retention study that was begun at `since`. Its jobs have figures and results."""
        return read_study(self._tables.read, study_id, since)

    def claims(self, evaluation_id: str, since: datetime) -> list[str]:
        """The runs that were about to start a study's job, from `since` on."""
        return read_claims(self._tables.read, evaluation_id, since)

    def status(self, tables: Sequence[str], now: float) -> StatusRecords:
        """What the status page shows. now: epoch seconds."""
        return read_status(self._tables.read, tables, now)


def _text(name: str, value: str) -> Parameter:
    return Parameter(name, "STRING", value)


def _moment(name: str, value: datetime) -> Parameter:
    return Parameter(name, "TIMESTAMP", value)
