"""Rejects in the ledger: which of them are open.

Rows are only appended. A reject is open until a later row of the same key closes it: one with
`closed_at`, or a newer reject. A row without a key is recognised by its cursor, and the last run
that met it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sync.model.records import OpenReject, RejectRecord, RowId
from sync.model.sql import Parameter

Read = Callable[[str, Sequence[Parameter]], list[dict[str, Any]]]

MEMORY = timedelta(days=3 * 366)  # an older reject is not looked at

_LATEST = """OVER (
    PARTITION BY `table`, key, IF(key IS NULL, cursor, NULL)
    ORDER BY rejected_at DESC, run_id DESC)"""
_IS_OPEN = f"""FIRST_VALUE(closed_at) {_LATEST} IS NULL
  AND FIRST_VALUE(run_id) {_LATEST} = run_id
  AND (key IS NULL OR ROW_NUMBER() {_LATEST} = 1)"""
# The open rejects of all tables.
OPEN = f"""
SELECT `table`, reason, rejected_at
FROM {{rejects}} WHERE rejected_at >= @rejects_since
QUALIFY {_IS_OPEN}"""
# `excused`: met by a run that did not fail, so that it is no sign of a new problem.
OPEN_OF_TABLE = f"""
WITH marked AS (
  SELECT `table`, key, cursor, reason, run_id, rejected_at, closed_at,
    closed_at IS NULL AND run_id NOT IN (
      SELECT run_id FROM {{runs}} WHERE `table` = @table AND status = 'failed') AS is_good
  FROM {{rejects}} WHERE `table` = @table AND rejected_at >= @rejects_since)
SELECT key, cursor, reason, rejected_at,
  LOGICAL_OR(is_good) OVER (PARTITION BY key, cursor) AS excused
FROM marked WHERE TRUE
QUALIFY {_IS_OPEN}"""


def since(now: datetime) -> Parameter:
    """The parameter that bounds how old a reject may be."""
    return Parameter("rejects_since", "TIMESTAMP", now - MEMORY)


def read_open(read: Read, table: str, now: datetime) -> list[OpenReject]:
    """The open rejects of one table."""
    rows = read(OPEN_OF_TABLE, [Parameter("table", "STRING", table), since(now)])
    return [_open_reject(row) for row in rows]


def to_row(record: RejectRecord) -> dict[str, Any]:
    """A record as a row to append."""
    row = asdict(record)
    if record.closed_at is None:
        del row["closed_at"]
    return row


def _open_reject(row: Mapping[str, Any]) -> OpenReject:
    return OpenReject(
        row_id=RowId(row["key"], row["cursor"]),
        reason=row["reason"],
        rejected_at=row["rejected_at"],
        excused=row["excused"],
    )
