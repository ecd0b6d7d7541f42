"""How fresh a table is: the age of its newest row in Aito, and of the last run that ended well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.bigquery.queries import Parameter
from sync.model.ports import Work

MEMORY = timedelta(days=400)  # an older success is as good as none
LAST_OK = """
SELECT `table`, MAX(COALESCE(finished_at, started_at)) AS ended FROM {runs}
WHERE started_at >= @since AND status = 'ok' AND action = 'sync' AND `table` IN UNNEST(@tables) GROUP BY `table`"""


def last_ok(works: Sequence[Work]) -> dict[str, datetime]:
    """When each table's last good sync ended; the tables that had none are left out."""
    work = works[0]
    since = datetime.fromtimestamp(work.clock.now(), UTC) - MEMORY
    tables = Parameter("tables", "ARRAY<STRING>", [each.table.name for each in works])
    rows = work.ledger.rows(LAST_OK, [Parameter("since", "TIMESTAMP", since), tables])
    return {row["table"]: row["ended"] for row in rows}


def tell(work: Work, ended: datetime | None) -> None:
    """Emit the table's `freshness`. ended: when its last good sync did."""
    now = int(work.clock.now())
    newest = _newest(work, now)
    age = None if newest is None else now - newest
    ok_age = None if ended is None else max(0, now - int(ended.timestamp()))
    work.report.watermark_before = work.report.watermark_after = newest
    fields: dict[str, Any] = {"age_seconds": age, "ok_age_seconds": ok_age}
    text = f"{work.table.name}: newest row {_spelt(age)}, last good sync {_spelt(ok_age)}"
    work.log("freshness", text, table=work.table.name, **fields)


def _newest(work: Work, now: int) -> int | None:
    """The newest cursor in Aito; None for a table that is not there, is empty or has no cursor."""
    if work.table.cursor is None or work.cursor not in work.schema.get(work.table.name, {}):
        return None
    return work.target.newest(work.table.name, work.cursor, now)[0]


def _spelt(seconds: int | None) -> str:
    if seconds is None:
        return "none"
    return f"{seconds / 3600:.1f} h old" if seconds >= 3600 else f"{seconds} s old"
