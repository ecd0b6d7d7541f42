"""What the status page shows, as facts from the ledger: six cheap queries at once, no key, nothing
of Aito's.

Every query is bounded by its partition column, reads narrow columns, and answers with at most
POINTS rows per table or evaluation, so that three years of nightly runs cost what a week costs. No
value of a row is among the facts: rejects are counted by their reasons, without what a reason may
quote.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.base.clock import Clock
from sync.base.redact import plain
from sync.bigquery.queries import Parameter
from sync.config import EvaluationSettings, Settings, TableSettings
from sync.evaluation.evaluation import PATIENCE
from sync.model.ports import LedgerPort

MEMORY = timedelta(days=3 * 366)
OPEN_REJECTS = timedelta(
    days=30
)  # a reject that is older and was not seen again is mended, or nobody's concern
POINTS = 90  # in a plot; about what a phone's width can show
LATE = 8  # spans by whose syncs it is judged how often there should be one
REASONS = 12  # shown of a table; the ledger has them all
MINUTE, HOUR, DAY = 60, 3_600, 86_400
WIDTHS = (
    MINUTE,
    10 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    3 * DAY,
    4 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    56 * DAY,
)

LAST_RUNS = """
SELECT `table`, run_id, action, status, started_at, finished_at, fetched, uploaded, skipped, rejected, repaired, purged,
  error, MAX(IF(status = 'ok' AND action = 'sync', finished_at, NULL)) OVER (PARTITION BY `table`) AS ok_at,
  FIRST_VALUE(watermark_after IGNORE NULLS) OVER (PARTITION BY `table` ORDER BY started_at DESC, finished_at DESC
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS newest
FROM {runs} WHERE started_at >= @since AND `table` IN UNNEST(@tables) AND status != 'busy'
QUALIFY ROW_NUMBER() OVER (PARTITION BY `table` ORDER BY started_at DESC, finished_at DESC) = 1"""
_BUCKETS = """
span AS (SELECT (@now - MIN(moment)) / @points AS least FROM chosen),
picked AS (SELECT MIN(w) AS width FROM UNNEST(@widths) AS w CROSS JOIN span WHERE w >= least)"""
ROWS = f"""
WITH chosen AS (SELECT `table`, UNIX_SECONDS(started_at) AS moment, action, status, uploaded, rejected, purged
  FROM {{runs}} WHERE started_at >= @since AND `table` IN UNNEST(@tables) AND status != 'busy'),{_BUCKETS}
SELECT `table`, width AS seconds, moment - MOD(moment, width) AS start, COUNT(*) AS runs,
  COUNTIF(status != 'ok') AS not_ok, COUNTIF(status = 'ok' AND action = 'sync') AS good_syncs,
  SUM(uploaded) AS uploaded, SUM(rejected) AS rejected, SUM(purged) AS purged
FROM chosen CROSS JOIN picked GROUP BY 1, 2, 3 ORDER BY 1, 3"""
ACCURACY = f"""
WITH chosen AS (SELECT `table`, name, UNIX_SECONDS(started_at) AS moment, accuracy, base_accuracy, test_samples
  FROM {{evaluations}}
  WHERE started_at >= @since AND `table` IN UNNEST(@tables) AND state = 'finished' AND test_samples > 0
  QUALIFY ROW_NUMBER() OVER (PARTITION BY evaluation_id ORDER BY finished_at) = 1),{_BUCKETS}
SELECT `table`, name, width AS seconds, moment - MOD(moment, width) AS start, COUNT(*) AS runs,
  AVG(accuracy) AS accuracy, AVG(base_accuracy) AS base_accuracy, AVG(test_samples) AS test_samples
FROM chosen CROSS JOIN picked GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 4"""
LAST_EVALUATIONS = """
WITH furthest AS (
  SELECT `table`, name, job_id, state, started_at, finished_at, accuracy, base_accuracy, test_samples, result
  FROM {evaluations} WHERE started_at >= @since AND `table` IN UNNEST(@tables)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY evaluation_id ORDER BY IF(state = 'started', 1, 0), IF(state = 'finished', 0, 1)) = 1)
