"""The `checkpoints` table: appended to, and the latest row of a table counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sync.ledger import rejects
from sync.model.checkpoint import Checkpoint, KnownTable
from sync.model.sql import Parameter

Read = Callable[[str, Sequence[Parameter]], list[dict[str, Any]]]

# The latest checkpoint of each table, and a row for each table with open rejects. One query.
KNOWN = f"""
WITH latest AS (
  SELECT `table`, definition, action, resume_token, covered_until, unsettled_since, updated_at
  FROM {{checkpoints}} WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY `table` ORDER BY updated_at DESC) = 1),
rejected AS ({rejects.OPEN})
SELECT 'checkpoint' AS kind, `table`, definition, action, resume_token, covered_until,
  unsettled_since, updated_at, 0 AS open_rejects
FROM latest
UNION ALL
SELECT 'rejects', `table`, CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING),
  CAST(NULL AS INT64), CAST(NULL AS INT64), MAX(rejected_at), COUNT(*)
FROM rejected GROUP BY `table`"""


def read_known(read: Read, now: datetime) -> dict[str, KnownTable]:
    """What is known of each table that has a checkpoint or an open reject."""
    rows = read(KNOWN, [rejects.since(now)])
    found = {row["table"]: from_row(row) for row in rows if row["kind"] == "checkpoint"}
    counts = {row["table"]: row["open_rejects"] for row in rows if row["kind"] == "rejects"}
    return {
        table: KnownTable(found.get(table, Checkpoint(table)), counts.get(table, 0))
        for table in sorted({*found, *counts})
    }


def from_row(row: Mapping[str, Any]) -> Checkpoint:
    """A checkpoint from a row of KNOWN."""
    return Checkpoint(
        **{name: value for name, value in row.items() if name not in ("kind", "open_rejects")}
    )


def to_row(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint as a row to append. Its `updated_at` must be set."""
    assert checkpoint.updated_at
    return {**vars(checkpoint), "updated_at": checkpoint.updated_at.isoformat()}
