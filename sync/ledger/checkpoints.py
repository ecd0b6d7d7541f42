"""The `checkpoints` table: appended to, and the latest row of a table counts.

Beside each checkpoint the query reads from `runs` when the table was last served. A run that had no
time for a table leaves a row without a window there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sync.ledger import rejects
from sync.model.checkpoint import Checkpoint, KnownTable
from sync.model.sql import Parameter

Read = Callable[[str, Sequence[Parameter]], list[dict[str, Any]]]

COLUMNS = ", ".join(each.name for each in fields(Checkpoint) if each.name != "table")

# Of each table: the latest checkpoint, the number of open rejects, and its last runs. One query.
KNOWN = f"""
WITH latest AS (
  SELECT `table`, {COLUMNS}
  FROM {{checkpoints}} WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY `table` ORDER BY updated_at DESC) = 1),
rejected AS (SELECT `table`, COUNT(*) AS open_rejects FROM ({rejects.OPEN}) GROUP BY `table`),
served AS (
  SELECT `table`, MAX(started_at) AS last_run,
    MAX(IF(status = 'ok' AND action = 'sync', started_at, NULL)) AS ok_at,
    MAX(IF(status != 'partial' OR window_start IS NOT NULL, started_at, NULL)) AS served_at
  FROM {{runs}} GROUP BY `table`)
SELECT `table`, {COLUMNS},
  IFNULL(open_rejects, 0) AS open_rejects, served_at, ok_at,
  IFNULL(last_run > IFNULL(served_at, TIMESTAMP_SECONDS(0)), FALSE) AS is_waiting
FROM latest FULL JOIN rejected USING (`table`) FULL JOIN served USING (`table`)
ORDER BY `table`"""
OF_TABLE = ("open_rejects", "served_at", "ok_at", "is_waiting")


def read_known(read: Read, now: datetime) -> dict[str, KnownTable]:
    """What is known of each table that the ledger has a state of."""
    rows = read(KNOWN, [rejects.since(now)])
    return {row["table"]: _known_table(row) for row in rows}


def _known_table(row: Mapping[str, Any]) -> KnownTable:
    values = {name: value for name, value in row.items() if name not in OF_TABLE}
    more = {name: row[name] for name in OF_TABLE}
    return KnownTable(Checkpoint(**values), **more)