SELECT * EXCEPT (result), IF(state IN ('failed', 'lost'), JSON_VALUE(result, '$.reason'), NULL) AS reason
FROM furthest WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY `table`, name, state ORDER BY started_at DESC) = 1"""
REJECTS = """
SELECT `table`, reason, COUNT(DISTINCT `key`) + COUNTIF(`key` IS NULL) AS n_rows, MAX(rejected_at) AS last_at
FROM {rejects} WHERE rejected_at >= @since AND `table` IN UNNEST(@tables)
GROUP BY 1, 2 ORDER BY n_rows DESC, last_at DESC LIMIT 1000"""
LEASES = (
    "SELECT `table`, run_id FROM {leases} WHERE expires_at >= CURRENT_TIMESTAMP() AND `table` IN"
    " UNNEST(@tables)"
)

Row = Mapping[str, Any]


def facts(settings: Settings, ledger: LedgerPort, clock: Clock) -> dict[str, Any]:
    """Everything the page tells, as JSON. Raises what the ledger raises."""
    now = clock.now()
    names = [table.name for table in settings.parents_first()]
    runs, rows, accuracy, evaluations, rejects, leases = _asked(ledger, names, now)
    return {
        "generated_at": _iso(datetime.fromtimestamp(now, UTC)),
        "tables": [
            {
                **_table(table.name, runs, leases, now, spans := _of(rows, table.name)),
                "rows": spans,
                "evaluations": [
                    _evaluation(table, asked, evaluations, accuracy, now)
                    for asked in table.evaluate
                ],
                "rejects": _rejects(table, (row for row in rejects if row["table"] == table.name)),
            }
            for table in settings.parents_first()
        ],
    }


def _asked(ledger: LedgerPort, names: Sequence[str], now: float) -> list[list[dict[str, Any]]]:
    """The answers of all queries, asked at the same time: each takes BigQuery most of a second."""
    tables = Parameter("tables", "ARRAY<STRING>", list(names))
    since = Parameter("since", "TIMESTAMP", datetime.fromtimestamp(now, UTC) - MEMORY)
    lately = Parameter("since", "TIMESTAMP", datetime.fromtimestamp(now, UTC) - OPEN_REJECTS)
    plot = [
        tables,
        since,
        Parameter("now", "INT64", int(now)),
        Parameter("points", "INT64", POINTS),
        Parameter("widths", "ARRAY<INT64>", list(WIDTHS)),
    ]
    queries = [
        (LAST_RUNS, [tables, since]),
        (ROWS, plot),
        (ACCURACY, plot),
        (LAST_EVALUATIONS, [tables, since]),
        (REJECTS, [tables, lately]),
        (LEASES, [tables]),
    ]
    with ThreadPoolExecutor(len(queries), thread_name_prefix="status") as pool:
        return list(pool.map(lambda asked: ledger.rows(*asked), queries))


def _of(rows: Iterable[Row], table: str) -> list[dict[str, Any]]:
    return [_without(row, "table") for row in rows if row["table"] == table]


def _table(
    name: str, runs: Iterable[Row], leases: Iterable[Row], now: float, spans: Sequence[Row]
) -> dict[str, Any]:
    """State, last run and freshness."""
    last = next((row for row in runs if row["table"] == name), None)
    running = next((row["run_id"] for row in leases if row["table"] == name), None)
    state = "running" if running else last["status"] if last else "never"
    fresh: dict[str, Any] = {
        "newest_row_at": None,
        "age_seconds": None,
        "ok_at": None,
        "ok_age_seconds": None,
        "stale": False,
    }
    if last is None:
        return {
            "table": name,
            "state": state,
            "running": running,
            "last_run": None,
            "freshness": fresh,
        }
    if last["newest"] is not None:
        newest = datetime.fromtimestamp(last["newest"], UTC)
        fresh |= {"newest_row_at": _iso(newest), "age_seconds": int(now - last["newest"])}
    if last["ok_at"] is not None:
        fresh |= {
            "ok_at": _iso(last["ok_at"]),
            "ok_age_seconds": int(now - last["ok_at"].timestamp()),
        }
    fresh["stale"] = fresh["ok_at"] is None or fresh["ok_age_seconds"] > _patience(spans)
    shown = {
        name: _iso(value) for name, value in _without(last, "table", "newest", "ok_at").items()
    }
    return {
        "table": name,
        "state": state,
        "running": running,
        "last_run": shown,
        "freshness": fresh,
    }


def _patience(spans: Sequence[Row]) -> float:
    """How long a table may go without a good sync: three times as long as of late, and two days at
    least.

    Spans may be weeks long after some years, and hold many syncs each.
    """
    good = [span for span in spans if span["good_syncs"]][-LATE:]
    gaps = [
        (after["start"] - before["start"]) / before["good_syncs"]
        for before, after in itertools.pairwise(good)
    ]
    return max(2 * DAY, 3 * statistics.median(gaps)) if gaps else 2 * DAY


def _evaluation(
    table: TableSettings,
    asked: EvaluationSettings,
    latest: Iterable[Row],
    points: Iterable[Row],
    now: float,
) -> dict[str, Any]:
    """What is known of one evaluation: whether it runs, its last result, its last failure if that
    came later.
    """
    mine = {
        row["state"]: row
        for row in latest
        if (row["table"], row["name"]) == (table.name, asked.name)
    }
    started, finished = mine.get("started"), mine.get("finished")
    ends = [row for state, row in mine.items() if state in ("failed", "lost")]
    failure = max(ends, key=lambda row: row["started_at"], default=None)
    if failure and finished and failure["started_at"] < finished["started_at"]:
        failure = None
    runs = (
        started is not None
        and now - started["started_at"].timestamp() <= PATIENCE.total_seconds() + DAY
    )
    figures = ("started_at", "accuracy", "base_accuracy", "test_samples")
    return {
        "name": asked.name,
        "predict": asked.predict,
        "min_accuracy": asked.min_accuracy,
        "running": _picked(started, "started_at", "job_id") if runs else None,
        "latest": _picked(finished, *figures),
        "failure": _picked(failure, "state", "started_at", "reason"),
        "accuracy": [
            _without(row, "table", "name")
            for row in points
            if (row["table"], row["name"]) == (table.name, asked.name)
        ],
    }


def _picked(row: Row | None, *names: str) -> dict[str, Any] | None:
    return None if row is None else {name: _iso(row[name]) for name in names}


def _without(row: Row, *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _iso(value: Any) -> Any:
    """A time as text, to the second; anything else as it is."""
    return (
        value.astimezone(UTC).isoformat(timespec="seconds")
        if isinstance(value, datetime)
        else value
    )


def _rejects(table: TableSettings, rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Reasons with the number of rows, most first.

    Reasons that differ by their values alone are one.
    """
    merged: dict[str, dict[str, Any]] = {}
    names = _names(table)
    for row in rows:
        reason = plain(row["reason"], names)
        held = merged.setdefault(reason, {"reason": reason, "rows": 0, "last_at": row["last_at"]})
        held["rows"] += row["n_rows"]
        held["last_at"] = max(held["last_at"], row["last_at"])
    ordered = sorted(merged.values(), key=lambda each: (-each["rows"], each["reason"]))
    return [{**each, "last_at": _iso(each["last_at"])} for each in ordered[:REASONS]]


def _names(table: TableSettings) -> frozenset[str]:
    """The names of tables and columns that the configuration mentions."""
    cursor = [table.cursor.column] if table.cursor else []
    asked = [name for each in table.evaluate for name in (each.predict or "", *each.given)]
    return frozenset(
        [table.name, *(table.columns or {}), *cursor, *asked, *([table.key] if table.key else [])]
    )
