"""The queries of the status page.

Each query is bounded by its partition column, reads few columns, and answers with a bounded number
of rows per table. So three years of nightly runs cost what a week of them costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.ledger import rejects
from sync.model.records import StatusRecords
from sync.model.sql import Parameter

# Runs a query over the ledger, as in evaluations.py.
Read = Callable[[str, Sequence[Parameter]], list[dict[str, Any]]]

MEMORY = timedelta(days=3 * 366)  # what the page shows of runs and evaluations
MAX_POINTS = 90  # bars or points in a plot: about what the width of a phone can show
MAX_RUNS = 20  # last runs of a table
MINUTE, HOUR, DAY = 60, 3_600, 86_400  # seconds
# Seconds that one bar or point of a plot may stand for. The smallest one that fits is taken.
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
SELECT `table`, run_id, action, status, started_at, finished_at, seconds, window_start, window_end,
  fetched, uploaded, skipped, rejected, repaired, deleted, purged, bytes_processed, version,
  warnings, error,
  MAX(IF(status = 'ok' AND action = 'sync', finished_at, NULL)) OVER (PARTITION BY `table`)
    AS ok_at,
  FIRST_VALUE(watermark_after IGNORE NULLS) OVER (
    PARTITION BY `table` ORDER BY started_at DESC, finished_at DESC
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS newest
FROM {runs}
WHERE started_at >= @since AND `table` IN UNNEST(@tables) AND status != 'busy'
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY `table` ORDER BY started_at DESC, finished_at DESC) <= @max_runs
ORDER BY started_at DESC, finished_at DESC"""

_WIDTH = """
age AS (SELECT (@now - MIN(moment)) / @points AS seconds_per_point FROM chosen),
picked AS (
  SELECT MIN(seconds) AS width FROM UNNEST(@widths) AS seconds CROSS JOIN age
  WHERE seconds >= seconds_per_point)"""
ROWS = f"""
WITH chosen AS (
  SELECT `table`, UNIX_SECONDS(started_at) AS moment, action, status, uploaded, rejected, purged
  FROM {{runs}}
  WHERE started_at >= @since AND `table` IN UNNEST(@tables) AND status != 'busy'),{_WIDTH}
SELECT `table`, width AS seconds, moment - MOD(moment, width) AS start, COUNT(*) AS runs,
  COUNTIF(status != 'ok') AS not_ok, COUNTIF(status = 'ok' AND action = 'sync') AS good_syncs,
  SUM(uploaded) AS uploaded, SUM(rejected) AS rejected, SUM(purged) AS purged
FROM chosen CROSS JOIN picked GROUP BY 1, 2, 3 ORDER BY 1, 3"""
ACCURACY = f"""
WITH chosen AS (
  SELECT `table`, name, UNIX_SECONDS(started_at) AS moment, accuracy, base_accuracy, test_samples
  FROM {{evaluations}}
  WHERE started_at >= @since AND `table` IN UNNEST(@tables)
    AND state = 'finished' AND test_samples > 0 AND study_id IS NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY evaluation_id ORDER BY finished_at) = 1),{_WIDTH}
SELECT `table`, name, width AS seconds, moment - MOD(moment, width) AS start, COUNT(*) AS runs,
  AVG(accuracy) AS accuracy, AVG(base_accuracy) AS base_accuracy, AVG(test_samples) AS test_samples
FROM chosen CROSS JOIN picked GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 4"""

LAST_EVALUATIONS = """
WITH furthest AS (
  SELECT `table`, name, job_id, state, started_at, finished_at, accuracy, base_accuracy,
    test_samples, result
  FROM {evaluations}
  WHERE started_at >= @since AND `table` IN UNNEST(@tables) AND study_id IS NULL
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY evaluation_id
    ORDER BY IF(state = 'started', 1, 0), IF(state = 'finished', 0, 1)) = 1)
SELECT * EXCEPT (result),
  IF(state IN ('failed', 'lost'), JSON_VALUE(result, '$.reason'), NULL) AS reason
FROM furthest WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY `table`, name, state ORDER BY started_at DESC) = 1"""

REJECTS = f"""
WITH rejected AS ({rejects.OPEN})
SELECT `table`, reason, COUNT(*) AS n_rows, MAX(rejected_at) AS last_at
FROM rejected WHERE `table` IN UNNEST(@tables)
GROUP BY 1, 2 ORDER BY n_rows DESC, last_at DESC, reason LIMIT 1000"""

# The last retention study of a table in each state, and how many of its jobs have ended.
STUDIES = """
WITH latest AS (
  SELECT study_id, `table`, state, started_at, finished_at, result
  FROM {evaluations}
  WHERE started_at >= @since AND `table` IN UNNEST(@tables) AND evaluation_id = study_id
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY study_id ORDER BY IF(state = 'started', 1, 0), IF(state = 'finished', 0, 1)) = 1),
ended AS (
  SELECT study_id, COUNT(DISTINCT evaluation_id) AS jobs_ended
  FROM {evaluations}
  WHERE started_at >= @since AND `table` IN UNNEST(@tables) AND evaluation_id != study_id
    AND state IN ('finished', 'failed')
  GROUP BY study_id)
SELECT latest.*, IFNULL(jobs_ended, 0) AS jobs_ended
FROM latest LEFT JOIN ended USING (study_id) WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY `table`, state ORDER BY started_at DESC) = 1"""

LEASES = """
SELECT `table`, run_id FROM {leases}
WHERE expires_at >= CURRENT_TIMESTAMP() AND `table` IN UNNEST(@tables)"""


def read_status(read: Read, tables: Sequence[str], now: float) -> StatusRecords:
    """What the status page shows of these tables. now: epoch seconds.

    All queries run at the same time, because each takes BigQuery most of a second. Raises what
    `read` raises.
    """
    queries = _queries(tables, now)
    with ThreadPoolExecutor(len(queries), thread_name_prefix="status") as pool:
        futures = [pool.submit(read, text, parameters) for text, parameters in queries]
        return StatusRecords(*(future.result() for future in futures))


def _queries(tables: Sequence[str], now: float) -> list[tuple[str, list[Parameter]]]:
    """Texts and parameters, in the order of the fields of StatusRecords."""
    moment = datetime.fromtimestamp(now, UTC)
    names = Parameter("tables", "ARRAY<STRING>", list(tables))
    since = Parameter("since", "TIMESTAMP", moment - MEMORY)
    max_runs = Parameter("max_runs", "INT64", MAX_RUNS)
    plot = [
        names,
        since,
        Parameter("now", "INT64", int(now)),
        Parameter("points", "INT64", MAX_POINTS),
        Parameter("widths", "ARRAY<INT64>", list(WIDTHS)),
    ]
    return [
        (LAST_RUNS, [names, since, max_runs]),
        (ROWS, plot),
        (ACCURACY, plot),
        (LAST_EVALUATIONS, [names, since]),
        (REJECTS, [names, rejects.since(moment)]),
        (LEASES, [names]),
        (STUDIES, [names, since]),
    ]
